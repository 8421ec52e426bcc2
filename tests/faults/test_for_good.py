"""Faults that do not pass: a server that goes away, a name that does not resolve, one request that always fails.

The tool is patient with each, so these commands run beside one another, and the tests look at how they ended.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.command import Ended, finish, start
from tests.faults.draw import Draw
from tests.faults.way import (
    CALLS,
    FILES,
    UNSTORED,
    Way,
    assert_all_accounted_for,
    manifest,
    opened,
    rows_of,
    seed_of,
)

NOWHERE = "http://no-such-host.invalid:8000/v1"
PATIENCE_S = 120


@dataclass(frozen=True)
class Disturbed:
    """A command that met a lasting fault: its way, and how it ended."""

    way: Way
    ended: Ended


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Disturbed]]:
    """The commands, each on a way of its own, once all have ended."""
    ways: dict[str, Way] = {}
    running: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        for name in ("server gone", "no such host", "always 500"):
            ways[name] = stack.enter_context(opened())
            ways[name].begin(tmp_path_factory.mktemp("way"))
            ways[name].undisturbed("evolve", tmp_path_factory.mktemp("whole"))
        ways["always 500"].server.draw = Draw(["500"], rate=0.1, most=None)
        for name, way in ways.items():
            url = NOWHERE if name == "no such host" else ""
            running[name] = start(way.arguments("evolve", "run", url=url), way.folder, {"COLUMNS": "250"})
        gone = ways["server gone"]
        gone.proxy.draw.wait_for(CALLS["evolve"] // 2)
        gone.background.run(gone.proxy.stop())
        yield {name: Disturbed(ways[name], finish(process, PATIENCE_S)) for name, process in running.items()}


def test_a_server_that_goes_away(disturbed: dict[str, Disturbed]) -> None:
    way, ended = disturbed["server gone"].way, disturbed["server gone"].ended
    assert ended.status == 1, ended.errors
    assert f"127.0.0.1:{way.proxy.port}" in ended.errors
    assert "same command again" in ended.errors
    assert "Traceback" not in ended.errors
    asked = way.proxy.draw.total
    assert CALLS["evolve"] // 2 <= asked < CALLS["evolve"]
    way.background.run(way.proxy.start())
    again = way.command("evolve")
    assert again.status == 0, again.errors
    assert way.proxy.draw.repeated <= UNSTORED
    assert (way.folder / "run" / FILES["evolve"]).read_bytes() == way.whole["evolve"].read_bytes()


def test_a_name_that_does_not_resolve(disturbed: dict[str, Disturbed]) -> None:
    way, ended = disturbed["no such host"].way, disturbed["no such host"].ended
    assert ended.status == 2, ended.errors
    assert "no-such-host.invalid" in ended.errors
    assert "base_url" in ended.errors
    assert "Traceback" not in ended.errors
    again = way.command("evolve")  # with the right address: what came to nothing binds nobody
    assert again.status == 0, again.errors
    assert (way.folder / "run" / FILES["evolve"]).read_bytes() == way.whole["evolve"].read_bytes()


def test_requests_that_always_fail(disturbed: dict[str, Disturbed]) -> None:
    way, ended = disturbed["always 500"].way, disturbed["always 500"].ended
    assert ended.status == 0, ended.errors
    rows = assert_all_accounted_for(way.folder / "run", "evolve", ended.output)
    failed = [row for row in rows if row["status"] == "failed"]
    hit = {seed_of(body) for _, body in way.server.draw.drawn}
    assert {row["seed_index"] for row in failed} == hit != set()
    assert all("HTTP 500: worker died" in row["reason"] for row in failed)
    failures = manifest(way.folder / "run")["stages"]["evolve"]["counts"]["failures"]
    assert sum(failures.values()) == len(failed)
    assert "HTTP 500: worker died" in ended.output
    untouched = [row for row in rows_of(way.whole["evolve"]) if row["seed_index"] not in hit]
    assert [row for row in rows if row["seed_index"] not in hit] == untouched


@pytest.mark.parametrize(("concurrency", "most"), [(8, 8), (None, 64)])
def test_a_wrong_key_stops_within_the_first_calls(way: Way, concurrency: int | None, most: int) -> None:
    rows = ({"instruction": f"How do I mend sock ({n})?"} for n in range(2000))
    (way.folder / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    way.server.draw = Draw(["wrong key"], rate=1, most=None)
    ended = way.command("evolve", concurrency=concurrency, variables={"OPENAI_API_KEY": "sk-wrong-0123456789"})
    assert ended.status == 2, ended.errors
    assert "HTTP 401: Incorrect API key provided" in ended.errors
    assert "OPENAI_API_KEY" in ended.errors
    assert "sk-wrong" not in ended.errors + ended.output
    assert way.server.draw.total <= most
    assert way.server.bearers == {"Bearer sk-wrong-0123456789"}


def test_every_record_failing_is_no_success(way: Way, tmp_path: Path) -> None:
    way.server.draw = Draw(["too long"], rate=1, most=None)
    ended = way.command("evolve")
    assert ended.status == 1
    assert "maximum context length" in ended.errors
    assert "Traceback" not in ended.errors
    way.server.draw = Draw()
    assert way.command("evolve").status == 0  # the cause is mended: the same command, nothing bound
