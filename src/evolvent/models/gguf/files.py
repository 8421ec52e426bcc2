"""Which GGUF file a name means: a file, the one in a folder, or one of a repository on the Hugging Face Hub."""

import hashlib
import re
from functools import cache
from pathlib import Path

from evolvent.errors import ModelUnavailableError, require_extra
from evolvent.hub import without_telemetry
from evolvent.models.uri import can_be_hub_id

SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


def find_gguf(name: str, uri: str) -> Path:
    """Find the file of a model; one on the Hub is downloaded if it is not in the Hub's cache.

    Args:
        name: a file, a folder that holds one, or ``OWNER/NAME/FILE.gguf`` on the Hub.
        uri: the model's name in messages to the user.

    Raises:
        ModelUnavailableError: there is no such file, or several, or the Hub cannot be reached.
    """
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            path = _only(path, uri)
        there = path.is_file()
    except (OSError, RuntimeError) as error:  # a name too long for any file; ~name of a user who is not there
        raise ModelUnavailableError(f"model {uri}: no file has this name: {error}", fix="Check the path.") from error
    if SPLIT.search(path.name):
        raise ModelUnavailableError(
            f"model {uri}: {path.name} is one part of a split GGUF file",
            fix="Put the parts together first: llama-gguf-split --merge FIRST-PART OUT.gguf. Or take a file that is "
            "not split: most repositories have smaller quantisations in one file.",
        )
    return path if there else _from_hub(name, uri)


def _only(folder: Path, uri: str) -> Path:
    """The GGUF file of a folder; what belongs to pictures is not one."""
    files = sorted(path for path in folder.glob("*.gguf") if not path.name.startswith("mmproj"))
    if len(files) == 1:
        return files[0]
    if files:
        names = ", ".join(path.name for path in files[:5]) + (", …" if len(files) > 5 else "")
        raise ModelUnavailableError(
            f"model {uri}: the folder holds {len(files)} GGUF files: {names}", fix=f"Name one: gguf:{files[0]}"
        )
    raise ModelUnavailableError(
        f"model {uri}: the folder holds no GGUF file",
        fix=f"Name one. A transformers folder is hf:{folder}" if (folder / "config.json").is_file() else "Name one.",
    )


def _from_hub(name: str, uri: str) -> Path:
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    if name.startswith((".", "/", "~")) or not file.endswith(".gguf"):
        raise ModelUnavailableError(
            f"model {uri}: there is no file {name}",
            fix="Check the path. A file of a repository on the Hub is named gguf:OWNER/NAME/FILE.gguf",
        )
    require_extra("huggingface_hub", "local")
    without_telemetry()
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(f"{owner}/{repository}", file))
    except Exception as error:  # no network, a gated or absent model, no id: the Hub's client raises anything then
        raise ModelUnavailableError(
            f"model {uri}: there is no file {name}, and the Hub gives none: "
            f"{' '.join(str(error).split())[:300] or type(error).__name__}",
            fix="Check the name and the network; for a gated model set HF_TOKEN.",
        ) from error


def cached_gguf(name: str) -> Path | None:
    """A file of a repository on the Hub in the Hub's cache, None if it is not there; the Hub is not asked."""
    without_telemetry()
    from huggingface_hub import try_to_load_from_cache

    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    if not file or not can_be_hub_id(f"{owner}/{repository}"):
        return None
    try:
        found = try_to_load_from_cache(f"{owner}/{repository}", file)
    except ValueError:  # no name of the Hub's, though it looks like one
        return None
    return Path(found) if isinstance(found, str) else None


def digest_of(file: Path) -> str:
    """SHA-256 of a file; a file that has not changed is read once a process."""
    about = file.stat()
    return _digest(file.resolve(), about.st_size, about.st_mtime_ns)


@cache
def _digest(file: Path, size: int, changed: int) -> str:  # noqa: ARG001
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
