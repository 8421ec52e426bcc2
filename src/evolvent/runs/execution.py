"""Run per-record work with a bounded number in flight, and give the results out in input order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from threading import Thread
from typing import TypeVar

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
        Whatever ``work`` raises first; the other work is cancelled.
    """
    source = iter(items)
    free = asyncio.Semaphore(concurrency)
    window: deque[asyncio.Task[Result]] = deque()

    broken: list[Exception] = []

    async def one(item: Item) -> Result:
        async with free:
            if broken:
                raise broken[0]
            try:
                return await work(item)
            except Exception as error:
                broken.append(error)
                window[0].cancel()  # what is waited for: nothing more is begun, the error shows at once
                raise

    try:
        while True:
            while len(window) < WINDOW * concurrency:
                try:
                    item = next(source)
                except StopIteration:
                    break
                window.append(asyncio.create_task(one(item)))
            if not window:
                return
            try:
                result = await window[0]
            except asyncio.CancelledError:
                if broken:
                    raise broken[0] from None
                raise
            window.popleft()
            yield result
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


def run_sync(main: Coroutine[None, None, Result]) -> Result:
    """Run a coroutine to its end from plain code; inside a running loop (a notebook's) in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    outcome: list[Result] = []
    problem: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(main))
        except BaseException as error:
            problem.append(error)

    thread = Thread(target=run, name="evolvent")
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return outcome[0]
