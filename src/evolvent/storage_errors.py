"""Turn what the file system says into what the user can do."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evolvent.errors import EvolventError, InputError, RunError

# Files that only a run's own stages may write.
RUN_FILES = {
    "manifest.json",
    "calls.sqlite",
    "instructions.parquet",
    "evolved.parquet",
    "responses.parquet",
    "scored.parquet",
    "keywords.parquet",
}

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# The path itself is wrong: a name too long, a file where a folder must be, or the other way round.
IMPOSSIBLE = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.EINVAL}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Explain storage problems met while ``path`` is written.

    Raises:
        RunError: the disk is full, or the folder went away meanwhile.
        InputError: the folder cannot be written to, or there can be none of this name.
    """
    try:
        yield
    except OSError as error:
        raise _explain(error, path) from error
    except sqlite3.Error as error:
        raise _explain_sqlite(error, path) from error


def _explain(error: OSError, path: Path) -> EvolventError:
    if error.errno in FULL:
        return _full(path)
    if error.errno in FORBIDDEN:
        return InputError(
            f"{path} cannot be written: {error.strerror}", fix="Choose another --out, or change its permissions."
        )
    if error.errno in IMPOSSIBLE:
        return InputError(f"{path} cannot be written: {error.strerror}", fix="Check the path that --out names.")
    if error.errno == errno.ENOENT:
        return RunError(f"{path} went away while it was being used", fix="Start the same command again.")
    return RunError(f"{path}: {error.strerror or error}")


def _explain_sqlite(error: sqlite3.Error, path: Path) -> EvolventError:
    words = str(error)
    if "full" in words:
        return _full(path)
    if "readonly" in words or "unable to open" in words:
        return InputError(f"{path} cannot be written: {words}", fix="Choose another --out, or change its permissions.")
    if "malformed" in words or "not a database" in words:
        return RunError(
            f"{path} is damaged: {words}",
            fix="Move it away and start again, or save what it holds with: sqlite3 calls.sqlite .recover",
        )
    return RunError(f"{path}: {words}")


def _full(path: Path) -> RunError:
    return RunError(
        f"no space is left to write {path}",
        fix="Free some space and start the same command again; a run goes on where it stopped.",
    )
