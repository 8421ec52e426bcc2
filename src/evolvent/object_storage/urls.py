"""URLs of objects, and where on this node the copy of each lies."""

import os
import re
from pathlib import Path

from evolvent.errors import InputError
from evolvent.node_disk import node_folder

_TEXT = re.compile(r"([a-z][a-z0-9+.-]+)://([^\s].*)", re.IGNORECASE | re.DOTALL)
_PATH = re.compile(r"([a-z][a-z0-9+.-]+):/(.+)", re.IGNORECASE | re.DOTALL)  # pathlib makes one slash of two
_NEARLY = re.compile(r"(s3a?|gs|gcs):(?!/)", re.IGNORECASE)


def url_in(value: object) -> str | None:
    """The URL that a path or a text is, without a slash at its end; None if it is none.

    Raises:
        InputError: it lacks the slashes.
    """
    if isinstance(value, str | Path) and _NEARLY.match(str(value)):
        raise InputError(f"{value} is nearly a URL", fix="Write two slashes: s3://bucket/run.")
    found = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, Path):
        found = _PATH.fullmatch(str(value))
    return f"{found[1].lower()}://{found[2].strip('/')}" if found and found[2].strip("/") else None


def scheme_of(url: str) -> str:
    """``s3`` of ``s3://bucket/run``."""
    return url.partition("://")[0]


def copies() -> Path:
    """Where the copies of all objects lie: on a disk of this node's own, for this user."""
    return node_folder().resolve() / "objects"


def place_of(url: str) -> Path:
    """Where the copy of an object, or of a folder of objects, lies.

    Raises:
        InputError: its name can be none of a file's.
    """
    scheme, _, rest = url.partition("://")
    names = rest.split("/")
    if "@" in names[0] and scheme in {"http", "https"}:
        raise InputError("a URL with a password would stand in the manifest", fix="Leave it out, or fetch the file.")
    if any(name in {"", ".", ".."} or "\0" in name or len(os.fsencode(name)) > 200 for name in names):
        raise InputError(f"{url} has a part that is no file's name", fix="Check the URL.")
    return copies().joinpath(scheme, *names)


def url_of(path: str | Path) -> str | None:
    """The URL whose copy a path is, or is in; None if it is no copy."""
    try:
        scheme, *names = Path(path).absolute().relative_to(copies()).parts
    except ValueError:
        return None
    return f"{scheme}://{'/'.join(names)}" if names else None


def with_urls(text: str) -> str:
    """A text with the URL in the place of each path of a copy."""
    return re.sub(re.escape(str(copies())) + r"/([a-z][a-z0-9+.-]+)/", r"\1://", text)


def url_or_path(path: str | Path) -> str:
    """A path as its user knows it: a copy by its URL."""
    return url_of(path) or str(path)
