"""A folder's lease: one holder, on whatever machine, until it gives no sign of life; who has lost it writes no more."""

import asyncio
import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from evolvent.call_store.key import call_key
from evolvent.call_store.store import Call, CallStore
from evolvent.errors import InputError, RunError
from evolvent.mounts import Mount
from evolvent.runs import lease, lock
from evolvent.runs.folder import RunFolder
from evolvent.runs.lease import LEASE, Lease, holder_of
from evolvent.runs.lock import in_use
from tests.processes import finish, python, start

TAKES = """
import sys, time
from pathlib import Path
from evolvent import holder
from evolvent.runs import lease
lease.EXPIRY_S, lease.LOOK_S, lease.BEAT_S = 1.5, 0.01, 0.1
held = lease.Lease(Path(sys.argv[1]))
holder = held.take(lambda holder: None)
print("lost" if holder else "won", flush=True)
time.sleep(60 if sys.argv[2:] and not holder else 0)
held.check() if not holder else None
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "EXPIRY_S", 0.4)
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    monkeypatch.setattr(lease, "LOOK_S", 0.01)


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", flock)


def of_another_machine(folder: Path, token: str = "theirs") -> Path:
    """A lease as another node has left it."""
    (folder / LEASE).mkdir(parents=True)
    written = {"host": "node7", "here": "node7 boot", "pid": 41, "began": "9", "since": "2026-11-26T09:00:00+00:00"}
    file = folder / LEASE / token
    file.write_text(json.dumps(written) + f"\n{0:12}")
    return file


def held(folder: Path) -> Lease:
    mine = Lease(folder)
    assert mine.take(lambda _: None) is None
    return mine


def test_one_process_at_a_time_and_one_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    process = start(python(TAKES, tmp_path, "stay"))
    assert process.stdout is not None and process.stdout.readline() == "won\n"
    with pytest.raises(InputError, match=rf"in use by another process \(pid {process.pid} on .+, since 20\d\d-"):
        lock.FolderLock(tmp_path)._take_lease()
    process.kill()
    finish(process)
    told: list[object] = []
    mine = Lease(tmp_path)
    assert mine.take(told.append) is None  # at once
    assert not told
    mine.give_up()
    assert list(tmp_path.iterdir()) == []


def test_without_flock_a_lease_is_held_and_nothing_is_left_of_it(tmp_path: Path, without_flock: None) -> None:
    out = tmp_path / "run"
    with RunFolder(out) as run:
        assert in_use(out)
        run.check_there()
        with pytest.raises(InputError, match=f"in use by another process .pid {os.getpid()} on "), RunFolder(out):
            pass
        run.check_there()
    assert not in_use(out)
    assert [path.name for path in out.iterdir()] == [".lock"]
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path / "refused"):
        raise ZeroDivisionError
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("mount", "leased"),
    [
        (Mount("ext4"), False),
        (Mount("nfs4", frozenset({"local_lock=none"})), False),
        (Mount("nfs", frozenset({"local_lock=flock"})), True),
        (Mount("lustre", frozenset({"localflock"})), True),
        (Mount("fuse.sshfs"), True),
    ],
)
def test_where_other_nodes_do_not_see_flock_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: Mount, leased: bool
) -> None:
    monkeypatch.setattr(lock, "mount_of", lambda _: mount)
    with RunFolder(tmp_path):
        assert (tmp_path / LEASE).exists() == leased
        who = str(os.getpid()) + rf"{'' if mount.is_local else ' on .+, since 20.+'}\)"
        with pytest.raises(InputError, match=who), RunFolder(tmp_path):
            pass


def test_a_holder_elsewhere_that_gives_signs_of_life_keeps_it(
    tmp_path: Path, without_flock: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = of_another_machine(tmp_path)
    monkeypatch.setattr(lease.time, "sleep", lambda _: theirs.write_text(theirs.read_text()[:-1] + "1"))
    message = r"in use by another process \(pid 41 on node7, since 2026-11-26T09:00:00\+00:00\)"
    with pytest.raises(InputError, match=message), RunFolder(tmp_path):
        pass
    assert "held from another machine (pid 41 on node7, since" in caplog.text
    assert theirs.exists() and in_use(tmp_path)


def test_one_without_a_sign_of_life_is_taken_over(tmp_path: Path, without_flock: None) -> None:
    of_another_machine(tmp_path)
    with RunFolder(tmp_path):
        holder = holder_of(tmp_path)
        assert holder is not None and holder.pid == os.getpid()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_of_several_that_take_over_at_once_exactly_one_does(tmp_path: Path) -> None:
    of_another_machine(tmp_path)
    processes = [start(python(TAKES, tmp_path, "stay")) for _ in range(5)]
    ended = []
    for process in processes:
        assert process.stdout is not None
        ended.append(process.stdout.readline())
    holder = holder_of(tmp_path)
    for process in processes:
        process.kill()
        finish(process)
    assert sorted(ended) == ["lost\n"] * 4 + ["won\n"]
    assert holder is not None and holder.pid == processes[ended.index("won\n")].pid


def holds(mine: Lease) -> bool:
    try:
        mine.check()
    except RunError:
        return False
    return True


@pytest.mark.parametrize("machines", [1, 3])
@pytest.mark.parametrize("round", range(6))
def test_of_threads_that_take_over_at_once_exactly_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machines: int, round: int
) -> None:
    """Of several machines none sees whether another's process runs: its beats alone tell.

    On a busy machine one's beats may be late, so that another takes over from it, too: then it does not hold it.
    """
    here, at_once = threading.local(), threading.Barrier(4)
    monkeypatch.setattr("evolvent.holder._here", lambda: getattr(here, "name", "elsewhere"))
    monkeypatch.setattr(lease, "EXPIRY_S", 0.2)
    monkeypatch.setattr(lease, "LOOK_S", 0.001)
    of_another_machine(tmp_path)
    won: list[Lease] = []

    def take(number: int) -> None:
        mine, here.name = Lease(tmp_path), f"node{number % machines}"
        at_once.wait()
        if mine.take(lambda _: None) is None:
            won.append(mine)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [token] = [file.name for file in (tmp_path / LEASE).iterdir()]
    assert [mine.token for mine in won if holds(mine)] == [token]
    assert len(won) == 1 or machines > 1
    for mine in won:
        mine.give_up()
    assert list(tmp_path.iterdir()) == []


def test_a_late_one_that_took_the_last_holder_for_dead_moves_no_later_lease(tmp_path: Path) -> None:
    of_another_machine(tmp_path)
    mine = held(tmp_path)
    lease._end(tmp_path, "theirs")
    mine.check()
    mine.give_up()
    later = held(tmp_path)
    lease._end(tmp_path, "theirs")
    later.check()


@pytest.mark.parametrize("takes", [True, False])
def test_who_lost_it_writes_nothing_more(tmp_path: Path, without_flock: None, takes: bool) -> None:
    with RunFolder(tmp_path) as run:
        store = CallStore(tmp_path / "calls.sqlite", run.check_there)
        asyncio.run(store.put([Call(call_key(1), "s", "r", "m", "{}", "one")]))
        shutil.move(tmp_path / LEASE, tmp_path / "gone")
        if takes:
            theirs = of_another_machine(tmp_path)
        who = "pid 41 on node7, since 2026-11-26T09:00:00" if takes else "which has ended"
        with pytest.raises(RunError, match=rf"was taken over by another process \({who}(.|\n)*Nothing more is written"):
            asyncio.run(store.put([Call(call_key(2), "s", "r", "m", "{}", "two")]))
        with pytest.raises(RunError, match="was taken over"):
            run.write()
        assert len(store) == 1
        store.close()
    assert not takes or theirs.exists()  # it is not given up by who does not hold it


def test_the_beat_is_what_keeps_it(tmp_path: Path) -> None:
    mine = held(tmp_path)
    first = holder_of(tmp_path)
    elsewhere = TAKES.replace("lease.EXPIRY_S", "holder._here = lambda: 'elsewhere'; lease.EXPIRY_S")
    process = start(python(elsewhere, tmp_path))
    assert finish(process).output == "lost\n"
    last = holder_of(tmp_path)
    assert first is not None and last is not None and first.written != last.written and first.token == last.token
    mine.check()
    mine.give_up()


def test_a_folder_that_is_removed_meanwhile_is_named(
    tmp_path: Path, without_flock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_another_machine(tmp_path / "run")
    monkeypatch.setattr(lease.time, "sleep", lambda _: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(RunError, match="went away while it was being used"), RunFolder(tmp_path / "run"):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": 1}\n           1', b'{"who": 1}\n           1'])
def test_a_damaged_lease_is_waited_for_and_taken_over(tmp_path: Path, content: bytes) -> None:
    of_another_machine(tmp_path).write_bytes(content)
    held(tmp_path).give_up()
    assert list(tmp_path.iterdir()) == []
