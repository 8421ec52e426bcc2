"""Faults between the tool and its model: whatever happens on the way, the file is the one of an undisturbed run."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import start
from tests.faults.draw import Draw
from tests.faults.proxy import HARMLESS, LOSES
from tests.faults.server import PASSING, STRANGE
from tests.faults.way import CALLS, FILES, UNSTORED, Way
from tests.processes import finish, slowness

# Faults that are met until the time-out, which is an option of the URI and no part of a call.
SLOW = {"hang", "drip"}

CASES: dict[str, dict[str, Any]] = {
    "429 storm": {"server": ["429"], "rate": 1.0},
    "429 storm with Retry-After": {"server": ["429 with Retry-After"], "rate": 1.0},
    "429 with a date": {"server": ["429 with a date"]},
    "500": {"server": ["500"], "most": 2},
    "503 and HTML": {"server": ["502 HTML", "503", "HTML as 200", "error as 200"]},
    "truncated and invalid JSON": {"server": ["truncated JSON", "invalid JSON", "no body"]},
    "10 MB of no JSON": {"server": ["10 MB of no JSON"], "rate": 0.1},
    "wrong content type": {"server": ["JSON as text/plain"], "rate": 1.0},
    "refused": {"proxy": ["refuse"]},
    "cut in mid-body": {"proxy": ["cut", "cut at a word"]},
    "hung": {"proxy": ["hang"], "rate": 0.2},
    "slow drip": {"proxy": ["drip"], "rate": 0.2},
    "garbled": {"proxy": ["garble"]},
    "trickle": {"proxy": ["trickle"], "rate": 1.0},
    "each reply twice": {"proxy": ["twice"], "rate": 1.0},
    # Each request's first reply is a 429: all wait out its Retry-After while the second copies arrive. (A copy that
    # arrives when the next request has been sent cannot be told from its reply: so is HTTP/1.1.)
    "each 429 again, late": {"server": ["429 with Retry-After"], "proxy": ["late"], "rate": 1.0, "most": 1},
    "closed after each reply": {"proxy": ["close"], "rate": 1.0},
    "everything": {"server": [*PASSING, *STRANGE], "proxy": [*LOSES, *HARMLESS], "rate": 0.16, "most": 2},
}
RESPOND = ("500", "cut in mid-body", "everything")


def disturb(way: Way, case: dict[str, Any]) -> str:
    """Draw this case's faults from now on; the URI's further options."""
    rate = case.get("rate", 0.3)
    way.server.draw = Draw(case.get("server", ()), rate=rate, most=case.get("most", 1))
    harmless = set(case.get("proxy", ())) <= set(HARMLESS)
    way.proxy.draw = Draw(case.get("proxy", ()), rate=rate, most=case.get("most", 9 if harmless else 1))
    return f"&timeout={2 * slowness():.1f}" if SLOW & set(case.get("proxy", ())) else ""


def lost(way: Way) -> tuple[int, int]:
    """How many requests had to come again: at least, at most (two faults can meet one request, one on each side)."""
    server = sum(count for name, count in way.server.draw.met.items() if name in PASSING)
    proxy = sum(count for name, count in way.proxy.draw.met.items() if name in LOSES)
    return max(server, proxy), server + proxy


@pytest.mark.parametrize("name", CASES)
def test_evolve(way: Way, evolved: Path, name: str) -> None:
    check(way, "evolve", CASES[name], evolved)


@pytest.mark.parametrize("name", RESPOND)
def test_respond(way: Way, answered: Path, name: str) -> None:
    check(way, "respond", CASES[name], answered)


def test_everything_while_concurrency_finds_its_own_level(way: Way, evolved: Path) -> None:
    check(way, "evolve", CASES["everything"], evolved, concurrency=None)


def test_a_server_restart(way: Way, evolved: Path) -> None:
    """The server is away for three seconds in the middle of the run."""
    way.server.latency_s = 0.2
    process = start(way.arguments("evolve", "run"), way.folder)
    way.proxy.draw.wait_for(CALLS["evolve"] // 2)
    way.background.run(way.proxy.stop())
    time.sleep(3)
    way.background.run(way.proxy.start())
    ended = finish(process)
    assert ended.status == 0, ended.errors
    assert (way.folder / "run" / FILES["evolve"]).read_bytes() == evolved.read_bytes()
    assert len(way.proxy.draw.requests) == CALLS["evolve"]
    assert way.proxy.draw.repeated <= UNSTORED


def test_a_clock_that_jumps(way: Way, evolved: Path, tmp_path: Path) -> None:
    """The wall clock goes hours forth and days back each time it is read, while the server says when to come again."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(
        "import time\n"
        "real, jumps = time.time, [0]\n"
        "def jumping():\n"
        "    jumps[0] += 1\n"
        "    return real() + (3600 * jumps[0] if jumps[0] % 2 else -86400 * jumps[0])\n"
        "time.time = jumping\n"
    )
    path = os.pathsep.join([str(tmp_path / "clock"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    case = {"server": ["429", "429 with a date", "429 with Retry-After", "500"]}
    check(way, "evolve", case, evolved, variables={"PYTHONPATH": path})


def check(way: Way, stage: str, case: dict[str, Any], whole: Path, **how: Any) -> None:
    query = disturb(way, case)
    ended = way.command(stage, query=query, **how)
    assert ended.status == 0, ended.errors
    assert "Traceback" not in ended.errors
    assert len(way.server.draw.drawn) + len(way.proxy.draw.drawn) >= 2, "this case disturbs nothing"
    assert (way.folder / "run" / FILES[stage]).read_bytes() == whole.read_bytes()
    assert len(way.proxy.draw.requests) == CALLS[stage]
    least, most = lost(way)
    # On a busy machine a time-out may pass where none was meant.
    assert least <= way.proxy.draw.repeated <= most + (2 if query else 0)
