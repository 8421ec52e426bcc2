"""Files: paths as users write them, atomic writing, and what a file is known by."""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from evolvent.errors import InputError, RunError
from evolvent.special_files import STANDARD_OUTPUT, descriptor, is_written_through
from evolvent.storage_errors import explained
from evolvent.streams import write_all, write_output

MANIFEST, CALLS, LOCK = "manifest.json", "calls.sqlite", ".lock"  # their names in a run folder

NO_FLOCK = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # where a file system has no locks

TEMPORARY = Path("temporary files (TMPDIR)")  # what they are called in messages


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


def output_path(out: str | Path, *inputs: object) -> Path:
    """The path of a file to be written, looked at before any work is done; ``-`` is standard output.

    Args:
        out: the path, as the user wrote it.
        inputs: paths that are read; whatever is no path is passed over.

    Raises:
        InputError: it is one of the inputs, or nothing can be written there (a folder, a socket, a disk, below a file).
    """
    path, there = locate(STANDARD_OUTPUT if str(out) == "-" else out, "written")
    with explained(path):
        through, target = is_written_through(path), path.resolve()
        above = next(folder for folder in target.parents if folder.exists())
    if not through and not above.is_dir():
        raise InputError(f"{path} cannot be written: {above} is no folder", fix="Check the path that --out names.")
    if there is not None:
        check_not_read(path, *inputs)
    return path


def make_folder(folder: Path) -> list[Path]:
    """Make a folder, and those above it, where they are not there.

    Returns:
        What was made, the innermost first.

    Raises:
        InputError: none can be made there.
        RunError: the disk is full.
    """
    with explained(folder):
        new = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # all those above it are there by now: a file system without new folders, as /proc
            raise InputError(
                f"{folder} cannot be made: {folder.parent} takes no folders", fix="Check the path that --out names."
            ) from None
    return new


def check_not_read(out: Path, *inputs: object) -> None:
    """Check that a file to be written is none of those that are read.

    Args:
        out: the file to be written.
        inputs: paths that are read; whatever is no path is passed over.

    Raises:
        InputError: it is one of them.
    """
    try:
        there = out.stat()
    except OSError:
        return
    except ValueError as error:
        raise InputError(f"{out} cannot be written: {error}", fix="Check the path.") from None
    for read in inputs:
        found = locate(read, "read")[1] if isinstance(read, str | Path) else None
        if found and os.path.samestat(there, found) and not stat.S_ISCHR(found.st_mode):
            raise InputError(f"--out {out} is the data itself", fix="Choose another name.")


@contextmanager
def replacing(path: Path, *, of_run: bool = False) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    Its folder is made, if need be. It is written beside ``path``, brought to the disk and renamed, so that nobody ever
    sees half of it. It has the mode and the owner of the file that was there. What is no regular file (a pipe, a
    device, /dev/stdout) stays, and gets all that was written when the block ends well.

    Args:
        path: the file.
        of_run: whether a run's own stage writes it; anybody else may not put a file in its place.

    Raises:
        InputError: the folder cannot be made or written to, or the file is a run's own.
        RunError: the disk is full.
    """
    with explained(path):
        through = is_written_through(path)
        target = path.resolve()
    if through:
        if of_run:
            raise InputError(f"{path} is not a regular file", fix="Choose another --out: it is read again later.")
        with _written_through(path) as file:
            yield file
        return
    if of_run and not target.parent.is_dir():
        raise RunError(f"{target.parent} went away while it was being used", fix="Start the same command again.")
    if not of_run and target.name in _files_of_a_run(target.parent):
        raise InputError(f"{path} is a file of a run", fix="Choose another name: only the run's stages write it.")
    made = make_folder(target.parent)
    with explained(path):
        temporary, new = _beside(target, of_run=of_run)
        try:
            with new as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(target)  # while it is open: what is locked is nobody's to remove
                sync_folder(target.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
                for folder in made:
                    folder.rmdir()
            raise


@contextmanager
def _written_through(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that is copied into what is there when the block ends well; it can be sought in, as any file."""
    with explained(TEMPORARY), tempfile.TemporaryFile(prefix="evolvent-") as file:
        yield file
        file.seek(0)
        with explained(path):
            number = descriptor(path)
            opened = os.open(path, os.O_WRONLY) if number is None else number
            try:
                while block := file.read(1 << 20):
                    write_output(memoryview(block)) if number == 1 else write_all(opened, memoryview(block))
            finally:
                if number is None:
                    os.close(opened)


def _beside(target: Path, *, of_run: bool) -> tuple[Path, IO[bytes]]:
    """A new file beside another, locked while it is open, with the mode and the owner of that, if it is there.

    What killed processes have left is removed: nobody holds its lock. A run has one writer, who uses one name.
    """
    begin = f".{target.name[:32]}."  # cut, so that the longest name that the system takes has one, too
    if of_run:
        target.with_name(f"{begin}run.tmp").unlink(missing_ok=True)
    else:
        _remove_left(target.parent, re.compile(rf"{re.escape(begin)}[0-9a-f]{{8}}\.tmp"))
    there = target.stat() if target.exists() else None
    mode = 0o666 if there is None else stat.S_IMODE(there.st_mode) & 0o777
    while True:
        path = target.with_name(f"{begin}{'run' if of_run else secrets.token_hex(4)}.tmp")
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        with suppress(OSError):  # a file system without locks: nothing is removed there
            fcntl.flock(number, fcntl.LOCK_EX)
        if os.fstat(number).st_nlink:
            break
        os.close(number)  # removed by another process before it was locked
    if there is not None:  # as far as this user may, and the file system knows of it
        with suppress(OSError):
            os.fchown(number, -1, there.st_gid)
        with suppress(OSError):
            os.fchown(number, there.st_uid, -1)
        with suppress(OSError):
            os.fchmod(number, mode)
    return path, os.fdopen(number, "w+b")


def _remove_left(folder: Path, name: re.Pattern[str]) -> None:
    """Remove files of such a name whose writers were killed."""
    for left in folder.iterdir():
        if name.fullmatch(left.name) and left.is_file():
            with suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


@contextmanager
def turn_in(folder: Path) -> Iterator[Callable[[], object]]:
    """A way to wait for one's turn in a folder, which lasts to the end of the block: files that belong together.

    Yields:
        What waits until no other process has its turn.
    """
    with ExitStack() as stack:

        def wait() -> None:
            with explained(folder):
                opened = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, opened)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(opened, fcntl.LOCK_EX)

        yield wait


def is_locked(file: Path) -> bool:
    """Whether a process holds the kernel's lock of a file; False where there is no file, or there are no locks."""
    try:
        opened = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that only look do not see each other
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in NO_FLOCK:
            raise
    finally:
        os.close(opened)
    return False


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
    """What tells that a file was not touched: its size, the time that its content has, its inode, the last change.

    The time of the last change nobody can set back; links that are made and removed, and its rights, change it, too.
    """

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int


def file_state(path: Path) -> FileState:
    """A file's state now.

    Raises:
        RunError, InputError: it cannot be looked at.
    """
    with explained(path):
        found = path.stat()
        if not path.is_dir():
            return FileState(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)
        within = [file.stat() for file in files_in(path)]
    newest = max([found.st_mtime_ns, *(file.st_mtime_ns for file in within)])
    changed = max([found.st_ctime_ns, *(file.st_ctime_ns for file in within)])
    return FileState(sum(file.st_size for file in within), newest, found.st_ino, changed)


def describe_file(path: Path) -> dict[str, str]:
    """The name and the digest of a file, or of a folder with all its files, as an entry's ``output`` holds them."""
    with explained(path):
        if not path.is_dir():
            return {"name": path.name, "digest": file_digest(path)}
        digest = hashlib.sha256()
        for file in files_in(path):
            digest.update(f"{file.relative_to(path)}\0{file_digest(file)}\0".encode())
    return {"name": f"{path.name}/", "digest": digest.hexdigest()}


def is_as_noted(path: Path, noted: Mapping[str, Any]) -> bool:
    """Whether a file, or a folder, is there and holds what ``describe_file`` described."""
    return path.exists() and noted.get("digest") == describe_file(path)["digest"]


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with explained(path, "read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, in an order of their own."""
    return sorted(file for file in folder.rglob("*") if file.is_file())
