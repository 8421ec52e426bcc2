"""Every hostile program is contained, said so of, and the next evaluation is right."""

import asyncio
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox
from evolvent.sandbox.verdicts import Evaluation, Verdict
from tests.sandbox.hostile import CORPUS, VERDICT, Hostile
from tests.sandbox.wall import needs_wall

pytestmark = needs_wall

LIMITS = Limits(seconds=0.3, memory=256 << 20, scratch=4 << 20)
HONEST = "def evaluate(response):\n    return response == 'good'"
RIGHT = Evaluation((Verdict(True), Verdict(False)))
SECRET = "secret word 7f3a9"
VARIABLE = "EVOLVENT_TEST_SECRET"


@dataclass
class Surroundings:
    """What a program must not reach."""

    folder: Path
    listeners: list[socket.socket]
    before: set[str]

    @property
    def port(self) -> int:
        return int(self.listeners[0].getsockname()[1])

    def fill(self, text: str) -> str:
        values = {"port": self.port, "folder": self.folder, "variable": VARIABLE, "host": os.getpid()}
        return re.sub(r"\{(port|folder|variable|host)\}", lambda match: str(values[match[1]]), text)

    def reached(self) -> list[str]:
        """What was reached after all."""
        found = [f"{listener} was connected to" for listener in self.listeners if connected(listener)]
        names = sorted(path.name for path in self.folder.iterdir())
        found += [] if names == ["secret", "socket"] else [f"the folder holds {names}"]
        found += [] if (self.folder / "secret").read_text() == SECRET else ["the secret was changed"]
        return found


def connected(listener: socket.socket) -> bool:
    try:
        listener.accept()
    except BlockingIOError:
        return False
    return True


def other_processes() -> set[str]:
    """Processes in other process namespaces than ours, and bubblewraps."""
    ours, found = Path("/proc/self/ns/pid").readlink(), set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "ns/pid").readlink() != ours or (folder / "comm").read_text().strip() == "bwrap":
                found.add(folder.name)
        except OSError:  # gone, or another user's
            pass
    return found


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    folder = tmp_path_factory.mktemp("s")
    (folder / "secret").write_text(SECRET)
    internet, file, abstract = (socket.socket(family) for family in (socket.AF_INET, socket.AF_UNIX, socket.AF_UNIX))
    internet.bind(("127.0.0.1", 0))
    file.bind(str(folder / "socket"))
    abstract.bind(f"\0evolvent-{internet.getsockname()[1]}")
    listeners = [internet, file, abstract]
    for listener in listeners:
        listener.setblocking(False)
        listener.listen()
    os.environ[VARIABLE] = SECRET
    yield Surroundings(folder, listeners, other_processes())
    del os.environ[VARIABLE]
    for listener in listeners:
        listener.close()


def evaluated(*functions: str) -> list[list[Evaluation]]:
    """The functions in one batch, and then an honest one in the next."""

    async def both() -> list[list[Evaluation]]:
        async with Sandbox(LIMITS, workers=1) as sandbox:
            return [await sandbox.evaluate(batch, ["good", "bad"]) for batch in (functions, (HONEST,))]

    return asyncio.run(both())


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
def test_hostile_program_is_contained(hostile: Hostile, surroundings: Surroundings) -> None:
    [found, honest], following = evaluated(surroundings.fill(hostile.source), HONEST)
    assert honest == RIGHT
    assert following == [RIGHT]
    assert len(found.verdicts) == 2
    assert SECRET not in repr(found) and "7f3a9" not in repr(found)
    for verdict in found.verdicts:
        said = VERDICT if verdict.value is not None else str(verdict.reason)
        assert re.search(surroundings.fill(hostile.said), said), said
    assert (found.violation is not None) == hostile.stopped or "|" in hostile.said, found.violation
    assert surroundings.reached() == []
    gone_by = time.monotonic() + 5
    while (left := other_processes() - surroundings.before) and time.monotonic() < gone_by:
        time.sleep(0.001)
    assert left == set()


def test_corpus_has_different_programs() -> None:
    assert len({hostile.name for hostile in CORPUS}) == len({hostile.source for hostile in CORPUS}) == len(CORPUS) >= 60
