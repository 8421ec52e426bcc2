"""The stores that URLs name, by fsspec, and what they report in plain words."""

import errno
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evolvent.errors import EvolventError, InputError, RunError, require_extra
from evolvent.hub import without_telemetry
from evolvent.object_storage.urls import scheme_of
from evolvent.storage_errors import FULL, explained

# By scheme: the module that reads it, and the extra that brings it.
EXTRAS = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "hf": ("huggingface_hub", "hub"),
}
# Those that can only be read here: on the Hub each file written is a commit of its own.
READ_ONLY = {
    "hf": "Make it on a disk or in a bucket, then: evolvent push RUN --repo ORG/NAME.",
    "http": "Name a bucket (s3://, gs://).",
    "https": "Name a bucket (s3://, gs://).",
}


def open_store(url: str) -> tuple[Any, str]:
    """The store of a URL, and the object's path in it.

    Raises:
        InputError: there is no such store, or what reads it is not installed.
    """
    store = _store(scheme_of(url))
    return store, str(store._strip_protocol(url if scheme_of(url) != "file" else f"file:///{url.partition('://')[2]}"))


@functools.cache
def _store(scheme: str) -> Any:
    module, extra = EXTRAS.get(scheme, ("fsspec", "s3"))
    require_extra(module, extra)
    without_telemetry()
    import fsspec

    try:
        # What is listed is asked for each time: other nodes write there.
        how: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if scheme == "file":
            how["auto_mkdir"] = True
        if module == "s3fs":  # a store that takes connections and never answers
            how["config_kwargs"] = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 3}}
        return fsspec.filesystem(scheme, **how)
    except Exception as error:  # there is none, it is not installed, it wants more than a URL says
        raise InputError(
            f"{scheme}:// cannot be used: {error}", fix="Known are s3://, gs://, hf:// and what fsspec has installed."
        ) from None


def together(store: Any) -> dict[str, int]:
    """How many files a store takes or gives at once: each is held in memory meanwhile."""
    return {"batch_size": 4} if store.async_impl else {}


def check_writable(url: str) -> None:
    """Check that a run or a file may be made at a URL.

    Raises:
        InputError: it may not.
    """
    if scheme_of(url) in READ_ONLY:
        raise InputError(f"{url}: {scheme_of(url)}:// is only read", fix=READ_ONLY[scheme_of(url)])


@contextmanager
def explained_store(url: str, place: Path, purpose: str = "read") -> Iterator[None]:
    """Explain what a store reports while something is done with a URL.

    Args:
        url: the URL.
        place: its copy.
        purpose: what is done with it, "read" or "saved", for messages.

    Raises:
        InputError: it is not there, or may not be used.
        RunError: the store cannot be reached, or does not do it; this node's disk is full.
    """
    try:
        yield
    except EvolventError:
        raise
    except FileNotFoundError as error:
        what = f"there is no {url}" if purpose == "read" else f"{url} cannot be {purpose}: {_words(error)}"
        raise InputError(what, fix="Check the URL; a bucket has to be there before.") from error
    except PermissionError as error:
        raise InputError(
            f"{url} may not be {purpose}: {_words(error)}", fix="Check its rights and your credentials."
        ) from error
    except Exception as error:  # of each store's own client, without a common class
        if isinstance(error, OSError) and error.errno in {*FULL, errno.EROFS}:
            with explained(place):
                raise
        raise RunError(
            f"{url} cannot be {purpose}: {_words(error)}",
            fix="Check the network and the credentials, then start the same command again.",
        ) from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
