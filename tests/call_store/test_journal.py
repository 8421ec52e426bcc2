"""A call store where clusters keep files: what holds there is found, said, and keeps its promise when it is killed."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.refusing import build, mounted, refusing
from evolvent.call_store import apart, journal
from evolvent.call_store.apart import newest, place_apart
from evolvent.call_store.journal import Journal, choose, copy_number, has_log, refusal, words
from evolvent.call_store.key import call_key
from evolvent.call_store.log import stored_calls
from evolvent.call_store.options import Wanted
from evolvent.call_store.store import Call, CallStore
from evolvent.errors import InputError, RunError
from evolvent.models.protocols import Usage
from evolvent.mounts import Mount
from evolvent.report.contents import contents
from evolvent.report.summary import conclusions
from tests.call_store.test_store import WRITER
from tests.e2e.command import evolvent, server
from tests.processes import finish, python, start

# Goes on with a store, and says how many calls are there, how it is kept, and what others can read meanwhile.
GOES_ON = """
import sys
from contextlib import closing
from pathlib import Path
from evolvent.call_store.journal import words
from evolvent.call_store.store import CallStore, spent_in
path = Path(sys.argv[1])
with closing(CallStore(path)) as store:
    print(len(store), sum(use.calls for use in spent_in(path.parent)), words(path), sep="|")
"""
# Looks into a run.
READS = """
import sys
from pathlib import Path
from evolvent.call_store.log import stored_calls
from evolvent.call_store.options import Wanted
from evolvent.call_store.store import spent_in
run = Path(sys.argv[1])
paid = sum(use.calls for use in spent_in(run))
print(len(list(stored_calls(run, Wanted(), None))), paid)
"""
KEPT = {"shm": "a file with a rollback journal", "fcntl": "a copy that is saved every 30 s from"}
SHARED, UNSEEN = Mount("nfs4", frozenset({"local_lock=none"})), Mount("lustre")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to build the stand-in for a file system that refuses locks")
    return build(tmp_path_factory.mktemp("refuses"))


@pytest.fixture(autouse=True)
def node(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node's own disk."""
    return on_node(tmp_path_factory.mktemp("node"), monkeypatch)


def on_node(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    return disk


def lies_on(monkeypatch: pytest.MonkeyPatch, run: Path, mount: Mount) -> None:
    for module in (journal, apart):
        monkeypatch.setattr(module, "mount_of", lambda path: mount if path.is_relative_to(run) else Mount())


def call(n: int) -> Call:
    return Call(call_key(n), "s", f"r{n}", "m", "{}", f"reply {n}", usage=Usage(1, 2), seconds=0.5)


def put(store: CallStore, *numbers: int) -> None:
    asyncio.run(store.put(map(call, numbers)))


def killed(
    path: Path, variables: dict[str, str], meanwhile: Callable[[], None] = lambda: None
) -> tuple[list[int], str]:
    """The calls that a writer acknowledged before it was killed, and what it said."""
    process = start(python(WRITER, path), variables=variables)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(20)]
    meanwhile()
    process.kill()
    ended = finish(process)
    return acknowledged + [int(line) for line in ended.output.split("\n")[:-1]], ended.errors


@pytest.mark.parametrize("refused", ["shm", "fcntl"])
def test_what_is_acknowledged_is_there_after_a_kill_and_read_meanwhile(
    tmp_path: Path, built: Path, refused: str
) -> None:
    path, variables = tmp_path / "calls.sqlite", refusing(built, refused, tmp_path)

    def read() -> None:
        reading = finish(start(python(READS, tmp_path), variables=variables))
        there, paid = map(int, reading.output.split())
        assert 20 <= paid <= there, reading.errors

    acknowledged, said = killed(path, variables, read)
    assert "refuses wal" in said and KEPT[refused] in said
    process = start(python(GOES_ON, path), variables=variables)
    there, paid, kept = finish(process).output.split("|")
    assert int(there) == int(paid) >= len(acknowledged)
    assert kept.startswith(KEPT[refused])
    assert not has_log(path)
    for name in (path.name, *(path.name + end for end in ("-journal", "-shm", "-wal"))):
        assert not (tmp_path / name).exists() or name in {path.name, "calls.sqlite-journal"}
    assert not list(tmp_path.glob(".calls-probe*"))


def test_on_another_node_the_calls_since_the_last_copy_are_made_again(
    tmp_path: Path, built: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, variables = tmp_path / "calls.sqlite", refusing(built, "fcntl", tmp_path)
    finish(start(python(GOES_ON, path), variables=variables))
    lies_on(monkeypatch, tmp_path, UNSEEN)
    with closing(CallStore(path)) as store:
        put(store, 1, 2)
    killed(path, variables)
    first = newest(path)
    assert first == place_apart(path) and len(list(stored_calls(tmp_path, Wanted(), None))) >= 20
    on_node(tmp_path_factory.mktemp("other"), monkeypatch)
    assert [called.record for called in stored_calls(tmp_path, Wanted(), None)] == ["r1", "r2"]
    with closing(CallStore(path)) as store:
        assert len(store) == 2
        put(store, 3)
    assert first.exists()
    on_node(first.parents[2], monkeypatch)  # the first node comes back: what it has is no longer the newest
    with closing(CallStore(path)) as store:
        assert len(store) == 3


def test_copies_are_saved_while_it_works_and_what_fails_then_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies_on(monkeypatch, tmp_path, UNSEEN)
    monkeypatch.setattr(apart, "SAVE_S", 0.01)
    monkeypatch.setattr(apart, "PAUSES", 0)
    path = tmp_path / "calls.sqlite"
    store = CallStore(path)
    put(store, 1)
    while not rows(path):
        pass
    before = copy_number(path)
    put(store, 2)
    while copy_number(path) == before:
        pass
    assert rows(path) == 2

    def full(*_: object, **__: object) -> None:
        raise RunError("no space is left")

    monkeypatch.setattr(apart, "replacing", full)
    put(store, 3)
    with pytest.raises(RunError, match="no space is left"):
        while True:
            put(store, 4)
    with pytest.raises(RunError, match="no space is left"):
        store.close()
    assert rows(path) == 2
    assert len(list(stored_calls(tmp_path, Wanted(), None))) >= 3  # it stays on the node's disk


def rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as copy:
        return int(copy.execute("SELECT count(*) FROM calls").fetchone()[0])


@pytest.mark.parametrize(
    ("mount", "kept", "why"),
    [
        (SHARED, Journal.TRUNCATE, "its file system, nfs4, is shared by nodes"),
        (UNSEEN, Journal.APART, "its file system, lustre, is shared by nodes that may not see each other's locks"),
    ],
)
def test_where_nodes_share_it_a_store_of_before_goes_on_in_another_way(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mount: Mount,
    kept: Journal,
    why: str,
) -> None:
    path = tmp_path / "calls.sqlite"
    killed(path, {})  # with a log
    assert path.with_name("calls.sqlite-wal").stat().st_size
    before = len(list(stored_calls(tmp_path, Wanted(), None)))
    assert words(path) == ""
    lies_on(monkeypatch, tmp_path, mount)
    with closing(CallStore(path)) as store:
        assert len(store) == before
        put(store, -1)
    assert choose(path) == (kept, why)
    assert f"{path}: {why}; it is kept as {words(path)}" in caplog.text
    assert len(list(stored_calls(tmp_path, Wanted(), None))) == before + 1
    lies_on(monkeypatch, tmp_path, Mount("ext4"))  # and back
    caplog.clear()
    with closing(CallStore(path)) as store:
        assert len(store) == before + 1
    assert not caplog.text and has_log(path)


def test_one_that_reads_long_holds_up_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lies_on(monkeypatch, tmp_path, SHARED)
    monkeypatch.setattr(journal, "READ_S", 0.1)
    with closing(CallStore(tmp_path / "calls.sqlite")) as store:
        put(store, *range(600))
        reading = stored_calls(tmp_path, Wanted(), None)
        assert len(list(islice(reading, 10))) == 10
        put(store, 600)
        assert len(list(reading)) == 591


def test_it_is_tried_before_a_store_is_made_and_not_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Journal] = []
    monkeypatch.setattr(journal, "refusal", lambda _, kind: tried.append(kind))
    for _ in range(2):
        with closing(CallStore(tmp_path / "calls.sqlite")) as store:
            put(store, 1)
    assert tried == [Journal.WAL]


def test_a_full_disk_and_a_missing_permission_are_no_reason_for_another_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(journal, "connect", fail)
    monkeypatch.setattr(journal, "system_error", lambda _: OSError(28, "No space left on device"))
    with pytest.raises(RunError):
        refusal(tmp_path, Journal.WAL)
    with pytest.raises(RunError):
        refusal(tmp_path / "none", Journal.WAL)


def test_no_disk_of_the_nodes_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "mount_of", lambda _: UNSEEN)
    monkeypatch.setattr(apart, "mount_of", lambda _: UNSEEN)
    with pytest.raises(InputError, match=r"kept neither where it lies nor in .+ is shared by nodes\nUse an --out on"):
        CallStore(tmp_path / "calls.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_another_version_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "calls.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.executescript("CREATE TABLE calls (key); PRAGMA user_version = 99;")
    before = path.read_bytes()
    lies_on(monkeypatch, tmp_path, UNSEEN)
    with pytest.raises(InputError, match="made by another version"):
        CallStore(path)
    assert path.read_bytes() == before


def test_a_command_where_nothing_can_be_locked(tmp_path: Path, built: Path, node: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Name three rivers."}\n{"instruction": "Name two lakes."}\n')
    variables = refusing(built, "flock,fcntl,shm", tmp_path)
    with server() as url:
        command = ["evolve", "seeds.jsonl", "--model", f"openai:m?base_url={url}", "--out", "run", "--rounds", "1"]
        ended = evolvent(*command, folder=tmp_path, variables=variables)
        assert ended.status == 0, ended.errors
        assert ended.errors.count(KEPT["fcntl"]) == 1
    found = contents(tmp_path / "run")
    assert list(conclusions(found)) == [f"calls.sqlite is kept as {found.store}"]
    assert found.store.startswith(KEPT["fcntl"])
    assert not list((tmp_path / "run").glob(".lease*")) and not list(node.rglob("calls.sqlite"))


@pytest.fixture
def fuse(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    kind, direct = request.param
    try:
        with mounted(tmp_path, kind, direct=direct) as at:
            yield at
    except OSError as error:
        pytest.skip(f"nothing can be mounted by FUSE here: {error}")


@pytest.mark.parametrize(
    ("fuse", "kept"),
    [(("bindfs", True), KEPT["shm"]), (("rclone", False), KEPT["fcntl"])],
    indirect=["fuse"],
)
def test_on_a_real_mount(fuse: Path, kept: str) -> None:
    acknowledged, said = killed(fuse / "calls.sqlite", {})
    assert kept in said
    there, paid, _ = finish(start(python(GOES_ON, fuse / "calls.sqlite"))).output.split("|")
    assert int(there) == int(paid) >= len(acknowledged)
