"""What ends a sandbox process or a function's: the function itself, or something outside that it has no part in."""

import asyncio
import marshal
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolvent.errors import RunError
from evolvent.sandbox import process
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import GIVEN_UP_ENDED, Sandbox
from evolvent.sandbox.verdicts import Evaluation, Verdict
from tests.sandbox.processes import descendants, reaper
from tests.sandbox.test_sandbox import LIMITS, PROCESSES, evaluations, within
from tests.sandbox.wall import needs_wall

pytestmark = needs_wall

SLOW = "import time\ndef evaluate(response):\n    time.sleep(0.4)\n    return response == 'good'"
EXITS = "import os\ndef evaluate(response):\n    return response == 'good' or os._exit(4)"
JUDGED = Evaluation((Verdict(True), Verdict(False)))
BUBBLEWRAP, HARNESS, FUNCTION = range(3)  # in the order in which they start


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Grows by the responses that a sandbox process is sent, for each that is started."""
    sent: list[int] = []
    ask = process.ask

    async def asked(running: process.Running, request: dict[str, tuple[str, ...]], *rest: float) -> object:
        sent.append(len(request["responses"]))
        return await ask(running, request, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "ask", asked)
    yield sent


async def killed(sandbox: Sandbox, which: int, times: int) -> list[Evaluation]:
    """An evaluation during which one of the processes is killed, in so many sandboxes one after the other."""
    work = asyncio.create_task(sandbox.evaluate([SLOW], ["good", "bad"]))
    before: set[int] = set()
    while times and not work.done():
        inside = sorted(descendants() - before)
        if len(inside) == PROCESSES:
            os.kill(inside[which], signal.SIGKILL)
            before |= set(inside)
            times -= 1
        await asyncio.sleep(0.01)
    return await work


@pytest.mark.parametrize("which", [BUBBLEWRAP, HARNESS, FUNCTION])
def test_what_is_killed_once_from_outside_is_tried_once_more(which: int) -> None:
    with reaper():
        assert within(lambda sandbox: killed(sandbox, which, times=1)) == [JUDGED]


@pytest.mark.parametrize("which", [BUBBLEWRAP, HARNESS])
def test_a_sandbox_that_is_killed_twice_is_an_error_and_no_verdict(which: int) -> None:
    with reaper(), pytest.raises(RunError, match="was ended from outside, and so was the one that took its place") as e:
        within(lambda sandbox: killed(sandbox, which, times=2))
    assert "short of memory" in e.value.fix and "512 MiB" in e.value.fix


def test_a_program_whose_sandbox_is_killed_twice_has_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(process, "ask", none)
    with pytest.raises(RunError, match="ended from outside"):
        within(lambda sandbox: sandbox.run("x = 1"))


def test_a_harness_that_breaks_is_an_error_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the machine has no more processes to give."""
    source = Path(process.__file__).with_name("harness.py").read_text(encoding="utf-8")
    broken = compile(source.replace("os.fork()", "int('no more processes')"), "harness.py", "exec")
    code = marshal.dumps(broken)
    monkeypatch.setattr(process, "harness", lambda: b"%d\n%b" % (len(code), code))
    with pytest.raises(RunError, match="no more processes"):
        evaluations(["def evaluate(r): return True"], ["a"])


def test_a_function_that_cannot_be_confined_is_not_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "compiled_filter", lambda: b"no filter")
    with pytest.raises(RunError, match="a function's process could not be confined: OSError"):
        evaluations(["def evaluate(r): return True"], ["a"])


def test_a_function_that_kills_itself_has_that_for_a_verdict(starts: list[int]) -> None:
    source = "import os\ndef evaluate(response):\n    return response == 'good' or os.kill(os.getpid(), 9)"
    [found, honest] = evaluations([source, "def evaluate(r): return r == 'good'"], ["good", "bad", "good"])
    assert found.verdicts == (Verdict(True), Verdict(None, "killed by SIGKILL"), Verdict(True))
    assert honest.verdicts == (Verdict(True), Verdict(False), Verdict(True))
    assert len(starts) == 4  # twice more where it was killed, and the rest


def test_a_program_that_kills_itself_has_not_passed() -> None:
    outcome = within(lambda sandbox: sandbox.run("import os; os.kill(os.getpid(), 9)"))
    assert (outcome.passed, outcome.reason) == (False, "killed by SIGKILL")


def test_a_function_that_ends_its_process_is_given_up(starts: list[int]) -> None:
    responses = ["good", "a", "good", "b", "c", "good", "d"]
    [found, honest] = evaluations([EXITS, "def evaluate(r): return r == 'good'"], responses)
    ended, given_up = Verdict(None, "exited with status 4"), Verdict(None, GIVEN_UP_ENDED)
    assert found.verdicts == (Verdict(True), ended, Verdict(True), ended, ended, given_up, given_up)
    assert [verdict.value for verdict in honest.verdicts] == [text == "good" for text in responses]
    assert len(starts) == 4


def test_only_what_is_still_to_be_tried_is_sent_again(starts: list[int]) -> None:
    evaluations([EXITS], ["good", "a", "good", "b", "good", "c", "d", "e"])
    assert starts == [8, 6, 4]


def test_time_and_ends_count_together() -> None:
    source = "import os\ndef evaluate(response):\n    while response == 'long': pass\n    os._exit(1)"
    [found] = evaluations([source], ["long", "a", "long", "b"], Limits(seconds=0.3))
    assert [verdict.reason for verdict in found.verdicts] == [
        "time limit",
        "exited with status 1",
        "time limit",
        GIVEN_UP_ENDED,
    ]


def test_words_of_the_harness_may_be_longer_than_a_functions() -> None:
    exits = "import os\ndef evaluate(response): os._exit(0)"
    none = "def evaluate_it(response): return True"
    greedy = "def evaluate(response): return bytearray(10**9)"
    found = evaluations([exits, none, greedy], ["a"], Limits(seconds=20, output=4))
    assert [one.verdicts[0].reason for one in found] == ["exited with status 0", "no f", "memo"]


@pytest.mark.parametrize("number", [900, 5000])
def test_no_descriptor_is_inherited(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that bubblewrap is given, however high: those of a process that has many open are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= number + 8:
        pytest.skip("no such descriptor can be had here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number + 8), hard))
    source = (
        "import os\n"
        "def evaluate(response):\n"
        "    there = []\n"
        "    for n in range(20_000):\n"
        "        try: os.fstat(n)\n"
        "        except OSError: continue\n"
        "        there.append(n)\n"
        "    raise ValueError(len(there), max(there) < 64)"
    )
    end, other = os.pipe()
    started = process._started

    def start(command: list[str], channel: object, given: tuple[int, ...]) -> object:
        os.dup2(end, number)
        os.set_inheritable(number, True)
        return started(command, channel, (*given, number))  # type: ignore[arg-type]

    monkeypatch.setattr(process, "_started", start)
    try:
        [found] = evaluations([source], ["a"], LIMITS)
    finally:
        for descriptor in (end, other, number):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.verdicts[0].reason == "ValueError: (4, True)"  # three of /dev/null, and the channel of verdicts


def test_a_machine_that_stands_still_is_no_verdict_and_no_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SPARE_SECONDS", -9.5)
    with pytest.raises(RunError, match="s more than all calls of its functions may take together"):
        within(lambda sandbox: sandbox.evaluate([SLOW.replace("0.4", "3")], ["good"]), Limits(seconds=5))
