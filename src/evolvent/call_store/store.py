"""The call store: every model call of a run in one sqlite file, on disk before its caller sees the reply.

Calls arrive one by one and are committed in groups: while a thread writes one group in one transaction
(``synchronous=FULL``: the commit has reached the disk; how it is written, ``journal.py`` decides), the next one
gathers, and only then are the callers woken. Under load a group is many calls, alone it is one; nobody waits for a
timer. What the calls used is summed up in the same
transaction, so that the account survives whatever ends the process.
"""

import asyncio
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from evolvent.call_store.apart import Apart, newest
from evolvent.call_store.journal import Journal, choose, connect, say, text
from evolvent.call_store.read_only import connect_to_read
from evolvent.call_store.schema import TABLES, lay_out, layout_of
from evolvent.costs.budget import Spent
from evolvent.errors import EvolventError, InputError, RunError
from evolvent.files import CALLS
from evolvent.models.protocols import Usage
from evolvent.storage_errors import damaged, explained

log = logging.getLogger(__name__)

ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
NAMED = 8  # folders within one, in a message
LARGEST = 256  # rows of a statement; sqlite's own limit is 32,766 values
# Adding to the row: a folder keeps the account of everything that was ever paid in it.
SPEND = """
INSERT INTO spent VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (stage, model) DO UPDATE SET
    calls = calls + excluded.calls,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    estimated = max(estimated, excluded.estimated),
    seconds = seconds + excluded.seconds
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model.

    Attributes:
        key: the hash of all that decides the reply.
        stage: the stage that made it.
        record: the record it was made for.
        model: the model's URI.
        request: what was asked, as JSON text.
        reply: what came back, as JSON text; None if the call failed.
        error: why it failed, as JSON text.
        usage: the tokens it used; None for calls that cost none (token losses).
        seconds: how long it took, waiting for the model's limits included.
        at: when its reply came, seconds since 1970.
        max_tokens: how long the reply could be; None for calls without such a limit.
    """

    key: bytes
    stage: str
    record: str
    model: str
    request: str
    reply: str | None
    error: str | None = None
    usage: Usage | None = None
    seconds: float = 0.0
    at: float = field(default_factory=time.time)
    max_tokens: int | None = None


@dataclass(slots=True)
class _Waiting:
    """Calls to commit together, and the caller to wake when they are on disk."""

    calls: list[Call]
    done: asyncio.Future[None]


class CallStore:
    """The calls of one run folder. Used by one process (the run folder's lock sees to that) and one event loop.

    Args:
        path: the sqlite file; made if it is not there.
        check: raises if its folder may no longer be written to.

    Attributes:
        limits: every ``max_tokens`` that a call of the file was made with, rising.

    Raises:
        InputError: the folder cannot be written to, or another version of evolvent made the file.
        RunError: the disk is full, or the file is damaged.
    """

    def __init__(self, path: Path, check: Callable[[], None] = lambda: None) -> None:
        self.path = self._place = path
        self._check = check
        self._apart: Apart | None = None
        self._turn: AbstractContextManager[object] = nullcontext()
        with explained(path):
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is no file", fix="Move it away: the run's calls are kept under this name.")
            if path.with_name(f"{path.name}-wal").exists() and not (path.exists() and path.stat().st_size):
                log.warning(
                    "warning: %s is gone, and with it what was stored: those calls are made, and paid, again", path
                )
            journal, why = choose(path)
            with ExitStack() as opened:  # closed again where the store is refused
                if journal is Journal.APART:
                    self._apart, journal = opened.enter_context(closing(Apart(path, check))), Journal.WAL
                    self._place = self._apart.place
                self._reader = opened.enter_context(closing(connect(self._place, journal)))
                lay_out(self._reader, path)
                self.limits = [limit for (limit,) in self._reader.execute("SELECT * FROM limits ORDER BY 1")]
                if self._apart is None and self._reader.execute("PRAGMA application_id").fetchone() != (0,):
                    self._reader.execute("PRAGMA application_id=0")  # it was a saved copy
                if journal is Journal.WAL:
                    self._connection = opened.enter_context(closing(connect(self._place, journal)))
                else:  # one that reads would wait for the writer's lock, in the event loop
                    self._connection, self._turn = self._reader, threading.Lock()
                self._file = _file(self._place)
                if self._apart is not None:
                    self._apart.start()
                opened.pop_all()
        if why:
            say(path, why)
        self._writer = ThreadPoolExecutor(1, "evolvent-store")
        self._waiting: list[_Waiting] = []
        self._writing = False

    def get(self, key: bytes) -> str | None:
        """The stored reply of a call; None if there is none, or if it is damaged, which is said."""
        reply, checksum = self._row("reply, checksum", key) or (None, None)
        if reply is None or checksum in (None, _checksum(key, str(reply))):
            return None if reply is None else str(reply)
        self.warn_of_damage(key)
        return None

    def get_error(self, key: bytes) -> str | None:
        """Why a call failed, as it is stored; None if it has a reply or was never made."""
        row = self._row("error", key)
        return row[0] if row else None

    def warn_of_damage(self, key: bytes) -> None:
        """Say that what is stored of a call is damaged: the caller makes it again."""
        stage, record, model = self._row("stage, record, model", key) or ("", "", "")
        log.warning(
            "warning: %s: a stored call is damaged (stage %s, record %s, model %s): it is made again",
            *(self.path, stage, record, model),
        )

    async def put(self, calls: Iterable[Call]) -> None:
        """Store calls in one transaction; returns when they are on disk.

        Raises:
            RunError: the disk is full, or the folder went away.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(_Waiting(list(calls), done))
        if not self._writing:
            self._writing = True
            loop.call_soon(self._write)  # when all that are ready to be stored have come
        await done

    def spent(self) -> list[Spent]:
        """What each stage's calls of each model have used in this folder, since it was made."""
        with self._turn:
            return list(read_spent(self._reader, self.path))

    def __len__(self) -> int:
        """How many calls have a reply."""
        with explained(self.path), self._turn:
            return int(self._reader.execute("SELECT count(*) FROM calls WHERE reply IS NOT NULL").fetchone()[0])

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._writer.shutdown()
        with suppress(EvolventError):  # their callers are gone
            self._commit([call for item in self._waiting for call in item.calls])
        self._reader.close()
        self._connection.close()
        if self._apart is not None:
            self._apart.close()

    def _row(self, columns: str, key: bytes) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None
            with self._turn:
                row = self._reader.execute(f"SELECT {columns} FROM calls WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error:
            with explained(self.path):
                raise
        return row

    def _write(self) -> None:
        """Give the group that has gathered to the thread."""
        group, self._waiting = self._waiting, []
        calls = [call for item in group for call in item.calls]
        writing = asyncio.get_running_loop().run_in_executor(self._writer, self._commit, calls)
        writing.add_done_callback(partial(self._written, group))

    def _written(self, group: list[_Waiting], writing: asyncio.Future[None]) -> None:
        """Tell the callers that their calls are on disk, or why not."""
        problem = writing.exception()
        for item in group:
            if item.done.done():  # its caller was cancelled
                continue
            if problem is None:
                item.done.set_result(None)
            else:
                item.done.set_exception(problem)
        if self._waiting:
            self._write()
        else:
            self._writing = False

    def _commit(self, calls: list[Call]) -> None:
        if not calls:
            return
        self._check()
        if self._apart is not None:
            self._apart.check()
        with explained(self.path):
            # A folder that was removed leaves an open file that still takes writes: they would reach nobody.
            if _file(self._place) != self._file:
                raise RunError(f"{self.path} went away while it was being used", fix="Start the same command again.")
            with self._turn, self._connection as connection:
                for rows in _by_powers_of_two(calls):
                    # One statement for all its rows: between rows sqlite3 would wait for the interpreter's lock.
                    values = ", ".join([ROW] * len(rows))
                    connection.execute(f"INSERT OR REPLACE INTO calls VALUES {values}", list(chain(*rows)))
                connection.executemany(SPEND, _sums(calls))
                new = {call.max_tokens for call in calls if call.max_tokens is not None} - {*self.limits}
                connection.executemany("INSERT OR IGNORE INTO limits VALUES (?)", [(limit,) for limit in new])
        if new:
            self.limits = sorted({*self.limits, *new})


def _file(path: Path) -> tuple[int, int]:
    """Which file stands at a path: its device and its inode."""
    state = path.stat()
    return state.st_dev, state.st_ino


def _by_powers_of_two(calls: Sequence[Call]) -> Iterator[Sequence[tuple[object, ...]]]:
    """The calls' rows in groups of a few sizes: the statement of each is compiled once."""
    rows = [
        (c.key, c.stage, c.record, c.model, c.request, c.reply, c.error, c.at, c.seconds, _checksum(c.key, c.reply))
        for c in calls
    ]
    start = 0
    while start < len(rows):
        size = min(LARGEST, 1 << ((len(rows) - start).bit_length() - 1))
        yield rows[start : start + size]
        start += size


def _checksum(key: bytes, reply: str | None) -> int | None:
    """What tells that a reply is the one that was stored for this call: sqlite itself checks no page."""
    return None if reply is None else zlib.crc32(reply.encode(errors="surrogateescape"), zlib.crc32(key))


def read_spent(connection: sqlite3.Connection, path: Path) -> Iterator[Spent]:
    """The account of a store, a row for each stage and model.

    Raises:
        RunError: the file is damaged.
    """
    with explained(path):
        for row in connection.execute("SELECT * FROM spent ORDER BY stage, model"):
            stage, model, calls, prompt, completion, estimated, seconds = row
            whole = all(type(number) is int for number in (calls, prompt, completion, estimated))
            if not whole or not isinstance(seconds, float):
                raise damaged(path, "its account")
            yield Spent(stage, model, calls, prompt, completion, bool(estimated), seconds)


def _sums(calls: Iterable[Call]) -> list[tuple[str, str, int, int, int, int, float]]:
    """What a group of calls used, one row for each stage and model."""
    sums: dict[tuple[str, str], tuple[int, int, int, int, float]] = {}
    for call in calls:
        if call.usage is not None:
            n, prompt, completion, estimated, seconds = sums.get((call.stage, call.model), (0, 0, 0, 0, 0.0))
            sums[call.stage, call.model] = (
                n + 1,
                prompt + call.usage.prompt_tokens,
                completion + call.usage.completion_tokens,
                estimated | call.usage.estimated,
                seconds + call.seconds,
            )
    return [(*key, *sums[key]) for key in sums]


def spent_in(run: Path) -> list[Spent]:
    """What a run folder's calls have used; nothing if it has none yet."""
    path = run / CALLS
    with explained(path, "read"):
        if not path.is_file():
            return []
    with closing(open_read_only(path)) as store:
        return list(read_spent(store, path))


@contextmanager
def open_to_write(path: Path, check: Callable[[], None]) -> Iterator[sqlite3.Connection]:
    """A store, to write calls into it that were made elsewhere; arguments and errors as of ``CallStore``."""
    with closing(CallStore(path, check)) as store:
        yield store._connection


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a call store to look into it.

    Raises:
        InputError: there is none, it may not be read, or another version made it.
        RunError: it is damaged.
    """
    with explained(path, "read"):
        if not path.is_file():
            stores = [file for below in ("*", "shards/*") for file in path.parent.glob(f"{below}/{path.name}")]
            within = ", ".join(sorted(str(file.parent) for file in stores)[:NAMED]) + " …" * (len(stores) > NAMED)
            fix = f"Name one of: {within}." if within else "Name a run folder that a stage has worked in."
            raise InputError(f"{path.parent} has no {path.name}", fix=fix)
        with ExitStack() as opened:
            store = opened.enter_context(closing(connect_to_read(newest(path))))
            if layout_of(store, path):
                opened.pop_all()
            else:
                store = sqlite3.connect(":memory:")
                store.executescript(TABLES)
    store.text_factory = text
    return store
