import asyncio
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.runs.execution import WINDOW, in_order, run_sync


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 7))
def test_results_come_in_order_and_work_is_bounded(waits: list[int], concurrency: int) -> None:
    running = peak = taken = given_out = ahead = 0

    def source():  # type: ignore[no-untyped-def]
        nonlocal taken, ahead
        for index, wait in enumerate(waits):
            taken += 1
            ahead = max(ahead, taken - given_out)
            yield index, wait

    async def work(item: tuple[int, int]) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _ in range(item[1]):
            await asyncio.sleep(0)
        running -= 1
        return item[0]

    async def main() -> list[int]:
        nonlocal given_out
        results = []
        async for result in in_order(source(), work, concurrency):
            given_out += 1
            results.append(result)
        return results

    assert asyncio.run(main()) == list(range(len(waits)))
    assert peak <= concurrency
    assert ahead <= WINDOW * concurrency + 1


def test_a_slow_item_does_not_hold_up_the_others() -> None:
    finished: list[int] = []

    async def work(item: int) -> int:
        await asyncio.sleep(0.1 if item == 0 else 0)
        finished.append(item)
        return item

    async def main() -> list[int]:
        return [result async for result in in_order(range(6), work, 2)]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4, 5]
    assert finished[-1] == 0


def test_an_error_ends_it_and_cancels_the_rest() -> None:
    cancelled: list[int] = []

    async def work(item: int) -> int:
        if item == 1:
            await asyncio.sleep(0.01)
            raise ValueError("no")
        try:
            await asyncio.sleep(0 if item == 0 else 60)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    async def main() -> None:
        async for _ in in_order(range(5), work, 5):
            pass

    with pytest.raises(ValueError, match="no"):
        asyncio.run(main())
    assert sorted(cancelled) == [2, 3, 4]


def test_an_error_behind_a_slow_item_ends_it_at_once_and_nothing_more_begins() -> None:
    begun: list[int] = []

    async def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("no")
        await asyncio.sleep(60)
        return item

    async def main() -> None:
        async for _ in in_order(range(9), work, 2):
            pass

    with pytest.raises(ValueError, match="no"):
        asyncio.run(asyncio.wait_for(main(), 5))
    assert begun == [0, 1]


def test_run_sync_inside_a_running_loop() -> None:
    """As in a notebook: plain code, called while a loop runs in this thread."""

    async def answer() -> tuple[int, str]:
        await asyncio.sleep(0)
        return random.Random(0).randrange(10), threading.current_thread().name

    async def notebook() -> tuple[int, str]:
        return run_sync(answer())

    outside, inside = run_sync(answer()), asyncio.run(notebook())
    assert outside[0] == inside[0]
    assert outside[1] != inside[1]


def test_run_sync_passes_on_errors() -> None:
    async def fail() -> None:
        raise ValueError("no")

    async def notebook() -> None:
        run_sync(fail())

    with pytest.raises(ValueError, match="no"):
        asyncio.run(notebook())
