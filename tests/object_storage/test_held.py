"""A run folder in a store: one holder of all nodes, who saves it; who has lost it saves nothing more."""

import json
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import InputError, RunError
from evolvent.object_storage import held
from evolvent.object_storage.held import HeldFolder
from evolvent.object_storage.stores import open_store
from evolvent.object_storage.urls import place_of
from evolvent.runs.folder import RunFolder
from tests.object_storage.conftest import Node
from tests.processes import wait_until

URL = "memory://bucket/run"


def of_another_node(memory: Any, token: str = "theirs", beats: int = 0) -> None:
    who = {"host": "node7", "here": "node7 boot", "pid": 41, "began": "9", "since": "2026-11-26T09:00:00+00:00"}
    memory.pipe_file("/bucket/run/.lease", f"{json.dumps(who)}\n{token}\n{beats}".encode())


def taken() -> HeldFolder:
    mine = HeldFolder(URL, place_of(URL))
    mine.take()
    return mine


def test_one_process_holds_it_and_leaves_nothing_but_what_it_made(memory: Any, node: Node) -> None:
    mine = taken()
    with pytest.raises(InputError, match=r"memory://bucket/run is in use by another process \(pid \d+ on "):
        taken()
    place_of(URL).mkdir()
    (place_of(URL) / "manifest.json").write_text("{}")
    mine.end()
    assert sorted(memory.find("/bucket/run")) == ["/bucket/run/.saved", "/bucket/run/manifest.json"]
    taken().give_up()
    assert not memory.exists("/bucket/run/.lease")


def test_one_of_a_dead_process_is_taken_over_at_once(memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "EXPIRY_S", 60)
    mine = taken()
    mine._given_up.set()
    dead = memory.cat_file("/bucket/run/.lease").replace(mine._token.encode(), b"theirs")
    who = json.loads(dead.split(b"\n")[0]) | {"began": "1"}
    memory.pipe_file("/bucket/run/.lease", json.dumps(who).encode() + b"\ntheirs\n0")
    taken().end()


def test_one_of_another_node_is_waited_for_until_it_expires(
    memory: Any, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    of_another_node(memory)
    taken().end()
    words = "is held from another machine (pid 41 on node7, since 2026-11-26T09:00:00+00:00)"
    assert words in caplog.text


def test_one_that_beats_is_in_use(memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    of_another_node(memory)
    monkeypatch.setattr(held.time, "sleep", lambda _: of_another_node(memory, beats=1))
    with pytest.raises(InputError, match="pid 41 on node7"):
        taken()


def test_in_a_store_without_conditions_who_is_there_stays(
    memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(URL)[0]
    monkeypatch.setattr(store, "pipe_file", lambda path, value, **_: memory.pipe_file(path, value))
    mine = taken()
    with pytest.raises(InputError, match="is in use"):
        taken()
    mine.save()
    mine.end()


def test_it_beats_while_much_is_brought_and_saved(memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def slowly(url: str, *_: object, **__: object) -> None:
        before = memory.cat_file("/bucket/run/.lease")
        wait_until(lambda: memory.cat_file("/bucket/run/.lease") != before)
        seen.append(before)

    monkeypatch.setattr(held, "bring", slowly)
    monkeypatch.setattr(held, "save", slowly)
    taken().end()
    assert len(seen) == 2


@pytest.mark.parametrize("damaged", [b"", b"{", b"\n\n\n", b"[]\nx\ny"])
def test_a_damaged_one_expires_too(memory: Any, node: Node, damaged: bytes) -> None:
    memory.pipe_file("/bucket/run/.lease", damaged)
    taken().end()


def test_who_has_lost_it_saves_nothing_more(memory: Any, node: Node) -> None:
    folder = RunFolder(place_of(URL))
    with (
        pytest.raises(RunError, match=r"was taken over by another process \(pid 41 on node7(.|\n)*Nothing more"),
        folder,
    ):
        folder.write()
        of_another_node(memory)
        wait_until(lambda: folder._lock._held is not None and folder._lock._held._lost)
        folder.check_there()
    assert not memory.exists("/bucket/run/manifest.json") and memory.exists("/bucket/run/.lease")
    assert (place_of(URL) / "manifest.json").exists()


def test_it_is_saved_while_it_grows_and_a_store_that_fails_for_a_while_stops_nothing(
    memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(held, "SAVE_S", 0.02)
    monkeypatch.setattr(held, "PAUSES", 0)
    saved: list[bool] = []
    real = held.save

    def save(url: str, check: object) -> None:
        saved.append(True)
        if len(saved) < 3:
            raise RunError("the store is busy")
        real(url, check)

    monkeypatch.setattr(held, "save", save)
    with RunFolder(place_of(URL)) as folder:
        folder.write()
        wait_until(lambda: memory.exists("/bucket/run/manifest.json"))
    assert caplog.text.count("the store is busy; it is tried again") == 1


def test_what_cannot_be_saved_at_the_end_is_an_error_that_says_where_it_is(
    memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def save(url: str, check: object) -> None:
        raise RunError("the store is gone", fix="Start the same command again.")

    monkeypatch.setattr(held, "save", save)
    with pytest.raises(RunError, match="the store is gone") as error, RunFolder(place_of(URL)):
        pass
    assert error.value.fix.startswith(f"What was made is in its copy here, below {tmp_path / 'first'}")
    assert not memory.exists("/bucket/run/.lease")


def test_of_a_refused_command_nothing_is_left(memory: Any, node: Node) -> None:
    place = place_of(URL)
    place.mkdir(parents=True)
    (place / "manifest.json").write_text("{")
    with pytest.raises(InputError), RunFolder(place):
        pass
    assert memory.find("/bucket/run") == []
