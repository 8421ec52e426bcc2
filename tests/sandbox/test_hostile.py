"""Every hostile program is contained, said so of, and the next evaluation is right."""

import asyncio
import os
import platform
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox
from evolvent.sandbox.verdicts import Evaluation, Verdict
from tests.sandbox.hostile import BOOL, Hostile, read_corpus
from tests.sandbox.processes import descendants, reaper
from tests.sandbox.wall import needs_wall

pytestmark = needs_wall

MEMORY, SCRATCH = 256 << 20, 4 << 20
LONG, SHORT = 20.0, 0.4  # seconds: for what ends by itself, also on a busy machine, and for what does not
HONEST = "def evaluate(response):\n    return response == 'good'"
CORPUS = read_corpus()
SECRET = "secret word 7f3a9"
VARIABLE = "EVOLVENT_TEST_SECRET"


@dataclass
class Surroundings:
    """What a program must not reach."""

    folder: Path
    listeners: list[socket.socket]

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
    with reaper():
        yield Surroundings(folder, listeners)
    del os.environ[VARIABLE]
    for listener in listeners:
        listener.close()


def evaluated(functions: list[str], responses: list[str], seconds: float) -> list[Evaluation]:
    async def batch() -> list[Evaluation]:
        async with Sandbox(Limits(seconds=seconds, memory=MEMORY, scratch=SCRATCH), workers=1) as sandbox:
            return await sandbox.evaluate(functions, responses)

    return asyncio.run(batch())


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: f"{hostile.kind}: {hostile.name}")
def test_hostile_program_is_contained(hostile: Hostile, surroundings: Surroundings) -> None:
    if re.search(r"syscall\(|CFUNCTYPE", hostile.source) and platform.machine() != "x86_64":
        pytest.skip("written for x86-64")
    before = descendants()
    endless = "time limit" in hostile.said
    responses = ["good"] if endless else ["good", "bad"]
    source = surroundings.fill(hostile.source)
    if endless:
        [[found], [honest]] = evaluated([source], responses, SHORT), evaluated([HONEST], responses, LONG)
    else:
        found, honest = evaluated([source, HONEST], responses, LONG)
    assert honest == Evaluation((Verdict(True), Verdict(False))[: len(responses)])
    assert len(found.verdicts) == len(responses)
    assert SECRET not in repr(found) and "7f3a9" not in repr(found)
    for verdict in found.verdicts:
        said = BOOL if verdict.value is not None else str(verdict.reason)
        assert re.search(surroundings.fill(hostile.said), said), said
    assert (found.violation is not None) == hostile.stopped or "|" in hostile.said, found.violation
    assert surroundings.reached() == []
    assert descendants() - before == set()


def test_corpus_has_different_programs() -> None:
    assert len({hostile.name for hostile in CORPUS}) == len({hostile.source for hostile in CORPUS}) == len(CORPUS) >= 60


def test_a_function_is_interrupted_where_the_job_ignores_interrupts() -> None:
    source = "def evaluate(response):\n    import signal\n    signal.raise_signal(signal.SIGINT)\n    return True\n"
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        [found] = evaluated([source], ["good"], LONG)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert [verdict.reason for verdict in found.verdicts] == ["killed by SIGINT"]
