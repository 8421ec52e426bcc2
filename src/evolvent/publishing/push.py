"""push: what a run has made as a data set on the Hugging Face Hub: its card, its figures, a Parquet file a stage."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evolvent.errors import InputError, require_extra
from evolvent.files import TEMPORARY, FileState, file_state
from evolvent.options import implements
from evolvent.publishing.card import FIGURES, NAME, Published, card_text, figures_of, published
from evolvent.publishing.configs import command_of, not_ready, write_config
from evolvent.publishing.options import PUSH, Describing, Pushing
from evolvent.publishing.repository import Repository, check_repo, open_repository
from evolvent.report.page.drawing import write_figures
from evolvent.runs.manifest import read_manifest
from evolvent.runs.run import Run
from evolvent.storage_errors import explained

# The Hub takes no larger file.
LARGEST = 50_000_000_000


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be uploaded.

    Attributes:
        path: in the repository.
        file: on this machine.
        size: in bytes.
    """

    path: str
    file: Path
    size: int


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push.

    Attributes:
        repo: the repository.
        files: the paths and sizes of its files, as they were uploaded or would be.
        url: where it is; None of a dry run.
        commit: the one commit that it is; None of a dry run, and where all of it was there already.
        already_done: whether it was.
    """

    repo: str
    files: Sequence[tuple[str, int]]
    url: str | None = None
    commit: str | None = None
    already_done: bool = False


@implements(PUSH)
def push(run: str | Path | Run, *, describing: Describing, pushing: Pushing) -> Pushed:
    """Upload what a run has made as a data set: card, figures and Parquet files in one commit.

    Models and files are named by their last names there; servers' addresses and keys are left out.

    Returns:
        What was uploaded, or would be.

    Raises:
        InputError: a stage is not finished, stale, damaged or made anew meanwhile; the repository's name cannot be
            one; it holds files; the Hub wants a token, or another one.
        RunError: the Hub cannot be reached, or does not take it.
    """
    with prepared(run, describing, pushing) as (uploads, repository):
        return committed(uploads, repository, pushing)


@contextmanager
def prepared(
    run: str | Path | Run, describing: Describing, pushing: Pushing
) -> Iterator[tuple[list[Upload], Repository | None]]:
    """The files of a push, in a temporary folder, and the repository that they go to; None of a dry run."""
    require_extra("huggingface_hub", "hub")
    check_repo(pushing.repo)
    found = published(run)
    states = _states(found)
    _check_ready(found)
    repository = None if pushing.dry_run else open_repository(pushing.repo, private=pushing.private)
    with explained(TEMPORARY), tempfile.TemporaryDirectory(prefix="evolvent-push-") as folder:
        uploads = _files(found, Path(folder), describing, pushing.repo)
        if read_manifest(found.folder) != found.entries or _states(found) != states:
            raise InputError(
                f"{found.folder} was changed by another process while it was read: nothing was uploaded",
                fix="Wait until that is done, and push again.",
            )
        yield uploads, repository


def committed(uploads: Sequence[Upload], repository: Repository | None, pushing: Pushing) -> Pushed:
    """Commit the files of a push; of a dry run only say what they are."""
    files = [(one.path, one.size) for one in uploads]
    if repository is None:
        return Pushed(pushing.repo, files)
    commit = repository.commit({one.path: one.file for one in uploads}, overwrite=pushing.overwrite)
    return Pushed(pushing.repo, files, repository.url, commit, already_done=commit is None)


def _states(found: Published) -> dict[Path, FileState | None]:
    """What tells that the files of a run were not touched; None of one that is gone."""
    files = [config.file for config in found.configs]
    return {file: file_state(file) if file.exists() else None for file in files}


def _check_ready(found: Published) -> None:
    """Check that the data is finished, and as its stages wrote it."""
    for key, why in not_ready(found.folder, found.entries):
        stage = key.partition(":")[0]
        fix = f"Bring it up to date by its own command: {command_of(key, found.folder)}"
        if found.entries[key].state == "shard":
            fix = "Merge the shards, and name the folder that holds all of them."
        raise InputError(f"{stage} of {found.folder} {why}: nothing is published of such a run", fix=fix)


def _files(found: Published, folder: Path, describing: Describing, repo: str) -> list[Upload]:
    paths = []
    for config in found.configs:
        path = folder / config.path
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            write_config(config, file, found.public)
        if path.stat().st_size > LARGEST:
            raise InputError(
                f"{config.file} is {path.stat().st_size / 1e9:,.0f} GB as Parquet, and the Hub takes files of 50 GB",
                fix="Push a run of fewer seeds, or a selection of it in a run folder of its own.",
            )
        paths.append(path)
    figures = figures_of(found)
    if figures:
        paths += [path for path in write_figures(figures, folder / FIGURES) if path.suffix == ".png"]
    card = folder / NAME
    title = repo.rpartition("/")[2]
    card.write_bytes(card_text(found, title, describing, figures, repo).encode("utf-8", "replace"))
    return [Upload(path.relative_to(folder).as_posix(), path, path.stat().st_size) for path in (card, *paths)]
