"""A folder held by one process at a time: a lock of the kernel (flock), which ends with the process in any case.

Where the file system has no flock, or other nodes may not see it, a lease (``lease.py``) is held as well.
"""

import fcntl
import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from evolvent.errors import InputError, RunError
from evolvent.files import LOCK, NO_FLOCK, is_locked, make_folder
from evolvent.holder import Holder
from evolvent.mounts import mount_of
from evolvent.object_storage.held import HeldFolder
from evolvent.object_storage.urls import url_of
from evolvent.runs.lease import EXPIRY_S, LEASE, Lease, seems_held
from evolvent.storage_errors import explained

log = logging.getLogger(__name__)

TRIES, WAIT_S = 5, 0.02


@dataclass(slots=True)
class FolderLock:
    """A folder's lock, to be taken, then given up or undone.

    Attributes:
        path: the folder.
    """

    path: Path
    _opened: int = -1
    _lease: Lease | None = None
    _held: HeldFolder | None = None  # where the folder is a copy of one in a store
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
            mount = mount_of(self.path)
            if not self._wait() or not (mount.is_local or (mount.shares_locks and not (self.path / LEASE).exists())):
                self._take_lease()
            self.check_there()  # whoever was refused may have removed it meanwhile
            with explained(self.path):
                os.ftruncate(self._opened, 0)
                holder = f"{os.getpid()}"
                if not mount.is_local:
                    now = datetime.now(UTC).isoformat(timespec="seconds")
                    holder += f" on {socket.gethostname()}, since {now}"
                os.pwrite(self._opened, holder.encode(), 0)
            if (url := url_of(self.path)) is not None:
                held = HeldFolder(url, self.path)
                held.take()
                self._held = held
        except BaseException:
            self.undo()
            raise

    def give_up(self) -> None:
        """Let others hold the folder; one that is a copy is saved before.

        Raises:
            RunError, InputError: it cannot be saved.
        """
        try:
            if self._held is not None:
                self._held.end()
        finally:
            if self._lease is not None:
                self._lease.give_up()
            os.close(self._opened)

    def undo(self) -> None:
        """Give up a folder in which nothing was done: what was not there is not there again."""
        with suppress(OSError, RunError):
            try:
                if self._opened >= 0:
                    self.check_there()  # or it is another's by now
            finally:
                if self._held is not None:
                    self._held.give_up()
                if self._lease is not None:
                    self._lease.give_up()
            for path in self._new:
                path.unlink() if path.name == LOCK else path.rmdir()
        if self._opened >= 0:
            os.close(self._opened)

    def check_there(self) -> None:
        """Check that the folder is still the one that was opened, and held.

        Raises:
            RunError: it was removed, another was put in its place, or another process has taken it over.
        """
        opened = os.fstat(self._opened)
        try:
            there = (self.path / LOCK).stat()
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino):
            raise RunError(f"{self.path} went away while it was being used", fix="Start the same command again.")
        if self._held is not None:
            self._held.check()
        if self._lease is not None:
            with explained(self.path):
                self._lease.check()

    def _wait(self) -> bool:
        """Take the kernel's lock; False where the file system has none."""
        for _ in range(TRIES):
            try:
                fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(WAIT_S)  # one that only looks holds it for a moment
            except OSError as error:
                if error.errno in NO_FLOCK:
                    return False
                with explained(self.path):
                    raise
        holder = os.pread(self._opened, 300, 0).decode(errors="replace").strip() or "unknown"
        raise self._in_use(f"pid {holder}")

    def _take_lease(self) -> None:
        def tell(holder: Holder) -> None:
            log.warning(
                "%s is held from another machine (%s): without a sign of life within %s s it is taken over",
                *(self.path, holder, EXPIRY_S),
            )

        lease = Lease(self.path)
        with explained(self.path):
            holder = lease.take(tell)
        if holder is not None:
            raise self._in_use(str(holder))
        self._lease = lease

    def _in_use(self, holder: str) -> InputError:
        self._new = []  # it is another's
        return InputError(
            f"folder {self.path} is in use by another process ({holder})",
            fix="Wait until it is done, stop it, or use another --out.",
        )


def in_use(folder: Path) -> bool:
    """Whether a process works in a folder at this moment."""
    return (folder / LOCK).exists() and (is_locked(folder / LOCK) or seems_held(folder))
