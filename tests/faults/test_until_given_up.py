"""Faults that do not pass: a server that goes away, a name that does not resolve, one request that always fails.

The tool is patient with each, so these commands run beside all other tests of this folder (``lasting.py``), and the
tests here, the last ones, look at how they ended.
"""

import json
from pathlib import Path

import pytest

from tests.faults.draw import Draw
from tests.faults.lasting import Lasting
from tests.faults.way import (
    CALLS,
    FILES,
    UNSTORED,
    Way,
    assert_all_accounted_for,
    manifest,
    rows_of,
    seed_of,
)


def test_a_server_that_goes_away(lasting: Lasting) -> None:
    way, ended = lasting.end("server gone")
    assert ended.status == 1, ended.errors
    assert f"127.0.0.1:{way.proxy.port}" in ended.errors
    assert "stopped answering" in ended.errors
    assert "the same command: it goes on" in ended.errors
    assert "Traceback" not in ended.errors
    assert CALLS["evolve"] // 2 <= way.proxy.draw.total < CALLS["evolve"]
    way.background.run(way.proxy.start())
    again = way.command("evolve")
    assert again.status == 0, again.errors
    assert way.proxy.draw.repeated <= UNSTORED
    assert (way.folder / "run" / FILES["evolve"]).read_bytes() == way.whole["evolve"].read_bytes()


def test_a_name_that_does_not_resolve(lasting: Lasting) -> None:
    way, ended = lasting.end("no such host")
    assert ended.status == 2, ended.errors
    assert "no-such-host.invalid" in ended.errors
    assert "base_url" in ended.errors
    assert "Traceback" not in ended.errors
    again = way.command("evolve")  # with the right address: what came to nothing binds nobody
    assert again.status == 0, again.errors
    assert (way.folder / "run" / FILES["evolve"]).read_bytes() == way.whole["evolve"].read_bytes()


def test_requests_that_always_fail(lasting: Lasting) -> None:
    way, ended = lasting.end("always 500")
    assert ended.status == 0, ended.errors
    rows = assert_all_accounted_for(way.folder / "run", "evolve", ended.output)
    failed = [row for row in rows if row["status"] == "failed"]
    hit = {seed_of(body) for _, body in way.server.draw.drawn}
    assert {row["seed_index"] for row in failed} == hit != set()
    assert all("HTTP 500: worker died" in row["reason"] for row in failed)
    failures = manifest(way.folder / "run")["stages"]["evolve"]["counts"]["failures"]
    assert sum(failures.values()) == len(failed)
    assert "HTTP 500: worker died" in " ".join(ended.output.replace("│", " ").split())  # a table breaks its lines
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
