"""What runs at once: coroutines from plain code, many with a bound and in order, a few together."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from threading import Thread
from typing import TypeVar

import uvloop

from evolvent.errors import BudgetReachedError
from evolvent.interrupts import cancelling

Item = TypeVar("Item")
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
            with cancelling():
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


# A slow record holds back the results behind it; this many times the concurrency may be under way or wait their turn.
WINDOW = 8


async def in_order(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    concurrency: int,
    weight: Callable[[Item, Result | None], int] = lambda *_: 0,
    heaviest: int = 0,
) -> AsyncGenerator[Result, None]:
    """Work on items at once and yield the results in the order of the items.

    Memory is bounded by the concurrency, not by the number of items.

    Args:
        items: what to work on; read as needed, never more than ``WINDOW * concurrency`` ahead of the results.
        work: the work for one item.
        concurrency: how many items at once, at least 1.
        weight: of an item, alone and with its result. No further item is begun while those that are begun and not yet
            given out weigh more than ``heaviest``.

    Yields:
        One result an item.

    Raises:
        Whatever ``items`` or ``work`` raises first. The other work is cancelled; when a budget is reached it is let
        go on to its end instead: its calls under way are paid.
    """
    source = enumerate(items)
    room = asyncio.Semaphore(WINDOW * concurrency)  # for items that are begun and not yet given out
    finished: dict[int, Result] = {}
    broken: list[BaseException] = []
    news = asyncio.Event()  # the next result is there, a worker broke, or all are at their end
    given = 0
    weights: dict[int, int] = {}  # of items that are begun and not yet given out
    heavy = 0
    lighter = asyncio.Event()

    def weigh(index: int, now: int) -> None:
        nonlocal heavy
        heavy += now - weights.get(index, 0)
        weights[index] = now

    async def worker() -> None:
        while True:
            await room.acquire()
            while heavy > heaviest and not broken:
                lighter.clear()
                await lighter.wait()
            if broken:
                return
            try:
                index, item = next(source)
                weigh(index, weight(item, None))
                finished[index] = result = await work(item)
                weigh(index, weight(item, result))
                del item, result  # one that waits for the next holds nothing
            except StopIteration:
                return
            except BaseException as error:  # a cancellation that comes from within the work, too: its result is lacking
                broken.append(error)
                news.set()
                lighter.set()
                for _ in range(concurrency):
                    room.release()  # for those that wait here, to see it
                return
            if index == given:
                news.set()

    workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
    end = asyncio.gather(*workers, return_exceptions=True)
    end.add_done_callback(lambda _: news.set())
    try:
        while not end.done() or given in finished:
            while not broken and given in finished:
                given += 1
                room.release()
                yield finished.pop(given - 1)
                heavy -= weights.pop(given - 1)
                lighter.set()
            if broken:
                if isinstance(broken[0], BudgetReachedError):
                    await end
                raise broken[0]
            if not end.done():
                await news.wait()
                news.clear()
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def in_thread(function: Callable[[], Result]) -> Result:
    """Call a function in a thread; a cancellation waits until it has ended, as what it works on is its alone."""
    working = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(working)
    finally:
        while not working.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        working.exception()  # seen, also where the cancellation is what is raised


async def together(work: Iterable[Coroutine[None, None, Result]]) -> list[Result]:
    """The results of coroutines that run at once; where one raises, the others are cancelled before it does."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BudgetReachedError:
        await asyncio.gather(*tasks, return_exceptions=True)  # their calls under way are paid
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
