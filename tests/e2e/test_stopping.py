"""Stop the command at any moment and start it again: nothing is lost, nothing comes twice."""

import json
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.command import CHAT, evolvent, measured, server, server_stats, start, stop_at, stored_calls
from tests.processes import Ended, slowness, wait_until

SEEDS = [
    {"instruction": f"How do I mend a {thing} number {n}?"} for n, thing in enumerate(["sock", "bike", "tap"] * 20)
]
FILES = ("evolved.parquet", "responses.parquet", "scored.parquet", "selected.jsonl")
IN_FLIGHT = 8
# What a kill can cost: the requests in flight, and as many replies that wait for their commit while the next are asked.
UNSTORED = 2 * IN_FLIGHT
KILLS = 10


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    return path


def recipe(folder: Path, model: str, out: str) -> Path:
    path = folder / f"{out}.yaml"
    path.write_text(
        f"out: {out}\n"
        f"evolve: {{seeds: seeds.jsonl, model: '{model}', concurrency: {IN_FLIGHT}}}\n"
        f"respond: {{teacher: '{model}', concurrency: {IN_FLIGHT}}}\n"
        "score: {base_model: embedded-base, limit: 24}\n"
        "select: {by: ic_ifd, top: 25%}\n"
    )
    return path


def content(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES}


def kill(command: list[str | Path], folder: Path, calls: int, then_s: float) -> Ended:
    """Kill a command that works in the folder ``killed`` at its moment: earlier, if it has ended by then.

    The moment was measured when the machine may have been slower.
    """
    run, before = folder / "killed", folder / "before"
    shutil.rmtree(before, ignore_errors=True)
    if run.exists():
        shutil.copytree(run, before)
    ended = stop_at(command, folder, run, calls, signal.SIGKILL, CHAT, then_s=then_s)
    if ended.status == 0 and then_s > 0:
        shutil.rmtree(run)
        shutil.copytree(before, run)
        return kill(command, folder, calls, then_s / 2 if then_s > 0.1 else 0)
    return ended


def test_ten_kills_over_the_whole_path(tmp_path: Path, seeds: Path) -> None:
    """One run, killed at ten drawn shares of its work: it comes out as if nothing had been."""
    with server(latency_ms=3) as url:
        model = f"openai:m?base_url={url}"
        work = measured(["run", str(recipe(tmp_path, model, "whole"))], tmp_path, tmp_path / "whole")
        assert work.calls == 2 * 3 * len(SEEDS)
        killed = recipe(tmp_path, model, "killed")
        draw = random.Random(20)
        asked = server_stats(url)["requests"]
        for share in sorted(draw.random() for _ in range(KILLS)):
            calls, then_s = work.moment(share)
            ended = kill(["run", killed], tmp_path, calls, then_s)
            assert ended.status == -signal.SIGKILL
            stored = stored_calls(tmp_path / "killed", CHAT)
            lost = server_stats(url)["requests"] - asked - stored
            assert lost <= UNSTORED
            asked += lost
        last = evolvent("run", killed, folder=tmp_path)
        assert last.status == 0, last.errors
        assert server_stats(url)["requests"] - asked == work.calls
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("stage", ["evolve", "respond"])
def test_a_signal_ends_soon_and_says_how_to_go_on(
    tmp_path: Path, seeds: Path, stage: str, sent: signal.Signals, status: int
) -> None:
    calls = len(SEEDS) * (3 if stage == "evolve" else 1)
    with server(latency_ms=200) as url:
        model = ["--model" if stage == "evolve" else "--teacher", f"openai:m?base_url={url}"]
        arguments = [stage, "seeds.jsonl", *model, "--out", "run", "--concurrency", "4"]
        ended = stop_at(arguments, tmp_path, tmp_path / "run", 10, sent)
        assert ended.status == status, ended.errors
        assert ended.seconds < 2 * slowness()
        assert ended.errors.strip().endswith("; start the same command again to go on")
        assert "Traceback" not in ended.errors
        before = stored_calls(tmp_path / "run")
        assert 10 <= before < calls
        assert evolvent(*arguments, "--concurrency", "64", folder=tmp_path).status == 0
        assert server_stats(url)["repeated"] <= 8
        assert stored_calls(tmp_path / "run") == calls


def test_a_run_in_use_is_left_alone(tmp_path: Path, seeds: Path) -> None:
    with server(latency_ms=200) as url:
        arguments = ["evolve", str(seeds), "--model", f"openai:m?base_url={url}", "--out", "run", "--concurrency", "4"]
        first = start(arguments, tmp_path)
        wait_until(lambda: stored_calls(tmp_path / "run"), first)
        second = evolvent(*arguments, folder=tmp_path)
        assert second.status == 2
        assert f"in use by another process (pid {first.pid})" in second.errors
        first.kill()
        first.communicate()
