"""As a shell's background job, which ignores Ctrl-C: SIGTERM ends it in the same good order."""

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.command import evolvent, server, server_stats, start, stored_calls
from tests.processes import finish, wait_until

SEEDS = 60


@pytest.mark.parametrize("stage", ["evolve", "respond"])
def test_a_background_job_ignores_ctrl_c_and_ends_in_good_order_at_sigterm(tmp_path: Path, stage: str) -> None:
    rows = [json.dumps({"instruction": f"How do I mend sock number {n}?"}) for n in range(SEEDS)]
    (tmp_path / "seeds.jsonl").write_text("\n".join(rows))
    with server(latency_ms=100) as url:
        model = ["--model" if stage == "evolve" else "--teacher", f"openai:m?base_url={url}"]
        arguments = [stage, "seeds.jsonl", *model, "--out", "run", "--concurrency", "4"]
        process = start(arguments, tmp_path, in_background=True)
        for calls, sent in ((5, signal.SIGINT), (15, signal.SIGTERM)):
            wait_until(lambda calls=calls: stored_calls(tmp_path / "run") >= calls, process)
            process.send_signal(sent)
        ended = finish(process)
        assert ended.status == 143, ended
        assert ended.errors.strip().endswith("told to end (SIGTERM); start the same command again to go on")
        manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())["stages"][stage]
        stored = stored_calls(tmp_path / "run")
        assert sum(paid["calls"] for paid in manifest["paid"].values()) == stored
        assert evolvent(*arguments, "--concurrency", "64", folder=tmp_path).status == 0
        assert server_stats(url)["repeated"] <= 8
    assert "Traceback" not in ended.errors
