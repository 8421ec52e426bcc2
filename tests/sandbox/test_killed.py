"""evolvent killed in the middle of its work: nothing of the sandbox stays."""

import subprocess
import sys
import time

import pytest

from evolvent.sandbox.wall import maps_nobody
from tests.sandbox.processes import descendants, reaper
from tests.sandbox.wall import needs_wall

WORK = """
import asyncio, sys
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox

async def main():
    async with Sandbox(Limits(seconds=60), unsafe=sys.argv[1] == "unsafe") as sandbox:
        await asyncio.gather(*(sandbox.run("while True: pass") for _ in range(2)))

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
    with reaper():
        work = subprocess.Popen([sys.executable, "-c", WORK, mode])
        by = time.monotonic() + 60
        while len(descendants() - before) < PROCESSES[mode]:
            assert time.monotonic() < by and work.poll() is None
            time.sleep(0.01)
        work.kill()
        work.wait()
        assert_none_but(before)


@needs_wall
@pytest.mark.skipif(sys.platform != "linux" or not maps_nobody(), reason="only root's sandboxes have users mapped")
def test_nothing_outlives_an_evolvent_that_is_killed_while_it_starts_a_sandbox() -> None:
    before = descendants()
    with reaper(), subprocess.Popen([sys.executable, "-c", MAPPING], stdout=subprocess.PIPE) as work:
        assert work.stdout is not None and work.stdout.readline() == b"bubblewrap waits\n"
        work.kill()
        work.wait()
        assert_none_but(before)


def assert_none_but(before: set[int]) -> None:
    by = time.monotonic() + 20
    while left := descendants() - before:
        assert time.monotonic() < by, left
        time.sleep(0.01)
