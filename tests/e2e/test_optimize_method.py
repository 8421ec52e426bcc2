"""The search for a method as a user runs it, killed and gone on with; and the method that it found, applied."""

import json
import random
import signal
from pathlib import Path

import pytest
import yaml

from evolvent.evolution.auto_evol_instruct.history import read_method
from evolvent.runs.record_files import read_records
from tests.e2e.command import evolvent, server, server_stats, stop_at, stored_calls

SEEDS = [{"instruction": f"How do I mend a sock number {n}?", "input": "wool" if n % 2 else ""} for n in range(60)]
IN_FLIGHT = 8
KILLS = 5
SIZES = ["--dev", "20", "--batch", "5", "--candidates", "4", "--steps", "4", "--concurrency", str(IN_FLIGHT)]


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    return path


def test_a_search_that_is_killed_again_and_again_finds_the_same_method(tmp_path: Path, seeds: Path) -> None:
    with server(latency_ms=3) as url:
        model = f"openai:m?base_url={url}"
        search = ["optimize-method", "seeds.jsonl", "--evolver", model, "--optimizer", model, *SIZES, "--out"]
        whole = evolvent(*search, "whole.yaml", folder=tmp_path)
        assert whole.status == 0, whole.errors
        calls = stored_calls(tmp_path / "whole.run")
        asked = server_stats(url)["requests"]
        assert calls == asked
        draw = random.Random(4)
        for share in sorted(draw.random() for _ in range(KILLS)):
            killed = tmp_path / "killed.run"
            ended = stop_at([*search, "killed.yaml"], tmp_path, killed, int(share * calls), signal.SIGKILL)
            assert ended.status == -signal.SIGKILL
        last = evolvent(*search, "killed.yaml", folder=tmp_path)
        assert last.status == 0, last.errors
        # what a kill can cost: the requests in flight, and as many replies that wait for their commit
        assert server_stats(url)["requests"] - asked <= calls + KILLS * 2 * IN_FLIGHT
        assert stored_calls(killed) == calls
        assert (tmp_path / "killed.yaml").read_bytes() == (tmp_path / "whole.yaml").read_bytes()

        asked = server_stats(url)["requests"]
        again = evolvent(*search, "killed.yaml", folder=tmp_path)
        assert (again.status, server_stats(url)["requests"]) == (0, asked)
        assert "nothing to do" in again.output

        found = yaml.safe_load((tmp_path / "whole.yaml").read_text())
        assert any(step["chosen"].startswith("candidate") for step in found["steps"])
        assert any("invalid" in one for step in found["steps"] for one in step["candidates"])
        apply = ["evolve", "seeds.jsonl", "--method", "auto-evol-instruct", "--method-file", "whole.yaml"]
        applied = evolvent(*apply, "--model", model, "--out", "run", folder=tmp_path)
        assert applied.status == 0, applied.errors
    rows = [row for row in read_records(tmp_path / "run" / "evolved.parquet") if row.round]
    assert {row.prompt_version for row in rows} == {read_method(tmp_path / "whole.yaml").version} == {found["version"]}
    assert {row.status for row in rows} == {"ok"}
