"""A folder held by one process at a time: a lock of the kernel (flock), which ends with the process in any case."""

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from evolvent.errors import InputError, RunError
from evolvent.files import make_folder
from evolvent.storage_errors import explained

LOCK = ".lock"
TRIES, WAIT_S = 5, 0.02


@dataclass(slots=True)
class FolderLock:
    """A folder's lock, to be taken, then given up or undone.

    Attributes:
        path: the folder.
    """

    path: Path
    _opened: int = -1
    _new: list[Path] = field(default_factory=list)  # the lock's file, the folder, its parents: those not there before

    def take(self) -> None:
        """Hold the folder, made if need be.

        Raises:
            InputError: it is a file, or another process holds it.
            RunError: it went away meanwhile, or cannot be written to.
        """
        with explained(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise InputError(f"--out {self.path} is a file", fix="Name a folder: what is made goes into it.")
        self._new = [path for path in (self.path / LOCK, self.path, *self.path.parents) if not path.exists()]
        try:
            make_folder(self.path)
            with explained(self.path):
                self._opened = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            self._wait()
            self.check_there()  # whoever was refused may have removed it meanwhile
            with explained(self.path):
                os.ftruncate(self._opened, 0)
                os.pwrite(self._opened, str(os.getpid()).encode(), 0)
        except BaseException:
            self.undo()
            raise

    def give_up(self) -> None:
        """Let others hold the folder."""
        os.close(self._opened)

    def undo(self) -> None:
        """Give up a folder in which nothing was done: what was not there is not there again."""
        with suppress(OSError, RunError):
            if self._opened >= 0:
                self.check_there()  # or it is another's by now
            for path in self._new:
                path.unlink() if path.name == LOCK else path.rmdir()
        if self._opened >= 0:
            os.close(self._opened)

    def check_there(self) -> None:
        """Check that the folder is still the one that was opened.

        Raises:
            RunError: it was removed, or another was put in its place.
        """
        opened = os.fstat(self._opened)
        try:
            there = (self.path / LOCK).stat()
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino):
            raise RunError(f"{self.path} went away while it was being used", fix="Start the same command again.")

    def _wait(self) -> None:
        for _ in range(TRIES):
            try:
                fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(WAIT_S)  # one that only looks holds it for a moment
        holder = os.pread(self._opened, 32, 0).decode(errors="replace").strip() or "unknown"
        self._new = []  # it is another's
        raise InputError(
            f"folder {self.path} is in use by another process (pid {holder})",
            fix="Wait until it is done, stop it, or use another --out.",
        )


def in_use(folder: Path) -> bool:
    """Whether a process works in a folder at this moment."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that only look do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
