"""A folder's lock where nodes do not see each other's flock: a folder in it that names the holder, who keeps it alive.

It asks little of a file system: that a folder can be renamed, and not onto one that holds something, which is POSIX. So
who makes the lease, and who takes over one that has expired, is decided by one rename each: of several exactly one
succeeds. Its one file is named by a random token, so that nobody takes a lease for the one that was there before.
"""

import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from evolvent.errors import RunError
from evolvent.holder import Holder, this_process

LEASE = ".lease"
BEAT_S = 10
EXPIRY_S = 90  # without a beat; a file server that hangs, or a machine that sleeps, may take its time
LOOK_S = 0.5


@dataclass(slots=True)
class Lease:
    """A lease on a folder, which a thread keeps alive.

    Attributes:
        folder: the folder.
        token: of this lease.
    """

    folder: Path
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    _stop: threading.Event = field(default_factory=threading.Event)
    _beating: threading.Thread | None = None

    def take(self, tell: Callable[[Holder], None]) -> Holder | None:
        """Hold the lease; one whose process has ended, or that is without a beat for ``EXPIRY_S``, is taken over.

        Args:
            tell: given the holder that is waited for, whose process cannot be seen from here.

        Returns:
            Who holds it instead; None if it is held now.
        """
        made = self.folder / f"{LEASE}-{self.token}"
        made.mkdir()
        try:
            self._write(made / self.token, 0)
            seen: Holder | None = None
            since = time.monotonic()
            while not _moved(made, self.folder / LEASE):
                holder = holder_of(self.folder)
                if holder is None:  # given up meanwhile, or the whole folder removed
                    made.stat()
                    _remove_if_empty(self.folder / LEASE)
                    continue
                if holder.token == self.token:  # what was done was not answered, and done again
                    break
                if holder.lives or (seen and seen.token == holder.token and seen.written != holder.written):
                    return holder
                if seen is None or seen.token != holder.token:
                    seen, since = holder, time.monotonic()
                    if holder.lives is None:
                        tell(holder)
                if holder.lives is False or time.monotonic() - since > EXPIRY_S:
                    _end(self.folder, holder.token)
                else:
                    time.sleep(LOOK_S)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        self._beating = threading.Thread(target=self._beat, name="evolvent-lease", daemon=True)
        self._beating.start()
        return None

    def give_up(self) -> None:
        """Let others hold it, if it is still this one."""
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
        try:
            self.check()
        except (OSError, RunError):
            return
        _end(self.folder, self.token)

    def check(self) -> None:
        """Check that it is still held.

        Raises:
            RunError: it expired, and was taken over.
        """
        try:
            with self._file.open("rb"):  # opened: what is known of a name may be old on a network
                return
        except FileNotFoundError:
            taken = holder_of(self.folder)
        raise RunError(
            f"{self.folder} was taken over by another process ({taken or 'which has ended'}) after this one had "
            f"given no sign of life for {EXPIRY_S} s",
            fix="Nothing more is written. Wait until that one is done, then start the same command again.",
        )

    @property
    def _file(self) -> Path:
        return self.folder / LEASE / self.token

    def _write(self, path: Path, beats: int) -> None:
        path.write_bytes(this_process() + b"\n%12d" % beats)

    def _beat(self) -> None:
        beats = 0
        while not self._stop.wait(BEAT_S):
            beats += 1
            with suppress(OSError), self._file.open("r+b") as file:  # gone, or the server is: check finds out
                file.seek(-12, os.SEEK_END)
                file.write(b"%12d" % beats)


def holder_of(folder: Path) -> Holder | None:
    """Who holds a folder's lease; None if nobody does."""
    try:
        file = min((folder / LEASE).iterdir())
        written = file.read_bytes()
    except (FileNotFoundError, ValueError):  # there is none; it is being moved
        return None
    return Holder.read(file.name, written)


def seems_held(folder: Path) -> bool:
    """Whether a folder's lease is held, as far as it shows at once: by its process, or by when its last beat came."""
    holder = holder_of(folder)
    if holder is None or holder.lives is not None:
        return holder is not None and bool(holder.lives)
    with suppress(OSError):
        return time.time() - (folder / LEASE / holder.token).stat().st_mtime < EXPIRY_S
    return False


def _end(folder: Path, token: str) -> None:
    """End one lease, and no later one that has come in its place: that has a file of another name."""
    with suppress(OSError):
        (folder / LEASE / token).unlink()
    _remove_if_empty(folder / LEASE)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _moved(folder: Path, to: Path) -> bool:
    """Rename a folder if it is there, and none of the other name that holds anything; whether it was renamed."""
    try:
        folder.rename(to)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT} or to.exists():
            return False
        raise
    return True
