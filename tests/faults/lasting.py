"""Commands that meet a fault which does not pass, started first and looked at last: the tool is patient with them."""

import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.command import start
from tests.faults.draw import Draw
from tests.faults.way import CALLS, Way, opened
from tests.processes import Ended, finish

NOWHERE = "http://no-such-host.invalid:8000/v1"


class Lasting:
    """The commands, each on a way of its own. A context manager: at its end those that still run are killed.

    Args:
        folder: where they may work.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._ways: dict[str, Way] = {}
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> "Lasting":
        for name in ("no such host", "always 500", "server gone"):
            folder = self._folder / name.replace(" ", "-")
            folder.mkdir()
            way = self._ways[name] = self._stack.enter_context(opened())
            way.begin(folder)
            way.undisturbed("evolve", folder)
            way.server.latency_s = 0.3
            if name == "always 500":
                way.server.draw = Draw(["500"], rate=0.1, most=None)
            url = NOWHERE if name == "no such host" else ""
            self._running[name] = start(way.arguments("evolve", "run", url=url), folder)
            self._stack.callback(self._running[name].kill)
        way.proxy.draw.wait_for(CALLS["evolve"] // 2)  # the last one's
        way.background.run(way.proxy.stop())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def end(self, name: str) -> tuple[Way, Ended]:
        """A command's way, and how it ended."""
        return self._ways[name], finish(self._running[name])
