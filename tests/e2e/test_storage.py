"""Full disks, read-only folders, a run folder that goes away: real ones, for root does not feel permission bits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.e2e.command import server, server_stats, start, stored_calls
from tests.processes import Ended, finish, wait_until

SEEDS = 60


def mounts_work() -> bool:
    return subprocess.run(["unshare", "-rm", "--net", "true"], capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(
    not shutil.which("unshare") or not mounts_work(), reason="this machine allows no mounts in a user namespace"
)


def in_namespace(script: str, folder: Path, *flags: str) -> Ended:
    """Run a shell script where it may mount things that only it sees; $EVOLVENT is the command, flags are unshare's."""
    command = ["unshare", "-rm", *flags, "sh", "-uc", f'EVOLVENT="{sys.executable} -m evolvent"\n{script}']
    return finish(processes.start(command, folder=folder))


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"How do I mend sock {n}?"}) + "\n" for n in range(SEEDS)))
    return path


@needs_mounts
def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_space(tmp_path: Path, seeds: Path) -> None:
    (tmp_path / "disk").mkdir()
    with server() as url:
        evolve = f"$EVOLVENT evolve {seeds} --model 'openai:m?base_url={url}' --concurrency 4 --out"
        ended = in_namespace(
            f"""
            mount -t tmpfs -o size=12m tmpfs disk
            head -c 11700k /dev/zero >disk/filler
            {evolve} disk/run 2>full.txt; echo $?
            rm disk/filler
            {evolve} disk/run 2>again.txt; echo $?
            cp disk/run/evolved.parquet broken.parquet
            {evolve} whole 2>/dev/null; echo $?
            """,
            tmp_path,
        )
        statuses = [line for line in ended.output.splitlines() if line in ("0", "1", "2")]
        full = (tmp_path / "full.txt").read_text()
        assert statuses == ["1", "0", "0"], (ended, full)
        assert "error: no space is left to write" in full
        assert "start the same command again" in full
        assert "Traceback" not in full
        # Twice the whole work, and what was in flight or not yet stored when the disk was full.
        assert server_stats(url)["requests"] <= 2 * 3 * SEEDS + 2 * 4
    assert (tmp_path / "broken.parquet").read_bytes() == (tmp_path / "whole/evolved.parquet").read_bytes()


@needs_mounts
@pytest.mark.parametrize("out", ["disk", "disk/run"])
def test_a_read_only_folder(tmp_path: Path, seeds: Path, out: str) -> None:
    (tmp_path / "disk").mkdir()
    script = f"""
        mount -t tmpfs tmpfs disk && mount -o remount,ro disk
        $EVOLVENT evolve {seeds} --model 'openai:m?base_url=http://127.0.0.1:9/v1' --out {out}; echo $?
        $EVOLVENT convert {seeds} {out}/x.jsonl --to alpaca; echo $?
        """
    ended = in_namespace(script, tmp_path)
    assert ended.output.split() == ["2", "2"] if out == "disk" else ended.output.split()[0] == "2", ended
    assert "cannot be written" in ended.errors
    assert "Traceback" not in ended.errors


def test_a_run_folder_that_goes_away(tmp_path: Path, seeds: Path) -> None:
    with server(latency_ms=20) as url:
        arguments = ["evolve", str(seeds), "--model", f"openai:m?base_url={url}", "--out", "run", "--concurrency", "4"]
        process = start(arguments, tmp_path)
        wait_until(lambda: stored_calls(tmp_path / "run") >= 10, process)
        shutil.rmtree(tmp_path / "run")
        ended = finish(process)
    assert ended.status == 1
    assert "went away while it was being used" in ended.errors
    assert "Traceback" not in ended.errors


# Opens a store on a disk with so many KiB free, then with room enough.
LAYING_OUT = """
import contextlib, os
from pathlib import Path
from evolvent.call_store.store import CallStore, spent_in
from evolvent.errors import RunError
for free in range(0, 100, 4):
    run = Path("disk", str(free))
    run.mkdir()
    there = os.statvfs("disk")
    Path("disk/filler").write_bytes(bytes(there.f_bavail * there.f_frsize - free * 1024))
    try:
        CallStore(run / "calls.sqlite").close()
    except RunError as error:
        print(free, error.message)
    Path("disk/filler").unlink()
    assert spent_in(run) == []
    CallStore(run / "calls.sqlite").close()
"""


@needs_mounts
def test_a_disk_that_is_full_while_the_store_is_laid_out(tmp_path: Path) -> None:
    """Whatever room is left, it is said if that is too little, and with more the same folder works."""
    (tmp_path / "disk").mkdir()
    ended = in_namespace(f"mount -t tmpfs -o size=4m tmpfs disk\n{sys.executable} -c '{LAYING_OUT}'", tmp_path)
    assert ended.status == 0, ended
    said = [line.partition(" ")[2] for line in ended.output.splitlines()]
    assert 5 < len(said) < 25
    assert all(line.startswith("no space is left to write disk/") for line in said), ended


@needs_mounts
@pytest.mark.parametrize("killed", [False, True])
def test_a_run_on_a_read_only_disk_can_be_looked_into(tmp_path: Path, seeds: Path, killed: bool) -> None:
    """Finished, or killed while calls were still in sqlite's log: all of its calls are seen, and nothing is written."""
    evolve = ["evolve", str(seeds), "--model"]
    with server(latency_ms=20) as url:
        evolve += [f"openai:m?base_url={url}", "--rounds", "1", "--concurrency", "4"]
        process = start([*evolve, "--out", "disk/run"], tmp_path)
        if killed:
            wait_until(lambda: stored_calls(tmp_path / "disk" / "run") >= 10, process)
            process.kill()
        finish(process)
        made = stored_calls(copied(tmp_path / "disk" / "run", tmp_path / "copy"))
        (tmp_path / "disk" / "run" / "calls.sqlite-shm").unlink(missing_ok=True)
        dry = " ".join(f"'{part}'" for part in [*evolve, "--out", "disk/run", "--dry-run"])
        ended = in_namespace(
            f"""
            mount --bind disk disk && mount -o remount,bind,ro disk
            $EVOLVENT calls disk/run --limit 1 | tail -1
            $EVOLVENT calls disk/run --out calls.jsonl
            $EVOLVENT show disk/run >show.txt; echo shown $?
            $EVOLVENT {dry} >dry.txt; echo dry $?
            {sys.executable} -c "import evolvent; print(len(list(evolvent.calls('disk/run'))), 'in Python')"
            """,
            tmp_path,
        )
    said = f"{made:,} calls, {made - 1:,} not shown: --limit N, or --out FILE.jsonl\ncalls.jsonl: {made:,} calls\n"
    assert ended.output == f"{said}shown 0\ndry 0\n{made} in Python\n", ended
    assert made >= 10


def copied(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to
