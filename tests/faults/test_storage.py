"""Faults of the disk: it fills up, and pages of the store are torn, as by a power cut in the middle of a write."""

import contextlib
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import ANSWERED, stop_at
from tests.e2e.test_storage import in_namespace, needs_mounts
from tests.faults.way import CALLS, FILES, UNSTORED, Way

PAGE = 4096


@needs_mounts
@pytest.mark.parametrize(("stage", "free_kb"), [("evolve", 0), ("evolve", 80), ("evolve", 160), ("respond", 100)])
def test_a_disk_that_fills_up(way: Way, evolved: Path, answered: Path, stage: str, free_kb: int) -> None:
    """At the start, among the calls, or with the file: it stops with clear words, and goes on with the space."""
    (way.folder / "disk").mkdir()
    command = " ".join(f"'{part}'" for part in way.arguments(stage, "disk/run"))
    ended = in_namespace(
        f"""
        mount -t tmpfs -o size=4m tmpfs disk
        head -c {4096 - free_kb}k /dev/zero >disk/filler
        $EVOLVENT {command} 2>full.txt; echo $?
        rm disk/filler
        $EVOLVENT {command} 2>again.txt; echo $?
        cp disk/run/{FILES[stage]} broken.parquet
        """,
        way.folder,
    )
    full = (way.folder / "full.txt").read_text()
    assert "Traceback" not in full
    statuses = [line for line in ended.output.splitlines() if line in ("0", "1", "2")]
    assert statuses == ["1", "0"], (ended, full)
    assert "error: no space is left to write" in full
    assert "start the same command again" in full
    whole = evolved if stage == "evolve" else answered
    assert (way.folder / "broken.parquet").read_bytes() == whole.read_bytes()
    assert way.proxy.draw.repeated <= UNSTORED


def tear(path: Path, size: int) -> None:
    """Cut so many bytes off a file."""
    os.truncate(path, max(path.stat().st_size - size, 0))


def scribble(path: Path, size: int) -> None:
    """Turn every bit of a file's last bytes."""
    whole = path.read_bytes()
    kept = max(len(whole) - size, 0)
    path.write_bytes(whole[:kept] + bytes(byte ^ 0xFF for byte in whole[kept:]))


@pytest.mark.parametrize(("damage", "size"), [(tear, 600), (tear, 3 * PAGE + 5), (scribble, 1), (scribble, PAGE)])
def test_a_torn_end_of_the_log(way: Way, evolved: Path, damage: Callable[[Path, int], None], size: int) -> None:
    """What a power cut leaves of the last commit: that is asked again, and nothing else is."""
    run = killed_half_way(way)
    before = held(run, way.folder / "before")
    damage(run / "calls.sqlite-wal", size)
    kept = held(run, way.folder / "kept")
    assert 0 < kept < before
    again = way.command("evolve")
    assert again.status == 0, again.errors
    assert (run / FILES["evolve"]).read_bytes() == evolved.read_bytes()
    assert way.proxy.draw.repeated <= UNSTORED + before - kept


def test_a_page_torn_while_the_log_was_being_written_back(way: Way, evolved: Path) -> None:
    """A checkpoint cut short by a power cut leaves the whole log, from which the file is made good."""
    run = killed_half_way(way)
    before = held(run, way.folder / "before")
    shutil.copy(run / "calls.sqlite-wal", way.folder / "log")
    checkpoint(run)
    scribble(run / "calls.sqlite", PAGE)
    shutil.copy(way.folder / "log", run / "calls.sqlite-wal")
    assert held(run, way.folder / "kept") == before >= CALLS["evolve"] // 2
    again = way.command("evolve")
    assert again.status == 0, again.errors
    assert (run / FILES["evolve"]).read_bytes() == evolved.read_bytes()
    assert way.proxy.draw.repeated <= UNSTORED


@pytest.mark.parametrize("damage", [tear, scribble])
def test_a_damaged_store_is_named_and_takes_nothing_with_it(
    way: Way, evolved: Path, damage: Callable[[Path, int], None]
) -> None:
    """Damage that no log makes good: the command says so and what to do, and that works."""
    run = killed_half_way(way)
    checkpoint(run)
    damage(run / "calls.sqlite", (run / "calls.sqlite").stat().st_size - PAGE)
    ended = way.command("evolve")
    assert ended.status == 1, ended.errors
    assert "calls.sqlite is damaged" in ended.errors
    assert "Move it away" in ended.errors
    assert "Traceback" not in ended.errors
    for path in run.glob("calls.sqlite*"):
        path.rename(way.folder / path.name)
    again = way.command("evolve")
    assert again.status == 0, again.errors
    assert (run / FILES["evolve"]).read_bytes() == evolved.read_bytes()


def held(run: Path, copy: Path) -> int:
    """How many calls sqlite finds in a copy of the run's store; the store itself is left as it is."""
    copy.mkdir()
    for name in ("calls.sqlite", "calls.sqlite-wal"):
        shutil.copy(run / name, copy / name)
    with contextlib.closing(sqlite3.connect(copy / "calls.sqlite")) as connection:
        return int(connection.execute(f"SELECT count(*) FROM calls WHERE {ANSWERED}").fetchone()[0])


def checkpoint(run: Path) -> None:
    """Write the store's log back into its file, and leave no log."""
    with contextlib.closing(sqlite3.connect(run / "calls.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for rest in ("calls.sqlite-wal", "calls.sqlite-shm"):
        (run / rest).unlink(missing_ok=True)


def killed_half_way(way: Way) -> Path:
    """A run folder whose command was killed among its calls."""
    run = way.folder / "run"
    way.server.latency_s = 0.05
    ended = stop_at(way.arguments("evolve", "run"), way.folder, run, CALLS["evolve"] // 2, signal.SIGKILL)
    assert ended.status == -signal.SIGKILL
    (run / "calls.sqlite-shm").unlink(missing_ok=True)  # lives in memory, and is gone after a power cut
    return run
