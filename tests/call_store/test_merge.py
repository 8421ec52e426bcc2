"""Stores of shards joined: each call once, whatever stops it, and the store that it was."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from evolvent.call_store import merge
from evolvent.call_store.journal import has_log
from evolvent.call_store.merge import merge_calls
from evolvent.call_store.store import CallStore, open_read_only, read_spent, spent_in
from evolvent.costs.budget import Spent
from evolvent.errors import RunError
from evolvent.models.protocols import Usage
from tests.call_store.test_store import call, put
from tests.processes import finish, python, start

SHARDS, EACH = 3, 50

# Merges stores, and ends in the middle of the second one.
DIES = """
import os, sys
from pathlib import Path
from evolvent.call_store import merge, store
seen, connect = [], merge.connect
def stop(key):
    seen.append(key)
    return key if len(seen) < 80 else os._exit(9)
def stopping(*given):
    connection = connect(*given)
    connection.execute("PRAGMA cache_size=1")  # so that calls are in the file before they are committed
    connection.create_function("stop", 1, stop)
    return connection
merge.connect, store.connect, merge.TAKE = stopping, stopping, merge.TAKE.replace("VALUES (?,", "VALUES (stop(?),")
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


def test_calls_are_written_once_into_a_new_store_and_it_has_a_log_then(
    tmp_path: Path, stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    into, merged = tmp_path / "calls.sqlite", False

    def reading(path: Path) -> sqlite3.Connection:
        assert has_log(into) == merged and into.with_name(f"{into.name}-wal").exists() == merged
        return open_read_only(path)

    with monkeypatch.context() as patch:
        patch.setattr(merge, "open_read_only", reading)
        for _ in range(2):  # the second time changes nothing
            merge_calls(into, stores, "evolve", lambda: None)
            check(into)
            merged = True


@pytest.mark.parametrize("new", [True, False])
def test_a_merge_that_was_killed_is_made_again(tmp_path: Path, stores: dict[str, Path], new: bool) -> None:
    into = tmp_path / "calls.sqlite"
    if not new:
        with closing(CallStore(into)) as store:
            put(store, call(7777, "its own"))
    assert finish(start(python(DIES, into, *stores.values()))).status == 9
    with closing(CallStore(into)) as store:  # what the run does next
        assert store.get(call(7777).key) == (None if new else "its own")
        assert len(store) == EACH + 1 + (not new)  # and one shard's
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


def test_a_new_store_that_is_read_when_all_is_merged(
    tmp_path: Path, stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    into, readers = tmp_path / "calls.sqlite", []

    def reading(store: sqlite3.Connection, path: Path) -> Iterator[Spent]:
        if path == into:  # all is committed
            readers.append(open_read_only(into))
            readers[0].execute("BEGIN")
            readers[0].execute("SELECT count(*) FROM calls").fetchone()
        return read_spent(store, path)

    monkeypatch.setattr(merge, "read_spent", reading)
    merge_calls(into, stores, "evolve", lambda: None)
    readers[0].close()
    assert not has_log(into)
    CallStore(into).close()
    check(into)


def made_again(path: Path, *, calls: int) -> None:
    """A store in the place of another."""
    path.unlink(missing_ok=True)
    with closing(CallStore(path)) as store:
        put(store, *(call(n, usage=Usage(2, 1)) for n in range(calls)))


@pytest.mark.parametrize("calls", [2, 5, 9])
def test_what_a_store_paid_that_was_made_in_the_place_of_another_is_added(tmp_path: Path, calls: int) -> None:
    into, path = tmp_path / "calls.sqlite", tmp_path / "1-of-1.sqlite"
    made_again(path, calls=5)
    merge_calls(into, {"1-of-1": path}, "evolve", lambda: None)
    made_again(path, calls=calls)
    for _ in range(2):
        merge_calls(into, {"1-of-1": path}, "evolve", lambda: None)
        assert [use.calls for use in spent_in(tmp_path)] == [5 + calls]
    path.rename(copy := tmp_path / "copy.sqlite")
    merge_calls(into, {"1-of-1": copy}, "evolve", lambda: None)  # a copy is the same store
    assert [use.calls for use in spent_in(tmp_path)] == [5 + calls]


def test_a_store_of_an_earlier_version_is_known_by_its_name(tmp_path: Path) -> None:
    into, path = tmp_path / "calls.sqlite", tmp_path / "1-of-1.sqlite"
    made_again(path, calls=5)
    with closing(sqlite3.connect(path)) as store:
        store.execute("DROP TABLE identity")
    for _ in range(2):
        merge_calls(into, {"1-of-1": path}, "evolve", lambda: None)
        assert [use.calls for use in spent_in(tmp_path)] == [5]
    with closing(sqlite3.connect(into)) as store:
        assert store.execute("SELECT store FROM taken").fetchall() == [("1-of-1",)]
    made_again(path, calls=5)
    merge_calls(into, {"1-of-1": path}, "evolve", lambda: None)
    assert [use.calls for use in spent_in(tmp_path)] == [10]


@pytest.mark.parametrize("broken", ["into", "1"])
def test_of_two_stores_the_one_that_fails_is_named(tmp_path: Path, stores: dict[str, Path], broken: str) -> None:
    into = tmp_path / "calls.sqlite"
    CallStore(into).close()
    with closing(sqlite3.connect(stores.get(broken, into))) as store:
        if broken == "into":
            store.execute("CREATE TRIGGER broken BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no'); END")
        else:
            store.execute("ALTER TABLE limits RENAME COLUMN max_tokens TO tokens")
            store.execute("ALTER TABLE calls RENAME COLUMN stage TO phase")
        store.commit()
    with pytest.raises(RunError) as found:
        merge_calls(into, stores, "evolve", lambda: None)
    assert str(found.value).startswith(f"{stores.get(broken, into)} ")
