import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Timer
from typing import TypeVar

import pytest

from evolvent.concurrency import run_sync, together
from evolvent.errors import RunError
from evolvent.sandbox import process
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import GIVEN_UP, TIME_LIMIT, Sandbox
from evolvent.sandbox.verdicts import Evaluation, Outcome, Verdict
from evolvent.sandbox.wall import map_users, maps_nobody
from tests.processes import LONG_S
from tests.sandbox.processes import descendants, reaper
from tests.sandbox.wall import needs_wall

pytestmark = needs_wall

LIMITS = Limits(seconds=20)
PROCESSES = 3  # bubblewrap, the harness, the program
T = TypeVar("T")


def within(work: Callable[[Sandbox], Awaitable[T]], limits: Limits = LIMITS, workers: int = 1) -> T:
    async def inside() -> T:
        async with Sandbox(limits, workers=workers) as sandbox:
            return await work(sandbox)

    return asyncio.run(inside())


def evaluations(functions: list[str], responses: list[str], limits: Limits = LIMITS) -> list[Evaluation]:
    return within(lambda sandbox: sandbox.evaluate(functions, responses), limits)


def said(function: str, *responses: str) -> list[bool | str | None]:
    [evaluation] = evaluations([function], list(responses))
    return [verdict.reason if verdict.value is None else verdict.value for verdict in evaluation.verdicts]


def test_every_function_judges_every_response() -> None:
    short = "def evaluate(response):\n    return len(response) < 3"
    mixed = "def evaluate(response):\n    return {'a': True, 'b': 1}[response]"
    assert evaluations([short, mixed], ["a", "b", "ccc"]) == [
        Evaluation((Verdict(True), Verdict(True), Verdict(False))),
        Evaluation((Verdict(True), Verdict(None, "returned int, not a bool"), Verdict(None, "KeyError: 'ccc'"))),
    ]


def test_no_functions_and_no_responses() -> None:
    assert evaluations([], ["a"]) == []
    assert evaluations(["def evaluate(r): return True", "nonsense"], []) == [
        Evaluation(()),
        Evaluation((), "NameError: name 'nonsense' is not defined"),
    ]


def test_function_that_cannot_be_loaded_has_no_verdicts() -> None:
    [evaluation] = evaluations(["def evaluate(response)\n    return True"], ["a", "b"])
    assert evaluation.problem == "SyntaxError: expected ':' (<program>, line 1)"
    assert evaluation.verdicts == (Verdict(None, evaluation.problem),) * 2
    assert evaluation.violation is None


def test_helpers_and_imports_are_seen_inside_the_function() -> None:
    source = (
        "import re\nWORD = 'x'\ndef helper(s): return re.search(WORD, s)\ndef evaluate(r): return helper(r) is not None"
    )
    assert said(source, "axb", "ab") == [True, False]


def test_classes_of_a_function_find_their_module() -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    n: int\n"
        "def evaluate(r): return A(1) == A(1)"
    )
    assert said(source, "") == [True]


def test_what_stands_below_main_is_not_run() -> None:
    assert said("def evaluate(r): return True\nif __name__ == '__main__': 1 / 0", "") == [True]


def test_functions_have_a_namespace_of_their_own() -> None:
    first = "seen = 1\nimport builtins, sys\nbuiltins.leaked = sys.leaked = 1\ndef evaluate(r): return True"
    second = (
        "import builtins, sys\n"
        "def evaluate(r): return hasattr(sys, 'leaked') or hasattr(builtins, 'leaked') or 'seen' in globals()"
    )
    for functions in ([first, second], [second, first]):
        found = dict(zip(functions, evaluations(functions, [""]), strict=True))
        assert found[second].verdicts == (Verdict(False),)


def test_files_of_one_function_are_not_there_for_the_next() -> None:
    writes = "def evaluate(r):\n    open('/tmp/x', 'w').write('x')\n    return True"
    looks = "import os\ndef evaluate(r): return os.listdir('/tmp') == []"
    assert [found.verdicts[0] for found in evaluations([writes, looks, writes, looks], [""])] == [Verdict(True)] * 4


@pytest.mark.parametrize(
    ("first", "starts"),
    [
        ("len('')", 1),
        ("open('/tmp/x', 'w').close(); os.unlink('/tmp/x')", 2),
        ("os.mkdir('/tmp/x2')", 2),
        ("os.getuid() != os.stat('/tmp').st_uid or os.chmod('/tmp', 0o555)", None),
    ],
)
def test_what_a_function_did_to_the_scratch_folder_is_not_there_for_the_next(
    first: str, starts: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    started = process.start

    async def start(*arguments: object, **options: object) -> process.Running:
        nonlocal count
        count += 1
        return await started(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "start", start)
    changes = f"import os\ndef evaluate(r):\n    {first}\n    return True"
    writes = "def evaluate(r):\n    open('/tmp/x', 'w').close()\n    return True"
    assert evaluations([changes, writes], [""]) == [Evaluation((Verdict(True),))] * 2
    assert starts is None or count == starts


def test_the_same_hashes_and_draws_each_time() -> None:
    source = (
        "import random\nN = random.random()\n"
        "def evaluate(r): raise ValueError(hash('a'), N, random.random(), {'b', 'c', r})"
    )
    first, other = said(source, "x", "x"), said("\n" + source, "y", "x")
    assert first[0] == first[1] == other[1] != other[0]


def test_time_limit_is_of_one_call_and_costs_one_verdict() -> None:
    source = "import time\ndef evaluate(response):\n    time.sleep(60 if response == 'long' else 0.6)\n    return True"
    [found] = evaluations([source], ["", "", "", "long", ""], Limits(seconds=1.5))
    assert found.verdicts == (*[Verdict(True)] * 3, Verdict(None, "time limit"), Verdict(True))
    assert found.violation == "time limit"


def test_every_call_may_be_stopped() -> None:
    source = "import os\ndef evaluate(response): os._exit(len(response))"
    [found, honest] = evaluations([source, "def evaluate(r): return True"], ["a", "bb", "ccc"])
    assert [verdict.reason for verdict in found.verdicts] == [f"exited with status {n}" for n in (1, 2, 3)]
    assert honest == Evaluation((Verdict(True),) * 3)


def test_words_are_kept_to_their_limit() -> None:
    [found] = evaluations(["def evaluate(r): raise ValueError('x' * 999)"], [""], Limits(output=30))
    assert found.verdicts[0].reason == "ValueError: " + "x" * 18


def test_words_of_an_exception_are_its_own_in_one_line() -> None:
    assert said("def evaluate(r): raise ValueError(r)", "why:", ": ", "a\n b", " ", "") == [
        "ValueError: why:",
        "ValueError: :",
        "ValueError: a b",
        "ValueError",
        "ValueError",
    ]


def test_any_text_is_source_and_response() -> None:
    texts = ["", "\0", "\ud800", "\U0001f600", "a\r\nb", "'''\"\"\""]
    assert said(f"TEXTS = {texts!r}\ndef evaluate(r): return r == TEXTS[{len(texts) - 1}]", *texts) == [False] * 5 + [
        True
    ]
    assert [found.problem is None for found in evaluations(texts, [""])] == [False] * len(texts)


def test_program_that_comes_to_its_end_passes() -> None:
    async def outcomes(sandbox: Sandbox) -> list[Outcome]:
        programs = [
            "x = 1",
            "assert 1 == 2, 'not so'",
            "raise SystemExit(0)",
            "import os; os._exit(0)",
            "while True: pass",
            "x =",
        ]
        return [await sandbox.run(program) for program in programs]

    assert within(outcomes, Limits(seconds=1.5)) == [
        Outcome(True, None),
        Outcome(False, "AssertionError: not so"),
        Outcome(False, "SystemExit: 0"),
        Outcome(False, "exited with status 0"),
        Outcome(False, "time limit"),
        Outcome(False, "SyntaxError: invalid syntax (<program>, line 1)"),
    ]


def test_many_tasks_share_the_workers() -> None:
    living = 0
    most = 0

    async def everything(sandbox: Sandbox) -> list[Outcome]:
        return await asyncio.gather(*(sandbox.run(f"assert {n} % 2 == 0") for n in range(12)))

    started, ended = process.start, process.end

    async def start(*arguments: object, **options: object) -> object:
        nonlocal living, most
        living += 1
        most = max(most, living)
        return await started(*arguments, **options)  # type: ignore[arg-type]

    async def end(running: process.Running) -> None:
        nonlocal living
        await ended(running)
        living -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evolvent.sandbox.process.start", start)
        patch.setattr("evolvent.sandbox.process.end", end)
        outcomes = within(everything, workers=3)
    assert [outcome.passed for outcome in outcomes] == [n % 2 == 0 for n in range(12)]
    assert (most, living) == (3, 0)


def test_cancelled_work_leaves_no_process_and_frees_its_place() -> None:
    async def cancelled(sandbox: Sandbox) -> Outcome:
        started = asyncio.Event()
        started_as_ever = process.start
        processes = []

        async def start(*arguments: object, **options: object) -> process.Running:
            processes.append(await started_as_ever(*arguments, **options))  # type: ignore[arg-type]
            started.set()
            return processes[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("evolvent.sandbox.process.start", start)
            task = asyncio.create_task(sandbox.run("while True: pass"))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert processes[0].process.returncode is not None
        return await sandbox.run("x = 1")

    assert within(cancelled) == Outcome(True, None)


@pytest.mark.parametrize("at", ["_readable", "_frames"])  # until its users can be mapped, until it is ready
def test_start_can_be_cancelled(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if at == "_readable" and not maps_nobody():
        pytest.skip("only root's sandboxes have users mapped")

    async def cancelled(sandbox: Sandbox) -> Outcome:
        reached = asyncio.Event()

        async def never(*_: object) -> None:
            reached.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(process, at, never)
            task = asyncio.create_task(sandbox.run("x = 1"))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, LONG_S)
        assert descendants() == before
        return await sandbox.run("x = 1")

    before = descendants()
    with reaper():
        assert within(cancelled) == Outcome(True, None)


def test_time_in_which_the_machine_stands_still_does_not_count() -> None:
    source = "import time\nwhile time.process_time() < 0.15: pass\ndef evaluate(r): return True"
    limits = Limits(seconds=1.4)

    async def paused(sandbox: Sandbox) -> tuple[bool, list[Evaluation]]:
        """Stop all that is inside for longer than the limit: whether it was in time, and the verdicts."""
        before = descendants()
        work = asyncio.create_task(sandbox.evaluate([source], [""]))
        inside: set[int] = set()
        while not work.done() and not (len(inside) == PROCESSES and used(max(inside)) > 0.05):
            await asyncio.sleep(0.005)
            inside = descendants() - before
        send(signal.SIGSTOP, inside)
        in_time = descendants() - before == inside != set()
        await asyncio.sleep(limits.seconds + 0.1 if in_time else 0)
        send(signal.SIGCONT, inside)
        return in_time, await work

    in_time = False
    while not in_time:  # on a busy machine it may have ended before we looked
        in_time, [found] = within(paused, limits)
    assert found == Evaluation((Verdict(True),))


def send(number: signal.Signals, processes: set[int]) -> None:
    for one in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, number)


def used(process: int) -> float:
    """Seconds of processor time."""
    try:
        times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:  # gone
        return 0.0
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def test_sandbox_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "walled_command", lambda *_: ["/bin/sh", "-c", "echo no room >&2"])
    with pytest.raises(RunError, match="a sandbox process did not start: no room"):
        evaluations(["def evaluate(r): return True"], ["a"])


def test_sandbox_that_is_not_there_any_more_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "walled_command", lambda *_: ["/nonexistent/bwrap"])
    with pytest.raises(RunError, match=r"a sandbox process did not start: .*No such file or directory"):
        evaluations(["def evaluate(r): return True"], ["a"])


def test_start_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_SECONDS", 0.1)
    monkeypatch.setattr(process, "END_SECONDS", 0.1)
    monkeypatch.setattr(process, "walled_command", lambda *_: ["/bin/sleep", "60"])
    with pytest.raises(RunError, match="a sandbox process did not start: it was not ready after"):
        evaluations(["def evaluate(r): return True"], ["a"])


def test_no_descriptor_is_left_open() -> None:
    async def some(sandbox: Sandbox) -> tuple[int, int]:
        counts = []
        for _ in range(3):
            await sandbox.run("x = 1")
            await asyncio.sleep(0)
            counts.append(len(list(Path("/proc/self/fd").iterdir())))
        return counts[0], counts[-1]

    first, last = within(some)
    assert first == last


def test_a_function_that_stalls_is_given_up() -> None:
    stalls = "def evaluate(response):\n    while response != 'end':\n        pass\n    return True"
    honest = "def evaluate(response):\n    return response == 'end'"
    responses = ["end", "a", "b", "end", "c", "end", "d"]
    first, second = evaluations([stalls, honest], responses, Limits(seconds=0.3))
    assert [verdict.value for verdict in first.verdicts] == [True, None, None, True, None, None, None]
    assert [verdict.reason for verdict in first.verdicts if verdict.value is None] == [TIME_LIMIT] * 3 + [GIVEN_UP] * 2
    assert [verdict.value for verdict in second.verdicts] == [text == "end" for text in responses]


def test_many_at_once_under_the_loop_of_the_commands() -> None:
    honest = "def evaluate(response):\n    return len(response) < 3"

    async def at_once() -> list[list[Evaluation]]:
        async with Sandbox(LIMITS, workers=6) as sandbox:
            return await together(sandbox.evaluate([honest], ["a", "long"]) for _ in range(12))

    assert run_sync(at_once()) == [[Evaluation((Verdict(True), Verdict(False)))]] * 12


def test_what_bubblewrap_says_may_come_in_pieces() -> None:
    info, info_end = os.pipe()
    os.set_blocking(info, False)  # as uvloop leaves it
    os.write(info_end, b'{"child-pid": ')
    rest = Timer(0.05, os.write, (info_end, b"0}"))
    rest.start()
    with pytest.raises(FileNotFoundError, match="/proc/0/uid_map"):  # it was read to its end
        map_users(info, info_end)
    rest.join()
    os.close(info)
    os.close(info_end)
