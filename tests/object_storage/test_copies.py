"""Copies: brought when the store has moved on, saved in an order that a kill may cut, and nothing of them lost."""

import fcntl
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evolvent.call_store.journal import words
from evolvent.errors import InputError, RunError
from evolvent.object_storage import stores
from evolvent.object_storage.bring import bring, bring_shards
from evolvent.object_storage.copies import OWN, Note, differs, files_of
from evolvent.object_storage.save import save as save_held
from evolvent.object_storage.urls import place_of
from tests.object_storage.conftest import Node

URL = "memory://bucket/run"


def changed(url: str = URL) -> bool:
    return differs(place_of(url), Note.read(place_of(url)))


def save(url: str = URL) -> None:
    save_held(url, lambda: None)


def made(url: str = URL, **files: str) -> Path:
    """A copy in which these files are."""
    place = place_of(url)
    place.mkdir(parents=True, exist_ok=True)
    for name, text in {"manifest.json": "{}", **files}.items():
        (place / name.replace("__", ".")).write_text(text)
    return place


def test_a_file_is_brought_once_and_again_when_it_was_replaced(memory: Any, node: Node) -> None:
    memory.pipe_file("/bucket/seeds.jsonl", b"one")
    place = bring("memory://bucket/seeds.jsonl")
    inode = place.stat().st_ino
    assert place.read_bytes() == b"one" and bring("memory://bucket/seeds.jsonl").stat().st_ino == inode
    memory.pipe_file("/bucket/seeds.jsonl", b"two")
    assert bring("memory://bucket/seeds.jsonl").read_bytes() == b"two"


def test_what_is_saved_is_brought_to_another_node_and_what_is_removed_goes_there_too(node: Node) -> None:
    place = made(a="1", b="2")
    save(URL)
    assert not changed(URL)
    node("second")
    there = bring(URL)
    assert {file.name: file.read_text() for file in there.iterdir()} == {"manifest.json": "{}", "a": "1", "b": "2"}
    (there / "a").unlink()
    (there / "b").write_text("3")
    assert changed(URL)
    save(URL)
    node("first")
    assert bring(URL) == place and not (place / "a").exists() and (place / "b").read_text() == "3"


def test_a_copy_that_is_newer_than_the_store_is_gone_on_with(node: Node) -> None:
    place = made(a="1")
    save(URL)
    (place / "a").write_text("made before the kill")
    assert (bring(URL) / "a").read_text() == "made before the kill" and changed(URL)


def test_a_copy_that_another_node_has_gone_on_from_is_not(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    place = made(a="1")
    save(URL)
    (place / "a").write_text("made before the kill")
    node("second")
    made(a="made since")
    bring(URL)
    made(a="made since")
    save(URL)
    node("first")
    assert (bring(URL) / "a").read_text() == "made since"
    assert "what was made here since its last save is kept in" in caplog.text
    [aside] = place.parent.glob(".run.left-1")
    assert (aside / "a").read_text() == "made before the kill"


def test_a_folder_that_was_removed_in_the_store_is_none_here(memory: Any, node: Node) -> None:
    made(a="1")
    save(URL)
    memory.rm("/bucket/run", recursive=True)
    place = bring(URL)
    assert list(place.rglob("*")) == []
    assert (place.with_name(".run.left-1") / "a").read_text() == "1"  # a wrong endpoint looks no otherwise


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("fails_at", range(5))
def test_a_save_that_is_cut_anywhere_is_done_again_here(
    memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch, fails_at: int, first: bool
) -> None:
    place = made(a="1")
    if not first:
        save(URL)
    for name in ("a", "b", "manifest.json"):
        (place / name).write_text("new")
    sqlite3.connect(place / "calls.sqlite").execute("CREATE TABLE t (a)").connection.close()
    left, real = [fails_at], {name: getattr(memory, name) for name in ("put", "put_file", "pipe_file", "rm_file")}

    def cut(name: str) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise ConnectionResetError("the node lost its network")
            return real[name](*arguments, **options)

        return run

    store = stores.open_store(URL)[0]
    for name in real:
        monkeypatch.setattr(store, name, cut(name))
    if fails_at < 4:
        with pytest.raises(RunError, match=r"memory://bucket/run cannot be saved: the node lost its network"):
            save(URL)
        if fails_at:  # the calls come first, the manifest behind what it names
            assert memory.exists("/bucket/run/calls.sqlite")
        there = memory.store.get("/bucket/run/manifest.json")
        assert (there is not None and there.getvalue() == b"new") == (fails_at == 3)
        left[0] = 99
        (place / "a").write_text("newer")
    assert (bring(URL) / "a").read_text() == (
        "newer" if fails_at < 4 else "new"
    )  # than the store, whose number is the old one
    save(URL)
    node("second")
    assert {file.name for file in bring(URL).iterdir()} == {"a", "b", "manifest.json", "calls.sqlite"}
    assert not changed(URL)


def test_saves_that_are_cut_one_after_another_lose_nothing_here(
    memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = made(a="1")
    save(URL)
    store, real, cut = stores.open_store(URL)[0], memory.pipe_file, [True]

    def pipe(path: str, value: bytes) -> None:
        if not cut[0]:
            raise ConnectionResetError
        real(path, value)
        if path.endswith("/.saved"):  # the number is there, and the node does not hear of it
            cut[0] = False
            raise ConnectionResetError

    monkeypatch.setattr(store, "pipe_file", pipe)
    for text in ("2", "3"):
        (place / "a").write_text(text)
        with pytest.raises(RunError):
            save(URL)
        (place / "a").write_text(f"{text}, and newer")
        assert (bring(URL) / "a").read_text() == f"{text}, and newer"


def test_the_store_of_calls_is_saved_whole_while_it_grows(node: Node) -> None:
    place = made()
    growing = sqlite3.connect(place / "calls.sqlite")
    growing.execute("PRAGMA journal_mode=WAL")
    growing.execute("CREATE TABLE calls (reply TEXT)")
    with growing:
        growing.execute("INSERT INTO calls VALUES ('paid')")
    save(URL)
    growing.execute("INSERT INTO calls VALUES ('in flight')")  # not committed
    assert changed(URL) is False
    growing.commit()
    assert changed(URL)
    growing.rollback()
    growing.close()
    node("second")
    assert words(bring(URL) / "calls.sqlite") == ""  # it is kept with a log, as where it came from
    with sqlite3.connect(bring(URL) / "calls.sqlite") as saved:
        assert saved.execute("SELECT reply FROM calls").fetchall() == [("paid",)]


def test_a_part_that_is_joined_while_it_is_saved_is_left_out(
    memory: Any, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = made(a="1", b="2")
    store, real = stores.open_store(URL)[0], memory.put

    def put(here: list[str], there: list[str]) -> None:
        (place / "b").unlink(missing_ok=True)
        real(here, there)

    monkeypatch.setattr(store, "put", put)
    save(URL)
    assert not memory.exists("/bucket/run/b") and memory.exists("/bucket/run/a")


def test_folders_of_something_else_are_not_brought(memory: Any, node: Node) -> None:
    memory.pipe_file("/bucket/photos/1.jpg", b"1")
    with pytest.raises(InputError, match="memory://bucket/photos is a folder"):
        bring("memory://bucket/photos")
    assert not place_of("memory://bucket/photos").exists()


def test_names_that_lead_elsewhere_are_refused(memory: Any, node: Node, tmp_path: Path) -> None:
    for name in ("manifest.json", "a/../../../../../../../escaped"):
        memory.store[f"/bucket/run/{name}"] = memory.open("/x", "wb")
    with pytest.raises(InputError, match="has a part that is no file's name"):
        bring(URL)
    assert not list(tmp_path.rglob("escaped"))


def test_shards_stay_in_the_store(memory: Any, node: Node) -> None:
    made(a="1")
    made(f"{URL}/shards/1-of-2", a="2")
    save(URL)
    save(f"{URL}/shards/1-of-2")
    node("second")
    place = bring(URL)
    assert not (place / "shards").exists()
    bring_shards(URL)
    assert (place / "shards" / "1-of-2" / "a").read_text() == "2"


def test_a_damaged_note_loses_nothing(node: Node) -> None:
    place = made(a="1")
    save(URL)
    (place / "a").write_text("newer")
    place.with_name(".run.saved").write_bytes(b"{")
    assert (bring(URL) / "a").read_text() == "1" and not changed(URL)
    assert (place.with_name(".run.left-1") / "a").read_text() == "newer"


def test_a_save_over_what_another_node_has_saved_is_refused(memory: Any, node: Node) -> None:
    made(a="1")
    save(URL)
    node("second")
    bring(URL)
    made(a="2")
    save(URL)
    node("first")
    made(b="3")
    with pytest.raises(RunError, match="was gone on with elsewhere"):
        save(URL)
    assert memory.cat_file("/bucket/run/a") == b"2" and not memory.exists("/bucket/run/b")


def test_a_run_that_was_put_there_by_other_means_is_worked_on(memory: Any, node: Node) -> None:
    for name, content in (("manifest.json", b"{}"), ("a", b"1")):
        memory.pipe_file(f"/bucket/run/{name}", content)
    place = bring(URL)
    (place / "new").write_text("paid for")
    (place / "a").write_text("2")
    assert {file.name: file.read_text() for file in bring(URL).iterdir()}["new"] == "paid for"  # as after a kill
    assert (place / "a").read_text() == "2"


def test_into_a_folder_that_is_worked_in_nothing_is_brought(node: Node) -> None:
    place = made(a="1")
    save(URL)
    node("second")
    bring(URL)
    made(a="2")
    save(URL)
    node("first")
    lock = (place / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert (bring(URL) / "a").read_text() == "1"
    lock.close()
    assert (bring(URL) / "a").read_text() == "2"


def test_of_a_save_that_was_cut_on_a_lost_node_a_file_that_is_not_the_manifests_is_left_out(
    memory: Any, node: Node
) -> None:
    digest = hashlib.sha256(b"old").hexdigest()
    entry = {"state": "done", "output": {"name": "evolved.parquet", "digest": digest}}
    place = made(evolved__parquet="old")
    (place / "manifest.json").write_text(json.dumps({"stages": {"evolve": entry}}))
    save(URL)
    node("second")
    assert (bring(URL) / "evolved.parquet").exists()
    memory.pipe_file("/bucket/run/evolved.parquet", b"new, and its manifest never came")
    memory.pipe_file("/bucket/run/.saved", b"7")
    node("third")
    assert not (bring(URL) / "evolved.parquet").exists()


def test_a_run_folder_within_a_run_folder_is_a_copy_of_its_own(memory: Any, node: Node) -> None:
    made(a="1")
    inner = made(f"{URL}/b", c="1")
    save(f"{URL}/b")
    save(URL)
    node("second")
    assert (bring(URL) / "b" / "c").read_text() == "1"
    made(f"{URL}/b", c="2")
    save(f"{URL}/b")
    node("first")
    (inner.parent / "a").write_text("2")
    save(URL)  # nothing of b
    assert memory.cat_file("/bucket/run/b/c") == b"2"
    made(f"{URL}/b/shards/1-of-2", d="1")
    assert "b/shards/1-of-2/d" not in files_of(inner.parent) and files_of(inner).keys() == {"manifest.json", "c"}


def test_who_only_reads_a_store_of_calls_changes_nothing(node: Node) -> None:
    place = made()
    sqlite3.connect(place / "calls.sqlite").executescript(
        "PRAGMA journal_mode=WAL; CREATE TABLE t (a)"
    ).connection.close()
    save(URL)
    reading = sqlite3.connect(place / "calls.sqlite")
    reading.execute("SELECT * FROM t").fetchall()
    assert (place / "calls.sqlite-wal").exists() and not changed(URL)
    reading.close()


@pytest.mark.parametrize("name", [".lock", ".lease", "calls.sqlite-wal", ".evolved.parquet.run.tmp", ".run.saved"])
def test_what_is_of_this_node_alone_is_not_saved(name: str) -> None:
    assert OWN.fullmatch(name) and not OWN.fullmatch("evolved.parquet") and OWN.fullmatch(".checked-seeds.sqlite")
