"""The call store: every model call of a run in one sqlite file, on disk before its caller sees the reply.

Calls arrive one by one and are committed in groups: while a thread writes one group in one transaction (WAL,
``synchronous=FULL``: the commit has reached the disk), the next one gathers, and only then are the callers woken. Under
load a group is many calls, alone it is one; nobody waits for a timer. What the calls used is summed up in the same
transaction, so that the account survives whatever ends the process.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from evolvent.costs.budget import Spent
from evolvent.errors import EvolventError, InputError, RunError
from evolvent.files import CALLS, explained
from evolvent.models.protocols import Usage

LAYOUT = 1
TABLES = f"""
CREATE TABLE calls (
    key BLOB PRIMARY KEY,
    stage TEXT NOT NULL,
    record TEXT NOT NULL,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    reply TEXT,
    error TEXT,
    at REAL NOT NULL,
    seconds REAL NOT NULL
);
CREATE TABLE spent (
    stage TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (stage, model)
);
PRAGMA user_version = {LAYOUT};
"""
ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
# Room for the upper pages of an index of a million keys, and fewer, longer checkpoints: 1.3 times the rate of the
# defaults at 300,000 calls.
CACHE_KIB = 16_000
CHECKPOINT_PAGES = 4_000


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
        InputError: the folder cannot be written to, or another version of evolvent made the file.
        RunError: the disk is full, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            self._reader = _connect(path)
            _lay_out(self._reader, path)
            self._connection = _connect(path)
            self._file = _file(path)
        self._writer = ThreadPoolExecutor(1, "evolvent-store")
        self._waiting: list[_Waiting] = []
        self._writing = False

    def get(self, key: bytes) -> str | None:
        """The stored reply of a call, or None."""
        return self._column("reply", key)

    def get_error(self, key: bytes) -> str | None:
        """Why a call failed, as it is stored; None if it has a reply or was never made."""
        return self._column("error", key)

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
        return list(read_spent(self._reader, self.path))

    def __len__(self) -> int:
        """How many calls have a reply."""
        with explained(self.path):
            return int(self._reader.execute("SELECT count(*) FROM calls WHERE reply IS NOT NULL").fetchone()[0])

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._writer.shutdown()
        with suppress(EvolventError):  # their callers are gone
            self._commit([call for item in self._waiting for call in item.calls])
        self._reader.close()
        self._connection.close()

    def _column(self, name: str, key: bytes) -> str | None:
        try:
            row = self._reader.execute(f"SELECT {name} FROM calls WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error:
            with explained(self.path):
                raise
        return row[0] if row else None

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
        with explained(self.path):
            # A folder that was removed leaves an open file that still takes writes: they would reach nobody.
            if _file(self.path) != self._file:
                raise RunError(f"{self.path} went away while it was being used", fix="Start the same command again.")
            with self._connection as connection:
                for rows in _by_powers_of_two(calls):
                    # One statement for all its rows: between rows sqlite3 would wait for the interpreter's lock.
                    values = ", ".join([ROW] * len(rows))
                    connection.execute(f"INSERT OR REPLACE INTO calls VALUES {values}", list(chain(*rows)))
                connection.executemany(SPEND, _sums(calls))


def _file(path: Path) -> tuple[int, int]:
    """Which file stands at a path: its device and its inode."""
    state = path.stat()
    return state.st_dev, state.st_ino


def _by_powers_of_two(calls: Sequence[Call]) -> Iterator[Sequence[tuple[object, ...]]]:
    """The calls' rows in groups of a few sizes: the statement of each is compiled once."""
    rows = [(c.key, c.stage, c.record, c.model, c.request, c.reply, c.error, c.at, c.seconds) for c in calls]
    start = 0
    while start < len(rows):
        size = min(LARGEST, 1 << ((len(rows) - start).bit_length() - 1))
        yield rows[start : start + size]
        start += size


def read_spent(connection: sqlite3.Connection, path: Path) -> Iterator[Spent]:
    """The account of a store, a row for each stage and model."""
    with explained(path):
        for row in connection.execute("SELECT * FROM spent ORDER BY stage, model"):
            stage, model, calls, prompt, completion, estimated, seconds = row
            yield Spent(stage, model, calls, prompt, completion, bool(estimated), seconds)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    return connection


def _lay_out(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; check that an old one has them."""
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        connection.executescript(f"BEGIN; {TABLES} COMMIT;")
    elif layout != LAYOUT:
        raise InputError(
            f"{path} was made by another version of evolvent (layout {layout}, this one reads {LAYOUT})",
            fix="Go on with the version that made it, or use another --out.",
        )


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
    if not path.is_file():
        return []
    with closing(open_read_only(path)) as store:
        return list(read_spent(store, path))


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a call store to look into it.

    Raises:
        InputError: there is none, or another version made it.
    """
    if not path.is_file():
        raise InputError(f"{path.parent} has no {path.name}", fix="Name a run folder that a stage has worked in.")
    with explained(path):
        store = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        layout = store.execute("PRAGMA user_version").fetchone()[0]
    if layout != LAYOUT:
        store.close()
        raise InputError(f"{path} was made by another version of evolvent", fix="Read it with that version.")
    return store
