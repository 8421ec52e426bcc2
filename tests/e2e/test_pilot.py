"""A pilot by the embedded model, killed in the middle: no call that was stored is made again, nor by the run."""

import json
import signal
from pathlib import Path

from tests.e2e.command import evolvent, stop_at, stored_calls

SAMPLED = 8


def test_a_pilot_that_is_killed_and_the_run_that_follows(tmp_path: Path) -> None:
    seeds = [{"instruction": f"How do I mend a {thing}?"} for thing in ("sock", "bike", "tap", "cup", "net") * 2]
    seeds = [{"instruction": f"{one['instruction']} It broke {n} days ago."} for n, one in enumerate(seeds)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(seed) + "\n" for seed in seeds))
    command = ["evolve", "seeds.jsonl", "--model", "embedded", "--out", "run", "--rounds", "1"]
    run = tmp_path / "run"
    killed = stop_at([*command, "--pilot", str(SAMPLED)], tmp_path, run, 3, signal.SIGKILL)
    assert killed.status == -signal.SIGKILL
    before = stored_calls(run)
    assert before >= 3
    piloted = evolvent(*command, "--pilot", str(SAMPLED), folder=tmp_path)
    assert piloted.status == 0, piloted.errors
    assert f"pilot of {SAMPLED} of 10 seeds" in piloted.output and " --no-pilot and without --pilot" in piloted.output
    assert not [path.name for path in run.iterdir() if path.name not in ("calls.sqlite", ".lock")]
    stored = stored_calls(run)
    assert stored > before and stored_calls(run, "record != ''") == stored
    evolved = evolvent(*command, "--no-pilot", folder=tmp_path)
    assert evolved.status == 0, evolved.errors
    assert stored_calls(run) - stored < len(seeds) - SAMPLED + 5  # 2 seeds are new, an empty reply is asked for again
    assert (run / "evolved.parquet").exists()
