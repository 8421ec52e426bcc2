"""The call store: acknowledged means on disk, whatever ends the process; the account; what is refused."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.call_store.key import call_key
from evolvent.call_store.store import Call, CallStore
from evolvent.costs.budget import Spent
from evolvent.errors import InputError, RunError
from evolvent.models.protocols import Usage

# Commits calls 0, 1, 2 … of one token each, says which are acknowledged, and never ends by itself.
WRITER = """
import asyncio, sys
from itertools import count
from pathlib import Path
from evolvent.models.protocols import Usage
from evolvent.call_store.key import call_key
from evolvent.call_store.store import Call, CallStore
store = CallStore(Path(sys.argv[1]))
async def main():
    for n in count():
        await store.put([Call(call_key(n), "s", "r", "m", "{}", f"reply {n}", usage=Usage(1, 2), seconds=0.5)])
        print(n, flush=True)
asyncio.run(main())
"""


def call(n: int, reply: str | None = "r", **fields: object) -> Call:
    return replace(Call(call_key(n), "evolve", f"rec{n}", "m", "{}", reply), **fields)


def put(store: CallStore, *calls: Call) -> None:
    asyncio.run(store.put(calls))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[CallStore]:
    opened = CallStore(path)
    yield opened
    opened.close()


def seen_by_another(path: Path) -> int:
    with closing(sqlite3.connect(path)) as other:
        return int(other.execute("SELECT count(*) FROM calls").fetchone()[0])


def killed_writer(path: Path, after: int) -> list[int]:
    """The calls that a writer acknowledged before it was killed, ``after`` of them at least."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(after)]
    process.kill()
    acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    return acknowledged


def test_what_was_acknowledged_is_there_when_opened_again(path: Path) -> None:
    store = CallStore(path)

    async def put_all() -> None:
        await asyncio.gather(*(store.put([call(n, f"reply {n}")]) for n in range(500)))

    asyncio.run(put_all())
    store.close()
    with closing(CallStore(path)) as again:
        assert len(again) == 500
        assert again.get(call_key(123)) == "reply 123"
        assert again.get(call_key(500)) is None


def test_acknowledged_means_committed(path: Path, store: CallStore) -> None:
    """Another connection sees the calls as soon as put returns, also when many wait at once."""

    async def one(n: int) -> bool:
        await store.put([call(2 * n), call(2 * n + 1)])
        with closing(sqlite3.connect(path)) as other:
            keys = [call_key(2 * n), call_key(2 * n + 1)]
            return bool(other.execute("SELECT count(*) = 2 FROM calls WHERE key IN (?, ?)", keys).fetchone()[0])

    async def many() -> list[bool]:
        return await asyncio.gather(*(one(n) for n in range(40)))

    assert asyncio.run(many()) == [True] * 40


def test_a_group_is_committed_whole_or_not_at_all(path: Path, store: CallStore) -> None:
    broken = replace(call(2), request=object())
    with pytest.raises(RunError):
        put(store, call(1), broken)
    assert seen_by_another(path) == 0
    put(store, call(3))  # the next group is not concerned
    assert seen_by_another(path) == 1


def test_what_waits_is_committed_together(store: CallStore) -> None:
    """While a commit is under way the next calls gather: far fewer commits than calls."""
    commits: list[int] = []
    commit = store._commit
    store._commit = lambda calls: (commits.append(len(calls)), commit(calls))[1]  # type: ignore[method-assign]

    async def many() -> None:
        await asyncio.gather(*(store.put([call(n)]) for n in range(1000)))

    asyncio.run(many())
    assert sum(commits) == 1000
    assert len(commits) < 100


def test_what_was_put_is_written_although_its_caller_was_cancelled(path: Path) -> None:
    store = CallStore(path)

    async def cancelled() -> None:
        task = asyncio.ensure_future(store.put([call(1)]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.put([call(2)])  # and the writer goes on

    asyncio.run(cancelled())
    store.close()
    with closing(CallStore(path)) as again:
        assert [again.get(call_key(n)) for n in (1, 2)] == ["r", "r"]


def test_every_commit_reaches_the_disk(store: CallStore) -> None:
    for connection in (store._reader, store._connection):
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_kill_keeps_every_acknowledged_call_and_the_account_of_it(path: Path) -> None:
    acknowledged = killed_writer(path, 50)
    with closing(CallStore(path)) as store:
        assert [store.get(call_key(n)) for n in acknowledged] == [f"reply {n}" for n in acknowledged]
        calls = len(store)
        assert calls - len(acknowledged) in (0, 1)  # committed, and killed before it could say so
        assert store.spent() == [Spent("s", "m", calls, calls, 2 * calls, False, calls / 2)]


@pytest.mark.parametrize("cut", [1, 100, 5000])
@pytest.mark.parametrize("how", ["cut off", "zeros", "noise"])
def test_a_torn_log_loses_its_end_only(path: Path, cut: int, how: str) -> None:
    """As a power failure may leave the last pages of the write-ahead log."""
    acknowledged = killed_writer(path, 20)
    log = path.with_name("calls.sqlite-wal")
    content = log.read_bytes()
    log.write_bytes(content[:-cut] + {"cut off": b"", "zeros": b"\0" * cut, "noise": b"\xa5" * cut}[how])
    with closing(CallStore(path)) as store:
        found = [n for n in acknowledged if store.get(call_key(n)) is not None]
        assert found == acknowledged[: len(found)]
        assert len(found) >= len(acknowledged) - 2 - cut // 1000
        assert sum(use.calls for use in store.spent()) == len(store)
        put(store, call(-1))
        assert store.get(call_key(-1)) == "r"


def test_what_was_spent_is_summed_by_stage_and_model(store: CallStore) -> None:
    put(
        store,
        call(1, usage=Usage(10, 1), seconds=1.0),
        call(2, usage=Usage(20, 2), seconds=0.5),
        call(3, model="other", usage=Usage(5, 5, estimated=True)),
        call(4, stage="respond", usage=Usage(7, 7)),
        call(9, stage="respond", usage=Usage(1, 1, estimated=True)),
        call(10, stage="respond", usage=Usage(1, 1)),
        call(5, stage="score"),  # costs nothing
        call(6, None, error="{}", seconds=9.0),  # failed: nothing is charged
    )
    put(store, call(7, usage=Usage(1, 1)), call(8, model="other", usage=Usage(1, 1)))
    assert store.spent() == [
        Spent("evolve", "m", 3, 31, 4, False, 1.5),
        Spent("evolve", "other", 2, 6, 6, True, 0.0),
        Spent("respond", "m", 3, 9, 9, True, 0.0),
    ]


def test_a_failed_call_is_kept_and_a_later_success_takes_its_place(path: Path, store: CallStore) -> None:
    put(store, call(1, None, error='{"error":"no"}'), call(2))
    assert (store.get(call_key(1)), len(store)) == (None, 1)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT error FROM calls WHERE reply IS NULL").fetchall() == [('{"error":"no"}',)]
        put(store, call(1, "at last"))
        assert other.execute("SELECT reply, error FROM calls ORDER BY rowid").fetchall() == [
            ("r", None),
            ("at last", None),
        ]
    assert (store.get(call_key(1)), len(store)) == ("at last", 2)


def test_a_full_disk_is_named_and_after_room_is_made_it_goes_on(path: Path, store: CallStore) -> None:
    put(store, call(1))
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(RunError, match=r"no space is left to write .*calls\.sqlite\nFree some space"):
        put(store, call(2, "x" * 100_000))
    assert [store.get(call_key(n)) for n in (1, 2)] == ["r", None]
    store._connection.execute("PRAGMA max_page_count=100000")
    put(store, call(2, "x" * 100_000))
    assert seen_by_another(path) == 2


def test_a_folder_that_went_away_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with closing(CallStore(folder / "calls.sqlite")) as store:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        with pytest.raises(RunError, match="went away"):
            put(store, call(1))


def test_a_folder_that_was_made_again_meanwhile_gets_nothing(tmp_path: Path) -> None:
    """The open file still takes writes; they would reach nobody, and the store that is there now is another's."""
    path = tmp_path / "run" / "calls.sqlite"
    path.parent.mkdir()
    with closing(CallStore(path)) as store:
        put(store, call(1))
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        CallStore(path).close()
        for _ in range(2):
            with pytest.raises(RunError, match=r"calls\.sqlite went away while it was being used"):
                put(store, call(2))
        assert seen_by_another(path) == 0
    assert seen_by_another(path) == 0


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        CallStore(tmp_path / "none" / "calls.sqlite")


@pytest.mark.parametrize(
    "script",
    ["PRAGMA user_version = 7", "CREATE TABLE calls (key BLOB)", "PRAGMA user_version = 2; CREATE TABLE a (b)"],
)
def test_a_file_of_another_layout_is_refused_and_left_as_it_is(path: Path, script: str) -> None:
    def content() -> list[str]:
        with closing(sqlite3.connect(path)) as other:
            return [*other.iterdump(), str(other.execute("PRAGMA user_version").fetchone())]

    with closing(sqlite3.connect(path)) as other:
        other.executescript(script)
    before = content()
    with pytest.raises(InputError, match="made by another version of evolvent"):
        CallStore(path)
    assert content() == before


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database, and it is long enough to be taken for one" * 100)
    with pytest.raises(RunError, match=r"calls\.sqlite is damaged"):
        CallStore(path)


replies = st.none() | st.text(max_size=20)
steps = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(st.integers(0, 6), replies), min_size=1, max_size=5)),
    st.tuples(st.just("together"), st.lists(st.tuples(st.integers(0, 6), replies), min_size=1, max_size=5)),
    st.tuples(st.just("open again"), st.just([])),
)


@settings(deadline=None, max_examples=25)
@given(st.lists(steps, max_size=12))
def test_any_sequence_equals_a_dict(sequence: list[tuple[str, list[tuple[int, str | None]]]]) -> None:
    """Put one after the other, put at once, open again: what is found is what a dict would hold."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "calls.sqlite"
        store, expected, used = CallStore(path), dict[int, str | None](), 0
        try:
            for what, calls in sequence:
                made = [call(n, reply, usage=None if reply is None else Usage(n, 1)) for n, reply in calls]
                if what == "put":
                    put(store, *made)
                elif what == "together":

                    async def at_once(store: CallStore = store, made: list[Call] = made) -> None:
                        await asyncio.gather(*(store.put([one]) for one in made))

                    asyncio.run(at_once())
                else:
                    store.close()
                    store = CallStore(path)
                expected |= dict(calls)
                used += sum(reply is not None for _, reply in calls)
                assert {n: store.get(call_key(n)) for n in range(7)} == {n: expected.get(n) for n in range(7)}
                assert len(store) == sum(reply is not None for reply in expected.values())
                assert sum(use.calls for use in store.spent()) == used
        finally:
            store.close()


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(values, max_size=3), st.lists(values, max_size=3))
def test_keys_are_equal_just_for_equal_parts(one: list[object], other: list[object]) -> None:
    # repr tells True from 1 and knows no order of a dict's keys only after sorting: compare as sorted JSON.
    import json

    def canonical(parts: list[object]) -> str:
        return json.dumps(parts, sort_keys=True)

    assert (call_key(*one) == call_key(*other)) is (canonical(one) == canonical(other))


def test_order_of_a_dicts_keys_does_not_count() -> None:
    assert call_key({"a": 1, "b": 2}) == call_key({"b": 2, "a": 1})
