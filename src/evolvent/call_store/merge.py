"""The calls of several stores in one: those of a stage that was made in shards."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from evolvent.call_store.journal import Journal, choose, connect
from evolvent.call_store.schema import identity_of, lay_out
from evolvent.call_store.store import SPEND, open_read_only, open_to_write, read_spent
from evolvent.costs.budget import Spent
from evolvent.storage_errors import explained

# Calls that are in memory at once.
AT_ONCE = 10_000
# What each store's account held when it was added last: it is added once, and only what came since when merged again.
# A store is known by its name and its identity: one that was made in the place of another has an account of its own.
TAKEN = """
CREATE TABLE IF NOT EXISTS taken (
    store TEXT, stage TEXT, model TEXT, calls INTEGER, prompt_tokens INTEGER, completion_tokens INTEGER, seconds REAL,
    PRIMARY KEY (store, stage, model)
)
"""
# A call that failed here, and was answered there, is answered.
TAKE = """
INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    reply = excluded.reply, error = excluded.error, at = excluded.at, seconds = excluded.seconds,
    checksum = excluded.checksum
    WHERE reply IS NULL AND excluded.reply IS NOT NULL
"""


def merge_calls(into: Path, stores: Mapping[str, Path], stage: str, check: Callable[[], None]) -> list[Spent]:
    """Copy a stage's calls into a store, and add its account; doing it again changes nothing.

    Args:
        into: the store, made if it is not there; nobody else uses it.
        stores: those that hold the calls, each with a name that it always has.
        stage: whose calls.
        check: raises if the store's folder may no longer be written to.

    Returns:
        What the store's calls have used, as ``spent_in`` says it.

    Raises:
        InputError, RunError: a store cannot be read, the disk is full, or the check fails.
    """
    check()
    with explained(into), _opened(into, check) as target:
        target.execute(TAKEN)
        for name, path in stores.items():
            with closing(open_read_only(path)) as store:
                for calls in _batches(store, path, "SELECT * FROM calls WHERE stage = ?", stage):
                    check()
                    target.executemany(TAKE, calls)
                check()
                for limits in _batches(store, path, "SELECT * FROM limits"):
                    target.executemany("INSERT OR IGNORE INTO limits VALUES (?)", limits)
                with explained(path, "read"):
                    known_as = f"{name} {identity_of(store)}".rstrip()
                for spent in read_spent(store, path):
                    if spent.stage == stage:
                        _add(target, known_as, spent)
                target.commit()
        return list(read_spent(target, into))


@contextmanager
def _opened(into: Path, check: Callable[[], None]) -> Iterator[sqlite3.Connection]:
    """The store to write.

    A new one has a rollback journal first: all that is added is then written once, and not to a log as well. One that
    was there keeps its log: others may read it meanwhile.
    """
    if into.exists() or choose(into)[0] is not Journal.WAL:
        with open_to_write(into, check) as target:
            yield target
        return
    with closing(connect(into, Journal.DELETE)) as target:
        lay_out(target, into)
        yield target
        target.execute("PRAGMA busy_timeout=0")
        with suppress(sqlite3.Error):  # somebody reads it at this moment: who writes it next does this
            target.execute(f"PRAGMA journal_mode={Journal.WAL.value}")


def _batches(store: sqlite3.Connection, path: Path, query: str, *given: str) -> Iterator[list[tuple[Any, ...]]]:
    """What a query finds in a store that is read; what is wrong with the one that is written is not said of it."""
    with explained(path, "read"):
        rows = store.execute(query, given)
        while batch := rows.fetchmany(AT_ONCE):
            yield batch


def _add(target: sqlite3.Connection, store: str, spent: Spent) -> None:
    """Add to an account what a store's says, less what was added of it before."""
    amounts = [spent.calls, spent.prompt_tokens, spent.completion_tokens, spent.seconds]
    place = [store, spent.stage, spent.model]
    columns = "calls, prompt_tokens, completion_tokens, seconds"
    found = target.execute(f"SELECT {columns} FROM taken WHERE store = ? AND stage = ? AND model = ?", place)
    before = found.fetchone() or (0, 0, 0, 0.0)
    # A copy of a store kept apart may be older than what was merged, if its node was lost: that was paid all the same.
    calls, prompt, completion, seconds = (max(0, now - then) for now, then in zip(amounts, before, strict=True))
    target.execute(SPEND, [spent.stage, spent.model, calls, prompt, completion, spent.estimated, seconds])
    target.execute("INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?, ?, ?)", [*place, *amounts])
