"""A run folder in a store that is worked on here: held by one process of all nodes, and saved while it grows.

Who holds it is said by an object, ``.lease``, that can be made only where there is none (a conditional put), and which
its holder writes anew as long as it lives. A holder that is without a beat for ``EXPIRY_S`` has lost it.
"""

import logging
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from evolvent.errors import EvolventError, InputError, RunError
from evolvent.holder import Holder, this_process
from evolvent.object_storage.bring import bring
from evolvent.object_storage.copies import LEASE
from evolvent.object_storage.save import save
from evolvent.object_storage.stores import check_writable, explained_store, open_store
from evolvent.object_storage.urls import copies

log = logging.getLogger(__name__)

BEAT_S = 20
EXPIRY_S = 120
LOOK_S = 2.0
SAVE_S = 60  # between two saves; no more than a twentieth of the time goes into them
PAUSES = 20


@dataclass(slots=True)
class HeldFolder:
    """A run folder in a store.

    Attributes:
        url: where it is.
        place: its copy here.
    """

    url: str
    place: Path
    _token: str = field(default_factory=lambda: secrets.token_hex(8))
    _who: bytes = field(default_factory=this_process)
    _done: threading.Event = field(default_factory=threading.Event)  # nothing more is to be saved while it grows
    _given_up: threading.Event = field(default_factory=threading.Event)
    _beating: threading.Thread | None = None
    _saving: threading.Thread | None = None
    _lost: bool = False
    _taker: Holder | None = None

    def take(self) -> None:
        """Hold it, bring its copy up to date, and from now on save it.

        Raises:
            InputError: another process holds it, or it may not be written.
            RunError: the store cannot be reached.
        """
        holder = self.take_if_free()
        if holder is not None:
            raise InputError(
                f"{self.url} is in use by another process ({holder})",
                fix="Wait until it is done, stop it, or use another --out.",
            )
        try:
            bring(self.url, held=True)
        except BaseException:
            self.give_up()
            raise
        _say(self.url)
        self._saving = threading.Thread(target=self._save_often, name="evolvent-save", daemon=True)
        self._saving.start()

    def take_if_free(self) -> Holder | None:
        """Hold it as it is here; who holds it instead, if somebody does. Errors as for ``take``."""
        check_writable(self.url)
        with explained_store(self.url, self.place, "saved"):
            holder = self._take_lease()
        if holder is None:
            self._beating = threading.Thread(target=self._beat, name="evolvent-beat", daemon=True)
            self._beating.start()
        return holder

    def check(self) -> None:
        """Check that it is still held.

        Raises:
            RunError: it was taken over.
        """
        if self._lost:
            raise RunError(
                f"{self.url} was taken over by another process ({self._taker or 'which has ended'}) after this one had "
                f"given no sign of life for {EXPIRY_S} s",
                fix="Nothing more is written. Wait until that one is done, then start the same command again.",
            )

    def save(self) -> None:
        """Save what has changed.

        Raises:
            RunError: the folder was taken over; the store cannot be reached.
            InputError: it may not be written.
        """
        save(self.url, self._check_now)

    def end(self) -> None:
        """Save the rest, and let others hold it; errors as for ``save``."""
        self._done.set()
        try:
            if self._saving is not None:
                self._saving.join()
            self.save()
        except EvolventError as problem:
            problem.fix = f"What was made is in its copy here, below {copies()}. {problem.fix}"
            self.give_up()
            raise
        except BaseException:  # told to end while a store does not answer: the lease expires by itself
            self._given_up.set()
            raise
        self.give_up()

    def give_up(self) -> None:
        """Let others hold it, without saving."""
        self._done.set()
        self._given_up.set()
        for thread in (self._saving, self._beating):
            if thread is not None:
                thread.join()
        with suppress(Exception):  # of any store's client: the lease expires by itself
            holder = self._holder()
            if holder is not None and holder.token == self._token:
                store, path = open_store(self.url)
                store.rm_file(f"{path}/{LEASE}")

    def _take_lease(self) -> Holder | None:
        """Make the lease; who holds it instead, if somebody does."""
        store, path = open_store(self.url)
        seen: Holder | None = None
        since = time.monotonic()
        while True:
            holder = self._holder()
            if holder is None:
                with suppress(FileExistsError):
                    store.pipe_file(f"{path}/{LEASE}", self._written(0), mode="create")
                holder = self._holder()  # also where a store knows no condition: the last one to write has it
            if holder is None:
                time.sleep(LOOK_S)
                continue
            if holder.token == self._token:
                return None
            if holder.lives or (seen and seen.token == holder.token and seen.written != holder.written):
                return holder
            if seen is None or seen.token != holder.token:
                seen, since = holder, time.monotonic()
                if holder.lives is None:
                    log.warning(
                        "%s is held from another machine (%s): without a sign of life within %s s it is taken over",
                        *(self.url, holder, EXPIRY_S),
                    )
            if holder.lives is False or time.monotonic() - since > EXPIRY_S:
                if (now := self._holder()) and now.written == holder.written:  # another may have taken it meanwhile
                    store.rm_file(f"{path}/{LEASE}")
            else:
                time.sleep(LOOK_S)

    def _holder(self) -> Holder | None:
        store, path = open_store(self.url)
        try:
            written = store.cat_file(f"{path}/{LEASE}")
        except FileNotFoundError:
            return None
        return Holder.read(written.split(b"\n")[1].decode(errors="replace") if written.count(b"\n") else "", written)

    def _written(self, beats: int) -> bytes:
        return b"%s\n%s\n%d" % (self._who, self._token.encode(), beats)

    def _check_now(self) -> None:
        """Check by the lease itself; errors as for ``check``."""
        self._look()
        self.check()

    def _look(self) -> None:
        """Find out whether the lease is another's by now."""
        with explained_store(self.url, self.place, "saved"):
            holder = self._holder()
        if holder is None or holder.token != self._token:
            self._lost, self._taker = True, holder

    def _beat(self) -> None:
        store, path = open_store(self.url)
        beats = 0
        while not self._given_up.wait(BEAT_S):
            beats += 1
            with suppress(Exception):  # of any store's client: the next beat may reach it
                self._look()
                if self._lost:
                    return
                store.pipe_file(f"{path}/{LEASE}", self._written(beats))

    def _save_often(self) -> None:
        pause, told = float(SAVE_S), False
        while not self._done.wait(pause):
            began = time.monotonic()
            try:
                self.save()
            except EvolventError as problem:
                if self._lost:
                    return
                if not told:
                    log.warning("warning: %s; it is tried again", problem.message)
                told = True
            pause = max(SAVE_S, PAUSES * (time.monotonic() - began))


@cache
def _say(url: str) -> None:
    """Say, once in a process, where a folder is worked on."""
    log.warning("%s is worked on in a copy below %s, and saved every %s s", url, copies(), SAVE_S)
