"""What the disk and sqlite report, in plain words: what was wrong, with which file, and what to do."""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evolvent.errors import EvolventError, InputError, RunError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# The path itself is wrong: a name too long, a file where a folder must be, or the other way round.
IMPOSSIBLE = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.EINVAL}

# What sqlite's results mean: its own words ("disk I/O error") name neither a cause nor a cure.
DISK_ERROR = "the disk reports an error"
SQLITE_WORDS = {
    sqlite3.SQLITE_FULL: "no space is left",
    sqlite3.SQLITE_IOERR: DISK_ERROR,
    sqlite3.SQLITE_CANTOPEN: "it, or a file beside it, may not be opened",
    sqlite3.SQLITE_READONLY: "it, or its folder, may only be read",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged: it is no database",
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_LOCKED: "another program has locked it",
    sqlite3.SQLITE_PROTOCOL: "it cannot be locked",
}
PROBE_BYTES = 1 << 16


@contextmanager
def explained(path: Path, purpose: str = "written") -> Iterator[None]:
    """Explain storage problems met while something is done with ``path``.

    Args:
        path: the file or folder.
        purpose: what is done with it, "written" or "read", for messages.

    Raises:
        RunError: the disk is full or broken, the file is damaged, or the folder went away meanwhile.
        InputError: the folder cannot be written to, or there can be none of this name.
    """
    try:
        yield
    except OSError as error:
        raise _explain(error, path, purpose) from error
    except sqlite3.Error as error:
        raise _explain_sqlite(error, path, purpose) from error


def _explain(error: OSError, path: Path, purpose: str) -> EvolventError:
    refused = f"{path} cannot be {purpose}: {error.strerror}"
    if error.errno in FULL:
        return _full(path)
    if error.errno in FORBIDDEN:
        return InputError(refused, fix=_permissions(purpose))
    if error.errno in IMPOSSIBLE:
        return InputError(refused, fix="Check the path that --out names.")
    if error.errno == errno.EPIPE:
        return RunError(f"{path} was closed by its reader before all was written")
    if error.errno == errno.ENOENT:
        return RunError(f"{path} went away while it was being used", fix="Start the same command again.")
    if error.errno == errno.EIO:
        return _disk_error(path, purpose)
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return RunError(refused, fix="Allow more open files (ulimit -n 4096) and start the same command again.")
    return RunError(f"{path}: {error.strerror or error}")


def sqlite_words(error: sqlite3.Error) -> str:
    """What an error of sqlite means, in plain words; its own where it is none of those that disks and users cause."""
    return SQLITE_WORDS.get(_result(error), str(error))


def _result(error: sqlite3.Error) -> int:
    """The primary result code of an error; 0 for one of Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _explain_sqlite(error: sqlite3.Error, path: Path, purpose: str) -> EvolventError:
    result, refused = _result(error), f"{path} cannot be {purpose}: {sqlite_words(error)}"
    if result == sqlite3.SQLITE_FULL:
        return _full(path)
    if result in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
        cause = system_error(path) if purpose == "written" else None
        if cause is not None:
            return _explain(cause, path, purpose)
        if result == sqlite3.SQLITE_IOERR:
            return _disk_error(path, purpose)
        return InputError(
            refused, fix=f"{_permissions(purpose)} If those are right, look for the disk's errors (dmesg)."
        )
    if result in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
        return damaged(path, sqlite_words(error).removeprefix("it is damaged: "))
    if result in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}:
        return RunError(
            refused,
            fix="Close what has it open (a database browser, say) and start the same command again. Where nothing has, "
            "the folder's file system cannot lock files: use one on a local disk.",
        )
    return RunError(refused)


def system_error(path: Path) -> OSError | None:
    """Why a database cannot be written, which sqlite does not say: what the system says to a new file beside it; None
    if it says nothing."""
    try:
        # Never the database itself: closing it would end sqlite's locks on it.
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(bytes(PROBE_BYTES))
            os.fsync(probe.fileno())
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
    return None


def _permissions(purpose: str) -> str:
    return f"{'Choose another --out' if purpose == 'written' else 'Look into a copy'}, or change its permissions."


def _disk_error(path: Path, purpose: str) -> RunError:
    return RunError(
        f"{DISK_ERROR} where {path} is {purpose}",
        fix="Look into the system's log (dmesg) for the disk; when it works again, start the same command again.",
    )


def damaged(path: Path, how: str) -> RunError:
    """What to say of a database that is damaged."""
    return RunError(
        f"{path} is damaged" + f": {how}" * (how != "it is damaged"),
        fix="If the disk reports errors (dmesg), mend it first. Move it away with the files named after it and start "
        f"again (its calls are made, and paid, again), or save what it holds with: sqlite3 '{path}' .recover",
    )


def _full(path: Path) -> RunError:
    return RunError(
        f"no space is left to write {path}",
        fix="Free some space and start the same command again.",
    )
