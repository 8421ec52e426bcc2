"""A call store kept apart: on the node's own disk, because where it belongs locks do not hold. Copies are saved there.

A copy is made with sqlite's backup, is whole, and takes the place of the last one in one step, so that anybody can read
it without a lock. Both have the number of the copy: what a killed process left on the node's disk is gone on with if
the copy in the folder is its own last one, and not one that another node has saved since.
"""

import hashlib
import logging
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from evolvent.call_store.journal import SAVE_S, Journal, connect, copy_number, refusal, remove, settle
from evolvent.errors import EvolventError, InputError
from evolvent.files import replacing
from evolvent.mounts import mount_of
from evolvent.node_disk import is_ours, node_folder
from evolvent.storage_errors import explained

log = logging.getLogger(__name__)

# A copy of a large store takes long: no more than a twentieth of the time goes into it.
PAUSES = 20
# Beside a store that is kept apart: the number of a copy before it is in place.
PENDING = "copy.number"


def place_apart(path: Path) -> Path:
    """Where a store that is kept apart is on this node, for this user."""
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    return node_folder() / name / path.name


def newest(path: Path) -> Path:
    """Where a store is read: on this node's own disk, if it is kept apart and the copy at ``path`` was made of that."""
    number = copy_number(path)
    apart = place_apart(path)
    return apart if number and apart.is_file() and is_ours(apart.parent) and number in _numbers(apart) else path


class Apart:
    """A store on the node's own disk, and once it is started the thread that saves it.

    Args:
        path: where its copies are saved.
        check: raises if they may no longer be.

    Attributes:
        place: the file to work with.

    Raises:
        InputError: this node has no disk of its own where it can be.
        RunError: that is full.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self._path, self._check = path, check
        with explained(path):
            if path.exists():
                settle(path)
        place = newest(path)
        if place == path:
            place = place_apart(path)
            _make_room(place.parent, path)
            with explained(place):
                remove(place)
                if path.exists():
                    shutil.copyfile(path, place)
        else:
            log.warning("%s is gone on with from %s, where it is newer", path, place.parent)
        self.place = place
        self._changes = -1
        self._problem: EvolventError | None = None
        self._stop = threading.Event()
        with explained(place):
            self._connection = connect(place, Journal.WAL)
        self._saving: threading.Thread | None = None

    def start(self) -> None:
        """Save the first copy, and from now on one after another; errors as for ``save``."""
        self.save()
        self._saving = threading.Thread(target=self._save_often, name="evolvent-save", daemon=True)
        self._saving.start()

    def check(self) -> None:
        """Raise what the last copy failed with."""
        if self._problem is not None:
            raise self._problem

    def save(self) -> None:
        """Save a copy, if anything has changed since the last.

        Raises:
            RunError, InputError: it cannot be saved.
        """
        with explained(self._path):
            (changes,) = self._connection.execute("PRAGMA data_version").fetchone()
        if changes == self._changes:
            return
        self._check()
        number, made = secrets.randbelow(2**31 - 1) + 1, self.place.with_name("copy.sqlite")
        pending = self.place.with_name(PENDING)
        try:
            with explained(pending):
                pending.write_text(str(number))
            with explained(made), closing(sqlite3.connect(made)) as copy:
                self._connection.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # read without anything beside it
                copy.execute(f"PRAGMA application_id={number}")
            self._check()  # again: a copy takes long
            with explained(made), made.open("rb") as whole, replacing(self._path, of_run=True) as file:
                shutil.copyfileobj(whole, file, 1 << 20)
        finally:
            made.unlink(missing_ok=True)
        with explained(self.place):
            self._connection.execute(f"PRAGMA application_id={number}")
        self._changes = changes

    def close(self) -> None:
        """Save the last copy, then remove what is on the node's disk; it stays where that fails."""
        with closing(self._connection):
            if self._saving is None:
                return
            self._stop.set()
            self._saving.join()
            self.save()
        with suppress(OSError):
            remove(self.place)
            self.place.with_name(PENDING).unlink(missing_ok=True)
            self.place.parent.rmdir()

    def _save_often(self) -> None:
        pause = float(SAVE_S)
        while not self._stop.wait(pause):
            began = time.monotonic()
            try:
                self.save()
            except EvolventError as problem:
                self._problem = problem
                return
            pause = max(SAVE_S, PAUSES * (time.monotonic() - began))


def _numbers(apart: Path) -> list[int]:
    """The number of the copy that was last made of a store, and of the one that was being made."""
    pending = apart.with_name(PENDING)
    with explained(apart, "read"), closing(sqlite3.connect(apart)) as store:
        made = int(store.execute("PRAGMA application_id").fetchone()[0])
        return [made, *([int(pending.read_text() or 0)] if pending.is_file() else [])]


def _make_room(folder: Path, path: Path) -> None:
    """Make a folder on the node's own disk, for this user alone.

    Raises:
        InputError: there is none where a store can be.
    """
    with explained(folder):
        for made in (folder.parent, folder):
            made.mkdir(mode=0o700, exist_ok=True)
    why = "it is another user's" if not is_ours(folder.parent) else refusal(folder, Journal.WAL)
    if not mount_of(folder).is_local:
        why = f"its file system, {mount_of(folder).kind}, is shared by nodes"
    if why is not None:
        raise InputError(
            f"{path} can be kept neither where it lies nor in {folder.parent}: {why}",
            fix="Use an --out on a disk of this node's own, or name a folder on one in TMPDIR.",
        )
