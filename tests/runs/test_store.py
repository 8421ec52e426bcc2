import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.errors import RunError
from evolvent.runs.store import Call, CallStore, call_key


def call(n: int, reply: str = "r") -> Call:
    return Call(call_key(n), "evolve", f"rec{n}", "m", "{}", reply)


def test_what_was_acknowledged_is_there_when_opened_again(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "calls.sqlite")

    async def put_all() -> None:
        await asyncio.gather(*(store.put([call(n, f"reply {n}")]) for n in range(500)))

    asyncio.run(put_all())
    store.close()
    again = CallStore(tmp_path / "calls.sqlite")
    assert len(again) == 500
    assert again.get(call_key(123)) == "reply 123"
    assert again.get(call_key(500)) is None
    again.close()


def test_acknowledged_means_committed(tmp_path: Path) -> None:
    """Another connection sees the call as soon as put returns."""
    store = CallStore(tmp_path / "calls.sqlite")

    async def put_then_look() -> int:
        await store.put([call(1), call(2)])
        return int(sqlite3.connect(tmp_path / "calls.sqlite").execute("SELECT count(*) FROM calls").fetchone()[0])

    assert asyncio.run(put_then_look()) == 2
    store.close()


def test_synchronous_full_and_wal(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "calls.sqlite")
    connection = store._connect()
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    store.close()


def test_kill_keeps_every_acknowledged_call(tmp_path: Path) -> None:
    """A process that acknowledges calls on its output and is killed in the middle has lost none of them."""
    script = """
import asyncio, sys
from pathlib import Path
from evolvent.runs.store import Call, CallStore, call_key
store = CallStore(Path(sys.argv[1]))
async def main():
    for n in range(100000):
        await store.put([Call(call_key(n), "s", "r", "m", "{}", "x")])
        print(n, flush=True)
asyncio.run(main())
"""
    path = tmp_path / "calls.sqlite"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(50)]
    process.kill()
    acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    store = CallStore(path)
    assert all(store.get(call_key(n)) == "x" for n in acknowledged)
    assert len(store) - len(acknowledged) in (0, 1)
    store.close()


def test_a_folder_that_went_away_stops_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    store = CallStore(folder / "calls.sqlite")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(RunError, match="went away"):
        asyncio.run(store.put([call(1)]))
    store.close()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"this is no database, and it is long enough to be taken for one" * 100)
    with pytest.raises(RunError, match=r"calls\.sqlite is damaged"):
        CallStore(path)


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
