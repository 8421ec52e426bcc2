"""AutoIF as a user runs it: stopped in each of its stages in every way, gone on with, and what it made used."""

import json
import signal
from pathlib import Path

import pytest

from tests.e2e import command
from tests.e2e.command import evolvent, server, server_stats, stop_at, stored_calls
from tests.sandbox.wall import needs_wall

FILES = ("instructions.parquet", "evolved.parquet", "functions.jsonl", "responses.parquet", "sft.jsonl", "dpo.jsonl")
RULES = ["prompts=2", "instructions_per_prompt=3", "queries=2", "responses=4"]
IN_FLIGHT = 8


@needs_wall
def test_stopped_in_every_stage_it_makes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SERVER", Path(__file__).with_name("autoif_server.py"))
    (tmp_path / "seeds.txt").write_text("Write lower case\nWrite no commas\n")
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"instruction": f"Tell me about the harbour in town {n}"}) + "\n" for n in range(9))
    )
    with server(latency_ms=3) as url:
        run = ["evolve", "seeds.txt", "--method", "autoif", "--model", f"openai:m?base_url={url}"]
        run += ["--queries", "queries.jsonl", "--concurrency", str(IN_FLIGHT), "--price", "1,1"]
        run += [part for rule in RULES for part in ("--rule", rule)]
        whole = evolvent(*run, "--out", "whole", folder=tmp_path)
        assert whole.status == 0, whole.errors
        assert "verified instructions" in whole.output and "new instructions asked for" in whole.output
        assert "whole/functions.jsonl, whole/responses.parquet, whole/sft.jsonl, whole/dpo.jsonl" in whole.output
        calls = server_stats(url)["requests"]
        assert stored_calls(tmp_path / "whole") == calls

        stopped = tmp_path / "stopped"
        run += ["--out", "stopped"]
        for stage, sent, share in (
            ("self-instruct", signal.SIGKILL, 0.5),
            ("evolve", signal.SIGINT, 0.5),
            ("respond", signal.SIGKILL, 0.3),
        ):
            of_stage = f"{command.ANSWERED} AND stage = '{stage}'"
            count = int(share * stored_calls(tmp_path / "whole", of_stage))
            ended = stop_at(run, tmp_path, stopped, count, sent, of_stage)
            assert ended.status == (130 if sent == signal.SIGINT else -signal.SIGKILL), ended.errors
        poor = evolvent(*run, "--budget", "0.0001", folder=tmp_path)
        assert (poor.status, "the budget is reached" in poor.errors) == (3, True)
        last = evolvent(*run, folder=tmp_path)
        assert last.status == 0, last.errors
        for name in FILES:
            assert (stopped / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
        # what a stop can cost: the requests in flight, and as many replies that wait for their commit
        assert server_stats(url)["requests"] <= 2 * calls + 4 * 2 * IN_FLIGHT
        again = evolvent(*run, folder=tmp_path)
        assert (again.status, "nothing to do" in again.output) == (0, True)

    verified = evolvent("verify", "whole/sft.jsonl", "--functions", "whole", "--out", "v.jsonl", folder=tmp_path)
    assert verified.status == 0, verified.errors
    rows = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert len(rows) == len((tmp_path / "whole" / "sft.jsonl").read_text().splitlines())
    assert {row["matched_by"] for row in rows} == {"meta"}
    assert all(row["accuracy"] > 0.5 for row in rows)
