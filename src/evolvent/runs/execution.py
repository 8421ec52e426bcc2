"""Run per-record work with a bounded number in flight, and give the results out in input order."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from typing import TypeVar

from evolvent.errors import BudgetReachedError

Item = TypeVar("Item")
Result = TypeVar("Result")

# A slow record holds back the results behind it; this many times the concurrency may be under way or wait their turn.
WINDOW = 8


async def in_order(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], concurrency: int
) -> AsyncGenerator[Result, None]:
    """Work on items at once and yield the results in the order of the items.

    Memory is bounded by the concurrency, not by the number of items.

    Args:
        items: what to work on; read as needed, never more than ``WINDOW * concurrency`` ahead of the results.
        work: the work for one item.
        concurrency: how many items at once, at least 1.

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

    async def worker() -> None:
        while True:
            await room.acquire()
            if broken:
                return
            try:
                index, item = next(source)
                finished[index] = await work(item)
            except StopIteration:
                return
            except BaseException as error:  # a cancellation that comes from within the work, too: its result is lacking
                broken.append(error)
                news.set()
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
                result = finished.pop(given)
                given += 1
                room.release()
                yield result
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
