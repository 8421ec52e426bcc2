"""The calls of several stores in one: those of a stage that was made in shards."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from evolvent.call_store.store import SPEND, open_read_only, open_to_write, read_spent
from evolvent.storage_errors import explained

# Calls that are written in one transaction.
AT_ONCE = 10_000


def merge_calls(into: Path, stores: Sequence[Path], stage: str) -> None:
    """Copy a stage's calls into a store, and its account; doing it again changes nothing.

    Args:
        into: the store, made if it is not there; nobody else uses it.
        stores: those that hold the calls.
        stage: whose calls.

    Raises:
        InputError, RunError: a store cannot be read, or the disk is full.
    """
    with explained(into), open_to_write(into) as target:
        target.execute("DELETE FROM spent WHERE stage = ?", [stage])
        for path in stores:
            with closing(open_read_only(path)) as store, explained(path, "read"):
                rows = store.execute("SELECT * FROM calls WHERE stage = ?", [stage])
                while batch := rows.fetchmany(AT_ONCE):
                    marks = ", ".join("?" * len(batch[0]))
                    target.executemany(f"INSERT OR IGNORE INTO calls VALUES ({marks})", batch)
                    target.commit()
                limits = store.execute("SELECT * FROM limits").fetchall()
                target.executemany("INSERT OR IGNORE INTO limits VALUES (?)", limits)
                for one in read_spent(store, path):
                    if one.stage == stage:
                        amounts = (one.calls, one.prompt_tokens, one.completion_tokens, one.estimated, one.seconds)
                        target.execute(SPEND, [stage, one.model, *amounts])
        target.commit()
