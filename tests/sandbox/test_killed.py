"""evolvent killed in the middle of its work: nothing of the sandbox stays."""

import signal
import sys

import pytest

from evolvent.sandbox.wall import maps_nobody
from tests.processes import LONG_S, python, start, wait_until
from tests.sandbox.processes import descendants, reaper
from tests.sandbox.wall import needs_wall

WORK = """
import asyncio, sys
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox

async def main():
    async with Sandbox(Limits(seconds=60), unsafe=sys.argv[1] == "unsafe", workers=2) as sandbox:
        print("starts", flush=True)
        await asyncio.gather(*(sandbox.run("while True: pass") for _ in range(4)))

asyncio.run(main())
"""
MAPPING = """
import asyncio, time
from evolvent.sandbox import process
from evolvent.sandbox.limits import Limits

def never(*_):
    print("bubblewrap waits", flush=True)
    time.sleep(60)

process.map_users = never
asyncio.run(process.start(Limits(), walled=True))
"""
PROCESSES = {"walled": 7, "unsafe": 5}  # itself, and for both: bubblewrap, the harness, the program


@needs_wall
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("mode", ["walled", "unsafe"])
def test_nothing_outlives_a_killed_evolvent(mode: str) -> None:
    before = descendants()
    with reaper(), start(python(WORK, mode)) as work:
        wait_until(lambda: len(descendants() - before) >= PROCESSES[mode], work)
        work.kill()
        work.wait()
        assert_none_but(before)


@needs_wall
@pytest.mark.skipif(sys.platform != "linux" or not maps_nobody(), reason="only root's sandboxes have users mapped")
def test_nothing_outlives_an_evolvent_that_is_killed_while_it_starts_a_sandbox() -> None:
    before = descendants()
    with reaper(), start(python(MAPPING)) as work:
        assert work.stdout is not None and work.stdout.readline() == "bubblewrap waits\n"
        work.kill()
        work.wait()
        assert_none_but(before)


@needs_wall
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("mode", ["walled", "unsafe"])
def test_interrupt_while_sandboxes_start_ends_all(mode: str) -> None:
    """asyncio.run then cancels every task there is, some of them twice."""
    before = descendants()
    with reaper(), start(python(WORK, mode)) as work:
        assert work.stdout is not None and work.stdout.readline() == "starts\n"
        work.send_signal(signal.SIGINT)
        assert work.wait(timeout=LONG_S) != 0
        assert_none_but(before)


def assert_none_but(before: set[int]) -> None:
    wait_until(lambda: not descendants() - before)
