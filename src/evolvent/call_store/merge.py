"""The calls of several stores in one: those of a stage that was made in shards."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from evolvent.call_store.journal import Journal, connect, has_log
from evolvent.call_store.store import SPEND, open_read_only, open_to_write, read_spent
from evolvent.costs.budget import Spent
from evolvent.storage_errors import explained

# Calls that are in memory at once.
AT_ONCE = 10_000
# What each store's account held when it was added last: it is added once, and only what came since when merged again.
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
            with closing(open_read_only(path)) as store, explained(path, "read"):
                rows = store.execute("SELECT * FROM calls WHERE stage = ?", [stage])
                while batch := rows.fetchmany(AT_ONCE):
                    check()
                    target.executemany(TAKE, batch)
                check()
                limits = store.execute("SELECT * FROM limits").fetchall()
                target.executemany("INSERT OR IGNORE INTO limits VALUES (?)", limits)
                for spent in read_spent(store, path):
                    if spent.stage == stage:
                        _add(target, name, spent)
                target.commit()
        return list(read_spent(target, into))


@contextmanager
def _opened(into: Path, check: Callable[[], None]) -> Iterator[sqlite3.Connection]:
    """The store to write.

    One with a log has a rollback journal meanwhile: all that is added is then written once, and not to the log as well.
    """
    with open_to_write(into, check) as target:
        if not has_log(into):
            yield target
            return
    try:
        target = connect(into, Journal.DELETE)
    except sqlite3.Error:  # somebody reads it at this moment
        with open_to_write(into, check) as target:
            yield target
        return
    with closing(target):
        yield target
        target.execute(f"PRAGMA journal_mode={Journal.WAL.value}")


def _add(target: sqlite3.Connection, store: str, spent: Spent) -> None:
    """Add to an account what a store's says, less what was added of it before."""
    amounts = [spent.calls, spent.prompt_tokens, spent.completion_tokens, spent.seconds]
    place = [store, spent.stage, spent.model]
    columns = "calls, prompt_tokens, completion_tokens, seconds"
    found = target.execute(f"SELECT {columns} FROM taken WHERE store = ? AND stage = ? AND model = ?", place)
    before = found.fetchone() or (0, 0, 0, 0.0)
    calls, prompt, completion, seconds = (now - then for now, then in zip(amounts, before, strict=True))
    target.execute(SPEND, [spent.stage, spent.model, calls, prompt, completion, spent.estimated, seconds])
    target.execute("INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?, ?, ?)", [*place, *amounts])
