"""A data set's repository on the Hugging Face Hub: what it holds, and one commit into it."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.errors import EvolventError, InputError, RunError
from evolvent.files import file_digest
from evolvent.hub import without_telemetry
from evolvent.words import number_of

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

TOKENS = "huggingface.co/settings/tokens"
# What is there from the beginning, and what a push writes.
GIVEN, OURS = ".gitattributes", ("data/", "figures/")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository.

    Attributes:
        repo: its name.
        url: where it is.
        private: whether only its owner sees it.
        head: its last commit; None where it is not there yet.
        files: what it holds, by path.
    """

    repo: str
    url: str
    private: bool
    head: str | None
    files: "Mapping[str, RepoSibling]"

    def commit(self, files: Mapping[str, Path], *, overwrite: bool) -> str | None:
        """Commit files, and remove what an earlier push left, in one commit; a repository that is not there is made.

        Args:
            files: by path.
            overwrite: whether those that are there may be replaced.

        Returns:
            The commit; None if the repository holds these very files.

        Raises:
            InputError, RunError: it holds others and may not be overwritten; it has changed meanwhile; the Hub refuses.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        left = [path for path in self.files if path.startswith(OURS) and path not in files]
        if not left and all(path in self.files and _is(self.files[path], file) for path, file in files.items()):
            return None
        if not overwrite and (there := sorted(set(self.files) - {GIVEN})):
            raise InputError(
                f"{self.repo} holds {number_of(len(there), 'files')}: {', '.join(there[:3])}{', …' * (len(there) > 3)}",
                fix="Name another repository; --overwrite replaces README.md, data/ and figures/ there.",
            )
        operations = [CommitOperationAdd(path, file) for path, file in files.items()]
        removed = [CommitOperationDelete(path) for path in left]
        api = HfApi()
        with _told(self.repo):
            if self.head is None:
                api.create_repo(self.repo, repo_type="dataset", private=self.private or None)
            done = api.create_commit(
                self.repo,
                [*operations, *removed],
                commit_message="Data made with evolvent",
                repo_type="dataset",
                parent_commit=self.head or api.dataset_info(self.repo).sha,
            )
        return str(done.oid)


def check_repo(repo: str) -> None:
    """Check that a name can be that of a repository.

    Raises:
        InputError: it cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
        wrong = "" if repo.count("/") == 1 else "it names no owner"
    except HFValidationError as error:
        wrong = str(error).rstrip(".")
    if wrong:
        raise InputError(f"--repo {repo} is no repository's name: {wrong}", fix="Write OWNER/NAME.")


def open_repository(repo: str, *, private: bool) -> Repository:
    """Look what a repository holds, or that it is not there.

    Raises:
        InputError: there is no token, or one that may not write there; it is public, and a private one is wanted.
        RunError: the Hub cannot be reached.
    """
    without_telemetry()
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    if get_token() is None:
        raise InputError("the Hub wants a token to upload with", fix=f"hf auth login, or set HF_TOKEN: {TOKENS}.")
    url = f"{constants.ENDPOINT}/datasets/{repo}"
    with _told(repo):
        try:
            found = HfApi().dataset_info(repo, files_metadata=True)
        except RepositoryNotFoundError:
            return Repository(repo, url, private, None, {})
    if private and not found.private:
        raise InputError(
            f"{repo} is there, and public: --private makes only new repositories private",
            fix="Name another one, or make it private in its settings on the Hub.",
        )
    files = {one.rfilename: one for one in found.siblings or ()}
    return Repository(repo, url, bool(found.private), str(found.sha), files)


def _is(there: "RepoSibling", file: Path) -> bool:
    """Whether a file of the repository has the content of one of ours; git names it by SHA-1, LFS by SHA-256."""
    if there.lfs is not None:
        return bool(there.lfs.sha256 == file_digest(file))
    if there.size != file.stat().st_size:
        return False
    return there.blob_id == hashlib.sha1(b"blob %d\0" % there.size + file.read_bytes()).hexdigest()


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """Say what the Hub refuses, and why, and what to do."""
    try:
        yield
    except EvolventError:
        raise
    except Exception as error:  # the Hub's client, and what it is made of, raise anything: no common class
        raise _explain(error, repo) from error


def _explain(error: Exception, repo: str) -> EvolventError:
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = getattr(getattr(error, "response", None), "status_code", None)
    said = " ".join(str(getattr(error, "server_message", None) or error).split())[:300] or type(error).__name__
    owner = repo.partition("/")[0]
    if isinstance(error, OfflineModeIsEnabled):
        return InputError("the Hub is not asked while HF_HUB_OFFLINE is set", fix="Unset it to push.")
    refusals: dict[Any, tuple[str, str]] = {
        400: (f"the Hub does not take the commit: {said}", "If it is about the card's metadata: --license ID."),
        401: (f"the Hub does not know this token: {said}", f"hf auth login, or set HF_TOKEN to a valid one: {TOKENS}."),
        403: (f"this token may not write to {repo}: {said}", f"Use one with the right to write to {owner}: {TOKENS}."),
        404: (f"the Hub finds no {repo}, and cannot make it: {said}", f"Check that {owner} is an account of yours."),
    }
    if status in refusals:
        message, fix = refusals[status]
        return InputError(message, fix=fix)
    if status in (409, 412):
        return RunError(f"{repo} was changed meanwhile: {said}", fix="Start the same command again.")
    if status in (402, 413, 507):
        return RunError(
            f"{repo}: that is more than the Hub takes: {said}", fix="See huggingface.co/docs/hub/storage-limits."
        )
    if status is None and isinstance(error, ValueError):
        return InputError(f"the Hub does not take the card: {said}", fix="If it is about the licence: --license ID.")
    if status is None:
        return RunError(f"the Hub cannot be reached: {said}", fix="Check the network and HF_ENDPOINT.")
    return RunError(f"the Hub answers {status}: {said}", fix="Start the same command again later.")
