"""Stores of shards joined: each call once, whatever stops it, and the store that it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from evolvent.call_store import merge
from evolvent.call_store.journal import has_log
from evolvent.call_store.merge import merge_calls
from evolvent.call_store.store import CallStore, open_read_only, spent_in
from evolvent.models.protocols import Usage
from tests.call_store.test_store import call, put
from tests.processes import finish, python, start

SHARDS, EACH = 3, 50

# Merges stores, and ends in the middle of the second one.
DIES = """
import os, sys
from pathlib import Path
from evolvent.call_store import merge
seen, connect = [], merge.connect
def stop(key):
    seen.append(key)
    return key if len(seen) < 80 else os._exit(9)
def stopping(*given):
    connection = connect(*given)
    connection.execute("PRAGMA cache_size=1")  # so that calls are in the file before they are committed
    connection.create_function("stop", 1, stop)
    return connection
merge.connect, merge.TAKE = stopping, merge.TAKE.replace("VALUES (?,", "VALUES (stop(?),")
into, *stores = map(Path, sys.argv[1:])
merge.merge_calls(into, {path.parent.name: path for path in stores}, "evolve", lambda: None)
"""


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Path]:
    """Stores with calls of their own, and one call that all have."""
    found = {}
    for number in range(SHARDS):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        with closing(CallStore(folder / "calls.sqlite")) as store:
            own = range(number * EACH, (number + 1) * EACH)
            put(store, call(9999, usage=Usage(1, 1)), *(call(n, f"reply {n}", usage=Usage(2, 1)) for n in own))
        found[folder.name] = folder / "calls.sqlite"
    return found


def check(into: Path) -> None:
    """All calls are there once, in a store that is as a run's is."""
    assert has_log(into)
    with closing(CallStore(into)) as store:
        assert len(store) == SHARDS * EACH + 1
        assert all(store.get(call(n).key) == f"reply {n}" for n in range(SHARDS * EACH))
    assert [use.calls for use in spent_in(into.parent)] == [SHARDS * (EACH + 1)]


def test_calls_are_written_once_and_the_store_has_a_log_again(
    tmp_path: Path, stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "calls.sqlite"

    def reading(path: Path) -> sqlite3.Connection:
        assert not has_log(into) and not into.with_name(f"{into.name}-wal").exists()
        return open_read_only(path)

    with monkeypatch.context() as patch:
        patch.setattr(merge, "open_read_only", reading)
        for _ in range(2):  # the second time changes nothing
            merge_calls(into, stores, "evolve", lambda: None)
            check(into)


def test_a_merge_that_was_killed_is_made_again(tmp_path: Path, stores: dict[str, Path]) -> None:
    into = tmp_path / "calls.sqlite"
    with closing(CallStore(into)) as store:
        put(store, call(7777, "its own"))
    assert finish(start(python(DIES, into, *stores.values()))).status == 9
    with closing(CallStore(into)) as store:  # what the run does next
        assert store.get(call(7777).key) == "its own"
        assert len(store) == EACH + 2  # and one shard's
    merge_calls(into, stores, "evolve", lambda: None)
    with closing(sqlite3.connect(into)) as store, store:
        store.execute("DELETE FROM calls WHERE record = 'rec7777'")
    check(into)


def test_a_store_that_is_read_meanwhile(tmp_path: Path, stores: dict[str, Path]) -> None:
    into = tmp_path / "calls.sqlite"
    CallStore(into).close()
    with closing(open_read_only(into)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchone()
        merge_calls(into, stores, "evolve", lambda: None)
    check(into)
