"""An event loop for plain code: it outlives a stage, so that what was opened in one can be used in the next."""

import asyncio
import contextlib
from collections.abc import Coroutine
from threading import Thread
from typing import TypeVar

import uvloop

Result = TypeVar("Result")


class EventLoop:
    """Runs coroutines, one at a time, in one event loop; in a running loop (a notebook's) in a thread of its own."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, main: Coroutine[None, None, Result]) -> Result:
        """Run a coroutine to its end. What interrupts the caller cancels it, and waits until it has ended."""
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        runner = self._runner
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return runner.run(main)
        outcome: list[Result] = []
        problem: list[BaseException] = []
        loop = runner.get_loop()
        task = loop.create_task(main)

        def run() -> None:
            try:
                outcome.append(runner.run(_result(task)))
            except BaseException as error:
                problem.append(error)

        thread = Thread(target=run, name="evolvent")
        thread.start()
        interrupted: BaseException | None = None
        while thread.is_alive():
            try:
                thread.join()
            except BaseException as error:
                interrupted = error  # the notebook's cell was interrupted: the work ends too, before its folder is free
                with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                    loop.call_soon_threadsafe(task.cancel)
        if interrupted is not None:
            raise interrupted
        if problem:
            raise problem[0]
        return outcome[0]

    def close(self) -> None:
        """End the loop and its threads."""
        if self._runner is not None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                self._runner.close()
            else:
                thread = Thread(target=self._runner.close, name="evolvent-end")
                thread.start()
                thread.join()
            self._runner = None


async def _result(task: "asyncio.Task[Result]") -> Result:
    return await task


def run_sync(main: Coroutine[None, None, Result]) -> Result:
    """Run one coroutine to its end from plain code, in an event loop of its own."""
    loop = EventLoop()
    try:
        return loop.run(main)
    finally:
        loop.close()
