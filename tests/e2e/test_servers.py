"""Two servers of one model, one of which is killed in the middle of a run."""

import json
from pathlib import Path

from evolvent.responses.respond import respond
from tests.e2e.command import server, server_stats, start, stored_calls
from tests.processes import finish, wait_until

ROWS, AT_ONCE = 160, 4


def test_a_server_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    run, seeds = tmp_path / "run", tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"instruction": f"Mend sock number {n}: how?"}) + "\n" for n in range(ROWS)))
    how = ["respond", str(seeds), "--concurrency", str(AT_ONCE)]
    with server(latency_ms=50) as first:
        teacher = f"openai:m?base_url={first}"
        with server(latency_ms=50) as second:
            process = start([*how, "--teacher", f"{teacher}&base_url={second}", "--out", str(run)], tmp_path)
            wait_until(lambda: stored_calls(run) >= ROWS // 4, process)
            requests = server_stats(second)["requests"]
        ended = finish(process)
        assert ended.status == 0, ended.errors
        assert f"{second} is left out until it answers" in ended.errors
        paid = json.loads((run / "manifest.json").read_bytes())["stages"]["respond"]["paid"][teacher]
        split = paid["servers"]
        assert split[first] + split[second] == paid["calls"] == ROWS
        assert split[first] == server_stats(first)["requests"]  # none of them twice
        assert requests - AT_ONCE <= split[second] <= requests + ROWS // 4
        alone = respond(seeds, teacher=teacher, out=tmp_path / "alone", concurrency=AT_ONCE)
    assert alone.output.read_bytes() == (run / "responses.parquet").read_bytes()
