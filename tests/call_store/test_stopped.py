"""A store that was stopped, or ran out of space, in its first moment, and one of which a file was removed."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from evolvent.call_store.key import call_key
from evolvent.call_store.log import calls, count_calls, why_none
from evolvent.call_store.options import Wanted
from evolvent.call_store.store import Call, CallStore, open_read_only, spent_in
from evolvent.errors import InputError, RunError
from evolvent.models.protocols import Usage
from tests.call_store.test_store import killed_writer

# For each limit: a process that may not write beyond it in any file opens a store, and is killed, or told so.
LAYING_OUT = """
import os, resource, signal, sys
from pathlib import Path
from evolvent.call_store.store import CallStore
from evolvent.errors import RunError
folder, told = Path(sys.argv[1]), sys.argv[2] == "told"
for limit in map(int, sys.argv[3:]):
    (folder / str(limit)).mkdir()
    if os.fork() == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN if told else signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            CallStore(folder / str(limit) / "calls.sqlite")
        except RunError as error:
            os.write(1, f"{error.message}\\n".encode())
        os._exit(0)
    os.wait()
"""
LIMITS = [0, 1, 511, 512, 600, 4095, 4096, 9000, 20000, 32767]


def check_empty_and_usable(run: Path) -> None:
    """No reader finds a call, and the store can be used."""
    path = run / "calls.sqlite"
    assert spent_in(run) == []
    if path.exists():
        assert list(calls(run)) == []
        assert count_calls(run) == 0
        assert why_none(run, Wanted(model="m")) == ["no call was made for the model m; there are calls for: none"]
    with closing(CallStore(path)) as store:
        asyncio.run(store.put([Call(call_key(1), "s", "r", "m", "{}", "reply", usage=Usage(1, 1))]))
    assert (count_calls(run), spent_in(run)[0].calls) == (1, 1)


@pytest.mark.parametrize("how", ["killed", "told"])
def test_a_stop_at_each_write_of_the_first_moment_leaves_no_calls_yet(tmp_path: Path, how: str) -> None:
    arguments = [sys.executable, "-c", LAYING_OUT, str(tmp_path), how, *map(str, LIMITS)]
    said = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    assert len(said) == (len(LIMITS) if how == "told" else 0)
    assert all(line.startswith(("the disk reports an error", "no space is left")) for line in said)
    for limit in LIMITS:
        check_empty_and_usable(tmp_path / str(limit))


@pytest.mark.parametrize("kept", [0, 32, 5000, 20000])
def test_a_log_that_was_cut_while_the_tables_were_written(tmp_path: Path, kept: int) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "run").mkdir()
    with closing(CallStore(tmp_path / "whole" / "calls.sqlite")):
        for name in ("calls.sqlite", "calls.sqlite-wal"):
            shutil.copy(tmp_path / "whole" / name, tmp_path / "run")
    log = tmp_path / "run" / "calls.sqlite-wal"
    log.write_bytes(log.read_bytes()[:kept])
    check_empty_and_usable(tmp_path / "run")


def test_an_empty_file_holds_no_calls_yet(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").touch()
    check_empty_and_usable(tmp_path)


def test_what_is_no_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "calls.sqlite")
    with pytest.raises(InputError, match=r"calls\.sqlite is no file\nMove it away"):
        CallStore(tmp_path / "calls.sqlite")
    assert spent_in(tmp_path) == []


def test_what_a_stop_left_in_a_journal_is_taken_back(tmp_path: Path) -> None:
    """Also by one that only looks: as from a store that sqlite's own shell has put out of WAL mode."""
    path = tmp_path / "calls.sqlite"
    with closing(CallStore(path)) as store:
        asyncio.run(store.put([Call(call_key(n), "s", "r", "m", "{}", "reply", usage=Usage(1, 1)) for n in range(500)]))
    script = f"""
import os, sqlite3
store = sqlite3.connect({str(path)!r}, isolation_level=None)
store.executescript("PRAGMA journal_mode=DELETE; PRAGMA cache_size=2; BEGIN; DELETE FROM calls; DELETE FROM spent")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert path.with_name("calls.sqlite-journal").stat().st_size
    assert (count_calls(tmp_path), spent_in(tmp_path)[0].calls) == (500, 500)


@pytest.mark.parametrize("removed", ["calls.sqlite", "calls.sqlite-wal", "calls.sqlite-shm"])
def test_a_file_that_was_removed_after_a_kill(tmp_path: Path, caplog: pytest.LogCaptureFixture, removed: str) -> None:
    path = tmp_path / "calls.sqlite"
    acknowledged = killed_writer(path, 5)
    (tmp_path / removed).unlink()
    if removed == "calls.sqlite-shm":  # sqlite makes it anew
        with closing(CallStore(path)) as store:
            assert [store.get(call_key(n)) for n in acknowledged] == [f"reply {n}" for n in acknowledged]
        assert not caplog.messages
        return
    check_empty_and_usable(tmp_path)
    gone = [line for line in caplog.messages if "calls.sqlite is gone, and with it what was stored" in line]
    assert len(gone) == (removed == "calls.sqlite")


@pytest.mark.parametrize("page", [2, 3, 4, 5])
def test_damaged_pages_are_named_by_whoever_reads_them(tmp_path: Path, page: int) -> None:
    path = tmp_path / "calls.sqlite"
    with closing(CallStore(path)) as store:
        made = (Call(call_key(n), "s", "r", "m", "{}", "x" * 500, usage=Usage(1, 1)) for n in range(100))
        asyncio.run(store.put(made))
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    named = 0
    for look in (spent_in, count_calls, lambda run: list(calls(run)), lambda run: why_none(run, Wanted(model="n"))):
        try:
            look(tmp_path)
        except RunError as error:
            named += 1
            assert error.message.startswith(f"{path} is damaged")
            assert f"sqlite3 '{path}' .recover" in error.fix
    try:
        with closing(CallStore(path)) as store:
            assert [store.get(call_key(n)) in ("x" * 500, None) for n in range(100)] == [True] * 100
    except RunError as error:
        named += 1
        assert error.message.startswith(f"{path} is damaged")
    assert named


def test_a_store_of_layout_1_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with closing(CallStore(path)) as store:
        asyncio.run(store.put([Call(call_key(1), "s", "r", "m", "{}", "old", usage=Usage(1, 1))]))
    with closing(sqlite3.connect(path)) as old:
        old.executescript("ALTER TABLE calls DROP COLUMN checksum; PRAGMA user_version = 1")
    assert (count_calls(tmp_path), spent_in(tmp_path)[0].calls, len(list(calls(tmp_path)))) == (1, 1, 1)
    with closing(CallStore(path)) as store:
        asyncio.run(store.put([Call(call_key(2), "s", "r", "m", "{}", "new", usage=Usage(1, 1))]))
        assert [store.get(call_key(n)) for n in (1, 2)] == ["old", "new"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are not listed here")
def test_a_store_that_is_refused_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    before = sorted(Path("/proc/self/fd").iterdir())
    for refuse in (CallStore, open_read_only):
        with pytest.raises(InputError, match="another version") as error:
            refuse(path)
        assert sorted(Path("/proc/self/fd").iterdir()) == before, error
