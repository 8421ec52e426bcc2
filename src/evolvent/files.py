"""Files: paths as users write them, atomic writing, what a file is known by, and what the disk says in plain words."""

import errno
import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import orjson

from evolvent.errors import EvolventError, InputError, RunError

MANIFEST, CALLS = "manifest.json", "calls.sqlite"  # their names in a run folder

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
        cause = _cause(path) if purpose == "written" else None
        if cause is not None:
            return _explain(cause, path, purpose)
        if result == sqlite3.SQLITE_IOERR:
            return _disk_error(path, purpose)
        return InputError(refused, fix=_permissions(purpose))
    if result in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
        return damaged(path, sqlite_words(error).removeprefix("it is damaged: "))
    if result in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}:
        return RunError(
            refused,
            fix="Close what has it open (a database browser, say) and start the same command again. Where nothing has, "
            "the folder's file system cannot lock files: use one on a local disk.",
        )
    return RunError(refused)


def _cause(path: Path) -> OSError | None:
    """Why a database cannot be written, which sqlite does not say: what the system says to a new file beside it."""
    try:
        # Never the database itself: closing it would end sqlite's locks on it.
        with TemporaryFile(dir=path.parent) as probe:
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
        fix="Free some space and start the same command again; a run goes on where it stopped.",
    )


def locate(name: str | Path, purpose: str) -> tuple[Path, os.stat_result | None]:
    """Expand ``~`` in a path and look what is there.

    Args:
        name: the path, as the user wrote it.
        purpose: what is to be done with the file ("read"), for messages.

    Returns:
        The path, and its state; None if there is nothing.

    Raises:
        InputError: the path cannot be looked at: no such user, a name too long, a folder that may not be entered.
    """
    try:
        path = Path(name).expanduser()
        return path, path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path, None
    except OSError as error:
        raise InputError(f"{name} cannot be {purpose}: {error.strerror or error}", fix="Check the path.") from None
    except (RuntimeError, ValueError) as error:  # of expanduser: no such user; of stat: a NUL byte
        raise InputError(f"{name} cannot be {purpose}: {str(error).rstrip('.')}", fix="Check the path.") from None


def check_not_read(out: Path, *inputs: object) -> None:
    """Check that a file to be written is none of those that are read.

    Args:
        out: the file to be written.
        inputs: paths that are read; whatever is no path is passed over.

    Raises:
        InputError: it is one of them.
    """
    if not out.exists():
        return
    for read in inputs:
        if isinstance(read, str | Path) and Path(read).exists() and out.samefile(read):
            raise InputError(f"--out {out} is the data itself", fix="Choose another name.")


@contextmanager
def replacing(path: Path, *, of_run: bool = False) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    It is written beside ``path``, brought to the disk and renamed, so that nobody ever sees half of it.

    Args:
        path: the file.
        of_run: whether a run's own stage writes it; anybody else may not put a file in its place.

    Raises:
        InputError: the folder does not exist or cannot be written to, or the file is a run's own.
        RunError: the disk is full.
    """
    target = path.resolve()
    if not target.parent.is_dir():
        if of_run:
            raise RunError(f"{target.parent} went away while it was being used", fix="Start the same command again.")
        raise InputError(f"{path} cannot be written: there is no folder {target.parent}", fix="Make it first.")
    if not of_run and target.name in _files_of_a_run(target.parent):
        raise InputError(f"{path} is a file of a run", fix="Choose another name: only the run's stages write it.")
    # Cut, so that the longest name that the system takes has one, too.
    # A run has one writer, whose next try takes the place of what a kill left.
    temporary = target.with_name(f".{target.name[:32]}.{'run' if of_run else secrets.token_hex(4)}.tmp")
    with explained(path):
        try:
            with temporary.open("wb" if of_run else "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_folder(target.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_of_a_run(folder: Path) -> set[str]:
    """Files in a folder that only a run's own stages may write: those its manifest names, itself, and the store."""
    path = folder / MANIFEST
    if not path.is_file():
        return set()
    names = {MANIFEST, CALLS}
    with suppress(orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        names |= {entry["output"]["name"] for entry in orjson.loads(path.read_bytes())["stages"].values()}
    return names


class FileState(NamedTuple):
    """What tells that a file was not touched: its size, the time of its last change, and its inode."""

    size: int
    mtime_ns: int
    inode: int


def file_state(path: Path) -> FileState:
    """A file's state now.

    Raises:
        RunError, InputError: it cannot be looked at.
    """
    with explained(path):
        found = path.stat()
        if not path.is_dir():
            return FileState(found.st_size, found.st_mtime_ns, found.st_ino)
        within = [file.stat() for file in files_in(path)]
    newest = max([found.st_mtime_ns, *(file.st_mtime_ns for file in within)])
    return FileState(sum(file.st_size for file in within), newest, found.st_ino)


def describe_file(path: Path) -> dict[str, Any]:
    """The name, state and digest of a file, or of a folder with all its files, as an entry's ``output`` holds them."""
    state = file_state(path)
    with explained(path):
        if not path.is_dir():
            return {"name": path.name, "state": list(state), "digest": file_digest(path)}
        digest = hashlib.sha256()
        for file in files_in(path):
            digest.update(f"{file.relative_to(path)}\0{file_digest(file)}\0".encode())
    return {"name": f"{path.name}/", "state": list(state), "digest": digest.hexdigest()}


def is_as_noted(path: Path, noted: Mapping[str, Any]) -> bool:
    """Whether a file is there, and is the one that ``describe_file`` described."""
    return path.exists() and noted.get("state") == list(file_state(path))


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with explained(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, in an order of their own."""
    return sorted(file for file in folder.rglob("*") if file.is_file())
