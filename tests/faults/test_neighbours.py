"""Nobody pays for a neighbour: what other tools do at one fault or one slow reply, and this one must not.

Everything is counted, nothing is timed: replies are held back until the requests that must not wait for them have come.
"""

import asyncio
import math
import sys
import threading
from pathlib import Path

import pytest

from tests.e2e.command import SERVER, evolvent
from tests.e2e.test_storage import in_namespace, needs_mounts
from tests.faults.draw import Draw
from tests.faults.server import FAULTS, wrong
from tests.faults.way import CALLS, ROUNDS, SEEDS, Way, rows_of, seed_of, write_seeds
from tests.processes import slowness

MOST = CALLS["evolve"]


def test_one_rate_limit_pauses_nobody_else(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only request that waits out a Retry-After is the one that got it."""
    retry_after = str(math.ceil(3 * slowness()))
    monkeypatch.setitem(FAULTS, "429 with 3 s", lambda _: wrong(429, "rate limit", Retry_After=retry_after))
    way.server.draw = Draw(["429 with 3 s"], in_all=1)
    ended = way.command("evolve")
    assert ended.status == 0, ended.errors
    delayed = seed_of(way.server.arrivals[0])
    times = [place for place, prompt in enumerate(way.server.arrivals) if seed_of(prompt) == delayed]
    assert len(times) == ROUNDS + 1
    assert times[1:] == list(range(MOST + 1))[-ROUNDS:], "others came after the one that had to wait"


def test_a_failed_request_is_sent_again_while_others_still_wait_for_their_first(way: Way) -> None:
    write_seeds(way.folder, 120)
    way.server.draw = Draw(["500"], in_all=1)
    way.server.latency_s = 0.1
    ended = way.command("evolve", "run", "--rounds", "1", concurrency=4)
    assert ended.status == 0, ended.errors
    failed = seed_of(way.server.arrivals[0])
    again = [place for place, prompt in enumerate(way.server.arrivals) if seed_of(prompt) == failed][1]
    # The first wait is a second at the most, in which the 4 in flight are answered 40 times.
    assert again < 80


def test_a_slow_reply_holds_nobody_up(way: Way) -> None:
    """The first request is answered only when all rounds of all other seeds have been asked for."""
    others = threading.Event()

    async def hold(prompt: str) -> None:
        if seed_of(prompt) == seed_of(way.server.arrivals[0]):
            if len(way.server.arrivals) == MOST - ROUNDS + 1:
                others.set()
            while not others.is_set():
                await asyncio.sleep(0.01)
        elif len(way.server.arrivals) == MOST - ROUNDS + 1:
            others.set()

    way.server.before_reply = hold
    ended = way.command("evolve")
    assert ended.status == 0, ended.errors
    assert others.is_set()


@pytest.mark.parametrize("concurrency", [1, 4, 16, 64])
def test_so_many_calls_as_allowed_are_in_flight_and_no_more(way: Way, concurrency: int) -> None:
    write_seeds(way.folder, 2 * concurrency + 8)
    all_there = asyncio.Event()

    async def hold(_: str) -> None:
        if way.server.peak >= concurrency:
            all_there.set()
        await all_there.wait()
        await asyncio.sleep(0.05)  # for one too many to come

    way.server.before_reply = hold
    ended = way.command("evolve", concurrency=concurrency)
    assert ended.status == 0, ended.errors
    assert way.server.peak == concurrency


def test_no_limit_that_nobody_asked_for(way: Way) -> None:
    """500 calls of a local server take no minutes (a default limit of 200 a minute would make it three)."""
    write_seeds(way.folder, 500)
    way.server.latency_s = 0
    ended = way.command("evolve", "run", "--rounds", "1", concurrency=None)
    assert ended.status == 0, ended.errors
    assert way.server.draw.total == 500
    assert ended.seconds < 60 * slowness()


def test_answers_of_another_system_prompt_model_or_server_are_never_served(way: Way) -> None:
    commands = {
        "first": way.arguments("evolve", "run", "--fresh"),
        "system prompt": way.arguments("evolve", "run", "--fresh", "--system", "You are kind."),
        "server": way.arguments("evolve", "run", "--fresh", url=way.server_url),
        "model": [part.replace("openai:m?", "openai:n?") for part in way.arguments("evolve", "run", "--fresh")],
    }
    for number, (name, arguments) in enumerate(commands.items(), 1):
        ended = evolvent(*arguments, folder=way.folder)
        assert ended.status == 0, ended.errors
        assert way.server.draw.total == number * MOST, f"another {name} was served from the store"
    # What has been asked before is asked no more, also after all that.
    assert evolvent(*commands["system prompt"], folder=way.folder).status == 0
    assert way.server.draw.total == len(commands) * MOST


@needs_mounts
def test_nothing_needs_the_network(tmp_path: Path) -> None:
    """Where there is no network but this machine's own, a command with a server of this machine works."""
    write_seeds(tmp_path)
    up = (
        "import fcntl, socket; fcntl.ioctl(socket.socket(), 0x8914, b'lo'.ljust(16, b'\\0') + b'\\1'.ljust(16, b'\\0'))"
    )
    ended = in_namespace(
        f"""
        {sys.executable} -c "{up}"
        {sys.executable} {SERVER} 0 >port & server=$!
        until [ -s port ]; do sleep 0.05; kill -0 $server || exit 9; done
        $EVOLVENT evolve seeds.jsonl --rounds 1 --model "openai:m?base_url=http://127.0.0.1:$(cat port)/v1" --out run
        echo $?
        kill $server
        """,
        tmp_path,
        "--net",
    )
    assert ended.output.split()[-1] == "0", ended
    assert len(rows_of(tmp_path / "run/evolved.parquet")) == 2 * SEEDS
