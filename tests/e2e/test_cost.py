"""What a run costs, as the user sees it: before, while it goes on, and when the budget is reached."""

import re
from pathlib import Path

from evolvent.demo import SEEDS
from tests.e2e.command import evolvent, server, server_stats, stored_calls

CALLS = 180  # 60 seeds, three rounds
PRICE = ("--price", "1,2")


def test_a_dry_run_calls_nothing_and_a_preview_calls_nothing_that_the_run_would_not(tmp_path: Path) -> None:
    with server() as url:
        command = ["evolve", str(SEEDS), "--model", f"openai:m?base_url={url}", "--out", "run", *PRICE]
        dry = evolvent(*command, "--dry-run", "--max-requests-per-minute", "90", folder=tmp_path)
        assert dry.status == 0, dry.errors
        assert server_stats(url)["requests"] == 0
        assert not (tmp_path / "run").exists()
        assert "prompt 1, to openai:m" in dry.output
        assert re.search(rf"│ expected │ +{CALLS} │", dry.output)
        assert "time: about 2.0 min, the least that the caps allow" in dry.output
        preview = evolvent(*command, "--preview", "2", "--budget", "9", folder=tmp_path)
        assert preview.status == 0, preview.errors
        assert preview.output.count("-- verdict: ") == server_stats(url)["requests"] == 6
        assert not (tmp_path / "run/manifest.json").exists()
        assert evolvent(*command, folder=tmp_path).status == 0
        assert server_stats(url)["requests"] == CALLS


def test_a_budget_ends_a_run_in_good_order_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    with server(latency_ms=2) as url:
        command = ["evolve", str(SEEDS), "--model", f"openai:m?base_url={url}", "--out", "run", "--concurrency", "4"]
        refused = evolvent(*command, "--budget", "0.01", folder=tmp_path)
        assert refused.status == 2
        assert "--budget needs the price of openai:m" in refused.errors
        stopped = evolvent(*command, *PRICE, "--budget", "0.01", folder=tmp_path)
        assert stopped.status == 3, stopped.errors
        words = re.search(r"([\d.]+) of 0\.010 spent in this folder on (\d+) calls", stopped.errors)
        assert words
        assert 0.009 < float(words[1]) < 0.0115
        made = int(words[2])
        assert made == stored_calls(tmp_path / "run") == server_stats(url)["requests"] < CALLS
        again = evolvent(*command, *PRICE, "--budget", "0.01", folder=tmp_path)
        assert (again.status, server_stats(url)["requests"]) == (3, made)
        done = evolvent(*command, *PRICE, "--budget", "1", folder=tmp_path)
        assert done.status == 0, done.errors
        assert server_stats(url) | {"in_flight_peak": 0} == {"requests": CALLS, "repeated": 0, "in_flight_peak": 0}
