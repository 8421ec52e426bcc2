"""Kill the command at any moment and start it again: nothing is lost, nothing comes twice."""

import json
import random
import signal
from pathlib import Path

import pytest

from tests.e2e.command import evolvent, server, server_stats, start, stop_at, stored_calls

SEEDS = [
    {"instruction": f"How do I mend a {thing} number {n}?"} for n, thing in enumerate(["sock", "bike", "tap"] * 20)
]
FILES = ("evolved.parquet", "responses.parquet", "selected.jsonl")


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    return path


def recipe(folder: Path, model: str, out: str) -> Path:
    path = folder / f"{out}.yaml"
    path.write_text(
        f"out: {out}\n"
        f"evolve: {{seeds: seeds.jsonl, model: '{model}', concurrency: 8}}\n"
        f"respond: {{teacher: '{model}', concurrency: 8}}\n"
        "select: {data: " + out + "/responses.parquet, by: seed_index, top: 25%}\n"
    )
    return path


def content(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES}


def test_kill_at_drawn_moments(tmp_path: Path, seeds: Path) -> None:
    with server(latency_ms=3) as url:
        model = f"openai:m?base_url={url}"
        whole = evolvent("run", recipe(tmp_path, model, "whole"), folder=tmp_path)
        assert whole.status == 0, whole.errors
        calls = stored_calls(tmp_path / "whole")
        assert calls == 2 * 3 * len(SEEDS)
    draw = random.Random(20)
    for attempt in range(3):
        with server(latency_ms=3) as url:
            out = f"killed{attempt}"
            share = draw.uniform(0.05, 0.95)
            # The server's address is part of a call's key and of a record, so the unbroken run is made on it as well.
            model = f"openai:m?base_url={url}"
            broken = recipe(tmp_path, model, out)
            killed = stop_at(["run", str(broken)], tmp_path, tmp_path / out, int(share * calls), signal.SIGKILL)
            assert killed.status == -signal.SIGKILL
            assert evolvent("run", broken, folder=tmp_path).status == 0
            stats = server_stats(url)
            assert stats["repeated"] <= 8
            assert stats["requests"] - stats["repeated"] == calls
            evolvent("run", recipe(tmp_path, model, f"unbroken{attempt}"), folder=tmp_path)
            assert content(tmp_path / out) == content(tmp_path / f"unbroken{attempt}")


def test_control_c_ends_soon_and_says_how_to_go_on(tmp_path: Path, seeds: Path) -> None:
    with server(latency_ms=200) as url:
        arguments = ["evolve", str(seeds), "--model", f"openai:m?base_url={url}", "--out", "run", "--concurrency", "4"]
        ended = stop_at(arguments, tmp_path, tmp_path / "run", 10, signal.SIGINT)
        assert ended.status == 130
        assert ended.seconds < 2
        assert ended.errors.strip().endswith("interrupted; start the same command again to go on")
        assert "Traceback" not in ended.errors
        before = stored_calls(tmp_path / "run")
        assert evolvent(*arguments, "--concurrency", "64", folder=tmp_path).status == 0
        assert server_stats(url)["repeated"] <= 4
        assert stored_calls(tmp_path / "run") == 3 * len(SEEDS) > before >= 10


def test_a_run_in_use_is_left_alone(tmp_path: Path, seeds: Path) -> None:
    with server(latency_ms=200) as url:
        arguments = ["evolve", str(seeds), "--model", f"openai:m?base_url={url}", "--out", "run", "--concurrency", "4"]
        first = start(arguments, tmp_path)
        while not stored_calls(tmp_path / "run"):
            assert first.poll() is None
        second = evolvent(*arguments, folder=tmp_path)
        assert second.status == 2
        assert f"in use by another process (pid {first.pid})" in second.errors
        first.kill()
        first.communicate()
