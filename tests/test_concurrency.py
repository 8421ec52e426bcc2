"""A coroutine run from plain code, in a thread of its own where a loop runs already; how it is interrupted."""

import asyncio
import contextlib
import threading

import pytest

from evolvent.concurrency import run_sync
from tests.processes import LONG_S


def test_run_sync_inside_a_running_loop() -> None:
    """As in a notebook: plain code, called while a loop runs in this thread."""

    async def where() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    async def notebook() -> str:
        return run_sync(where())

    assert run_sync(where()) == threading.current_thread().name
    assert asyncio.run(notebook()) == "evolvent"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_run_sync_passes_on_errors(error: BaseException) -> None:
    async def fail() -> None:
        raise error

    async def notebook() -> None:
        run_sync(fail())

    for main in (lambda: run_sync(fail()), lambda: asyncio.run(notebook())):
        with pytest.raises(type(error)):
            main()


class Cell:
    """A notebook's cell that is interrupted while it waits for its work, so many times."""

    def __init__(self, patch: pytest.MonkeyPatch, times: int) -> None:
        self.begun, self.ending, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.waits: list[bool] = []  # of each wait for the thread: whether the work had ended before
        join = threading.Thread.join

        def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
            if thread.name != "evolvent":
                return join(thread, timeout)
            self.waits.append(self.ended.is_set())
            if len(self.waits) > times:
                return join(thread, timeout)
            assert (self.begun if len(self.waits) == 1 else self.ending).wait(LONG_S)
            raise KeyboardInterrupt

        patch.setattr(threading.Thread, "join", interrupted)

    async def work(self) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            self.ending.set()
            for _ in range(100):  # as what ends in good order takes its time
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.001)
            self.ended.set()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_interrupted_notebook_cell_ends_its_work_first(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """However often it is interrupted: its folder must be free before the next cell begins."""
    cell = Cell(monkeypatch, times)

    async def notebook() -> None:
        with pytest.raises(KeyboardInterrupt):
            run_sync(cell.work())
        assert cell.ended.is_set()
        assert "evolvent" not in [thread.name for thread in threading.enumerate()]

    asyncio.run(notebook())
    assert cell.waits[0] is False
    assert len(cell.waits) == times + 1
