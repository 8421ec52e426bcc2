"""The call store: every model call of a run in one sqlite file, on disk before its caller sees the reply.

Calls arrive one by one and are committed in groups: one writer thread takes whatever is waiting, writes it in one
transaction (WAL, ``synchronous=FULL``: the commit has reached the disk), and only then wakes the callers. Under load a
group is many calls, alone it is one; nobody waits for a timer.
"""

import asyncio
import hashlib
import queue
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from evolvent.storage_errors import explained

TABLE = """
CREATE TABLE IF NOT EXISTS calls (
    key BLOB PRIMARY KEY,
    stage TEXT NOT NULL,
    record TEXT NOT NULL,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    reply TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One stored call: its key, what it was for, what was asked and what came back (both JSON text)."""

    key: bytes
    stage: str
    record: str
    model: str
    request: str
    reply: str


def call_key(*parts: object) -> bytes:
    """The key of a call: a 16-byte hash of everything that decides its reply, and of nothing else."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()[:16]


@dataclass(slots=True)
class _Waiting:
    """Calls to commit together, and the caller to wake when they are on disk."""

    calls: list[Call]
    done: asyncio.Future[None]


class CallStore:
    """The calls of one run folder. Used by one process (the run folder's lock sees to that) and one event loop.

    Args:
        path: the sqlite file; made if it is not there.

    Raises:
        InputError: the folder cannot be written to.
        RunError: the disk is full, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            self._reader, self._connection = self._connect(), self._connect()
            self._reader.execute(TABLE)
            self._reader.commit()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_forever, name="evolvent-store", daemon=True)
        self._writer.start()

    def get(self, key: bytes) -> str | None:
        """The stored reply of a call, or None."""
        with explained(self.path):
            row = self._reader.execute("SELECT reply FROM calls WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    async def put(self, calls: Iterable[Call]) -> None:
        """Store calls in one transaction; returns when they are on disk.

        Raises:
            RunError: the disk is full, or the folder went away.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(list(calls), done))
        await done

    def __len__(self) -> int:
        with explained(self.path):
            return int(self._reader.execute("SELECT count(*) FROM calls").fetchone()[0])

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._queue.put(None)
        self._writer.join()
        self._reader.close()
        self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _write_forever(self) -> None:
        open_ = True
        while open_:
            group = [self._queue.get()]
            while True:
                try:
                    group.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            open_ = None not in group
            waiting = [item for item in group if item is not None]
            problem: Exception | None = None
            try:
                with explained(self.path):
                    self._commit(waiting)
            except Exception as error:
                problem = error
            _wake(waiting, problem)

    def _commit(self, waiting: list[_Waiting]) -> None:
        rows = [
            (call.key, call.stage, call.record, call.model, call.request, call.reply)
            for item in waiting
            for call in item.calls
        ]
        # A folder that was removed leaves an open file that still takes writes: they would reach nobody.
        self.path.stat()
        with self._connection as connection:
            connection.executemany("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?)", rows)


def _wake(waiting: list[_Waiting], problem: Exception | None) -> None:
    """Tell the callers, on their loop, that their calls are on disk (or why not)."""
    if not waiting:
        return

    def settle() -> None:
        for item in waiting:
            if item.done.done():
                continue
            if problem is None:
                item.done.set_result(None)
            else:
                item.done.set_exception(problem)

    loop = waiting[0].done.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)
