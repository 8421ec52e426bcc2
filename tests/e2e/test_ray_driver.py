"""A stage on Ray whose driver is killed: the same command goes on with what its workers had done."""

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.command import evolvent, server, server_stats, start, stored_calls
from tests.processes import finish, wait_until

pytest.importorskip("ray", reason="Ray is an extra of its own")

SEEDS, SHARDS, AT_ONCE = 200, 2, 4


def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    rows = (json.dumps({"instruction": f"Mend sock number {n}: how?"}) + "\n" for n in range(SEEDS))
    (tmp_path / "seeds.jsonl").write_text("".join(rows))
    folders = [tmp_path / "run" / "shards" / f"{number}-of-{SHARDS}" for number in range(1, SHARDS + 1)]
    with server(latency_ms=100) as url:
        run = ["evolve", "seeds.jsonl", "--model", f"openai:m?base_url={url}", "--rounds", "1", "--no-pilot"]
        on_ray = [*run, "--out", "run", "--engine", "ray", "--shards", str(SHARDS), "--concurrency", str(AT_ONCE)]
        driver = start(on_ray, tmp_path)
        wait_until(lambda: sum(map(stored_calls, folders)) >= SEEDS // 4, driver)
        driver.send_signal(signal.SIGKILL)
        assert finish(driver).status == -signal.SIGKILL
        before = server_stats(url)["requests"]
        assert before < SEEDS
        done = evolvent(*on_ray, folder=tmp_path)
        assert done.status == 0, done.errors
        stats = server_stats(url)
        assert stats["requests"] - SEEDS == stats["repeated"] <= 2 * SHARDS * AT_ONCE
        assert stored_calls(tmp_path / "run") == SEEDS
        alone = evolvent(*run, "--out", "one", folder=tmp_path)
    assert alone.status == 0, alone.errors
    assert (tmp_path / "run/evolved.parquet").read_bytes() == (tmp_path / "one/evolved.parquet").read_bytes()
