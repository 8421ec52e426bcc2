"""Without the wall: the same verdicts and limits, and no protection."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from evolvent.sandbox import requirements
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox
from evolvent.sandbox.verdicts import Evaluation, Outcome, Verdict
from tests.processes import wait_until

SHORT, LONG = Limits(seconds=1.5), Limits(seconds=20, memory=256 << 20)


def evaluations(functions: list[str], responses: list[str], limits: Limits) -> list[Evaluation]:
    async def inside() -> list[Evaluation]:
        async with Sandbox(limits, unsafe=True, workers=1) as sandbox:
            return await sandbox.evaluate(functions, responses)

    return asyncio.run(inside())


def reasons(body: str, limits: Limits) -> str | None:
    honest = "def evaluate(response): return True"
    found, following = evaluations([f"def evaluate(response):\n    {body}", honest], ["a"], limits)
    assert following == Evaluation((Verdict(True),))
    return found.verdicts[0].reason


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_bubblewrap_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "missing", lambda: ("there is none", ""))
    [found] = evaluations(["def evaluate(response): return response == 'a'"], ["a", "b"], LONG)
    assert found == Evaluation((Verdict(True), Verdict(False)))


def test_limits_hold() -> None:
    assert reasons("while True: pass", SHORT) == "time limit"
    assert reasons("return bytearray(10**9)", LONG) == "memory limit"
    assert reasons("import os; os._exit(7)", LONG) == "exited with status 7"
    assert reasons("import os; os.kill(os.getpid(), 9)", LONG) == "killed by SIGKILL"


def test_environment_is_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    assert reasons("import os; raise ValueError('SOME_API_KEY' in os.environ)", LONG) == "ValueError: False"


def test_program_runs() -> None:
    async def inside() -> Outcome:
        async with Sandbox(LONG, unsafe=True) as sandbox:
            return await sandbox.run("assert 1 + 1 == 2")

    assert asyncio.run(inside()) == Outcome(True, None)


@pytest.mark.skipif(sys.platform != "linux", reason="uses a signal that only Linux has")
def test_cancelled_work_leaves_no_process(tmp_path: Path) -> None:
    note = tmp_path / "process"
    os.mkfifo(note)
    source = f"""import os, time
child = os.fork()
if child:
    with open({str(note)!r}, "w") as file:
        file.write(f"{{os.getpid()}} {{child}}")
time.sleep(60)"""

    async def inside() -> list[int]:
        async with Sandbox(LONG, unsafe=True) as sandbox:
            task = asyncio.create_task(sandbox.run(source))
            processes = [int(number) for number in (await asyncio.to_thread(note.read_text)).split()]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return processes

    processes = asyncio.run(inside())
    wait_until(lambda: not any(map(lives, processes)))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_child_processes_end_with_their_function(tmp_path: Path) -> None:
    note = tmp_path / "process"
    body = f"""import os, time
    child = os.fork()
    if child == 0:
        time.sleep(60)
    with open({str(note)!r}, "w") as file:
        file.write(str(child))
    return True"""
    assert reasons(body, LONG) is None
    wait_until(lambda: not lives(int(note.read_text())))
