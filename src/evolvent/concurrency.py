"""What runs at once: coroutines from plain code, many with a bound and in order, a few together."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from threading import Thread
from typing import Generic, TypeVar

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
    source, begun = enumerate(items), _Begun[Result](concurrency, heaviest)

    async def worker() -> None:
        while await begun.may_begin():
            try:
                index, item = next(source)
                begun.weigh(index, weight(item, None))
                result = await work(item)
                begun.finish(index, result, weight(item, result))
                del item, result  # one that waits for the next holds nothing
            except StopIteration:
                return
            except BaseException as error:  # a cancellation that comes from within the work, too: its result is lacking
                begun.breaks(error)
                return

    workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
    end = asyncio.gather(*workers, return_exceptions=True)
    end.add_done_callback(lambda _: begun.news.set())
    try:
        while not end.done() or begun.has_next:
            while begun.has_next and not begun.broken:
                yield begun.take()
                begun.lighten()
            if begun.broken:
                if isinstance(begun.broken[0], BudgetReachedError):
                    await end
                raise begun.broken[0]
            if not end.done():
                await begun.news.wait()
                begun.news.clear()
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class _Begun(Generic[Result]):
    """Items that are begun and not yet given out: their results, and whether another may be begun beside them.

    Attributes:
        news: set when the next result is there, work broke, or all of it is at its end.
        broken: what work broke with, the first one first.
    """

    def __init__(self, concurrency: int, heaviest: int) -> None:
        self.news = asyncio.Event()
        self.broken: list[BaseException] = []
        self._concurrency, self._heaviest = concurrency, heaviest
        self._room = asyncio.Semaphore(WINDOW * concurrency)
        self._lighter = asyncio.Event()
        self._weights: dict[int, int] = {}
        self._heavy = 0
        self._finished: dict[int, Result] = {}
        self._next = 0

    @property
    def has_next(self) -> bool:
        """Whether the next result is there."""
        return self._next in self._finished

    async def may_begin(self) -> bool:
        """Wait until there is room for another item; False if none is to be begun any more."""
        await self._room.acquire()
        while self._heavy > self._heaviest and not self.broken:
            self._lighter.clear()
            await self._lighter.wait()
        return not self.broken

    def weigh(self, index: int, weight: int) -> None:
        """Note what an item weighs now."""
        self._heavy += weight - self._weights.get(index, 0)
        self._weights[index] = weight

    def finish(self, index: int, result: Result, weight: int) -> None:
        """Note the result of an item, and what it weighs with it."""
        self._finished[index] = result
        self.weigh(index, weight)
        if index == self._next:
            self.news.set()

    def breaks(self, error: BaseException) -> None:
        """Note that work broke: whoever waits to begin an item sees it."""
        self.broken.append(error)
        self.news.set()
        self._lighter.set()
        for _ in range(self._concurrency):
            self._room.release()

    def take(self) -> Result:
        """The next result."""
        self._next += 1
        self._room.release()
        return self._finished.pop(self._next - 1)

    def lighten(self) -> None:
        """Note that the result that was taken last is done with."""
        self._heavy -= self._weights.pop(self._next - 1)
        self._lighter.set()


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
