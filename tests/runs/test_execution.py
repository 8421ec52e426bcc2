"""Bounded work in order: what comes out, what is under way at once, and how it ends."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.concurrency import WINDOW, in_order, in_thread, together
from evolvent.errors import BudgetReachedError
from tests.models.virtual_time import run_virtually
from tests.processes import LONG_S

Result = TypeVar("Result")

HEAVIEST = 100
waits = st.lists(st.floats(0, 10, width=16), max_size=60)


async def everything(items: Iterable[Any], work: Callable[[Any], Awaitable[Result]], concurrency: int) -> list[Result]:
    return [result async for result in in_order(items, work, concurrency)]


def others() -> set[Any]:
    """Tasks besides the one that asks."""
    return asyncio.all_tasks() - {asyncio.current_task()}


@given(waits, st.integers(1, 7))
def test_results_come_in_order_and_no_more_than_the_bound_are_under_way(durations: list[float], bound: int) -> None:
    running = peak = begun = given_out = ahead = 0

    async def work(item: tuple[int, float]) -> int:
        nonlocal running, peak, begun, ahead
        running, begun = running + 1, begun + 1
        peak, ahead = max(peak, running), max(ahead, begun - given_out)
        await asyncio.sleep(item[1])
        running -= 1
        return item[0]

    async def main() -> list[int]:
        nonlocal given_out
        results = []
        async for result in in_order(enumerate(durations), work, bound):
            results.append(result)
            given_out += 1
        assert not others()
        return results

    assert run_virtually(main()) == list(range(len(durations)))
    assert peak <= bound
    assert ahead <= WINDOW * bound


@given(st.lists(st.floats(0.5, 10, width=16), min_size=1, max_size=40), st.integers(1, 5))
def test_no_place_stands_empty_while_the_window_has_room(durations: list[float], bound: int) -> None:
    """A new item begins at the very time at which one ends: as many workers, filled in turn, take as long."""
    assert len(durations) <= WINDOW * 5

    async def main() -> float:
        begun = asyncio.get_running_loop().time()
        await everything(durations, asyncio.sleep, bound)
        return asyncio.get_running_loop().time() - begun

    if len(durations) > WINDOW * bound:
        durations = durations[: WINDOW * bound]
    free = [0.0] * bound
    for duration in durations:
        free.sort()
        free[0] += duration
    assert run_virtually(main()) == pytest.approx(max(free))


def test_a_slow_item_holds_back_no_more_than_a_window() -> None:
    begun: list[int] = []
    release = asyncio.Event()

    async def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            await release.wait()
        return item

    async def main() -> list[int]:
        results = in_order(range(1000), work, 2)
        first = asyncio.ensure_future(anext(results))
        await asyncio.sleep(1)
        assert begun == list(range(2 * WINDOW))
        release.set()
        return [await first, *[result async for result in results]]

    assert run_virtually(main()) == list(range(1000))


def test_the_source_is_read_only_as_far_as_the_window() -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        for item in range(1000):
            read += 1
            yield item

    async def main() -> None:
        async with aclosing(in_order(source(), asyncio.sleep, 3)) as results:
            await anext(results)
            assert read <= WINDOW * 3 + 1

    asyncio.run(main())


@pytest.mark.parametrize("concurrency", [1, 4])
def test_of_nothing_comes_nothing(concurrency: int) -> None:
    assert asyncio.run(everything([], asyncio.sleep, concurrency)) == []


def test_one_at_a_time() -> None:
    log: list[str] = []

    async def work(item: int) -> int:
        log.append(f"begin {item}")
        await asyncio.sleep(0)
        log.append(f"end {item}")
        return item

    assert asyncio.run(everything(range(20), work, 1)) == list(range(20))
    assert log == [f"{what} {item}" for item in range(20) for what in ("begin", "end")]


@pytest.mark.parametrize("first_lasts", [0, 60, 3600])
def test_an_error_shows_at_once_and_nothing_begins_after_it(first_lasts: float) -> None:
    """Be the first item still under way, done and given out, or one that ends at the very same time."""
    begun: list[int] = []
    cancelled: list[int] = []

    async def work(item: int) -> int:
        begun.append(item)
        try:
            await asyncio.sleep({0: first_lasts, 2: 60}.get(item, 3600))
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        if item == 2:
            raise ValueError("no")
        return item

    async def main() -> float:
        with pytest.raises(ValueError, match="no"):
            await everything(range(100), work, 4)
        assert not others()
        return asyncio.get_running_loop().time()

    assert run_virtually(main()) == 60
    ended = {0} if first_lasts <= 60 else set()
    assert begun == list(range(4 + len(ended)))
    assert {*cancelled} == {*begun} - ended - {2}


@given(st.lists(st.tuples(st.floats(0, 9, width=16), st.booleans()), max_size=40), st.integers(1, 6))
def test_what_begins_is_ended_or_cancelled_and_the_first_error_is_the_one(
    plan: list[tuple[float, bool]], bound: int
) -> None:
    at_error: list[int] = []
    begun: list[int] = []
    under_way: set[int] = set()

    async def work(item: tuple[int, tuple[float, bool]]) -> int:
        index, (lasts, fails) = item
        begun.append(index)
        under_way.add(index)
        try:
            await asyncio.sleep(lasts)
            if fails:
                at_error.append(len(begun))
                raise ValueError(index)
        finally:
            under_way.discard(index)
        return index

    given_out: list[int] = []

    async def main() -> None:
        try:
            async for result in in_order(enumerate(plan), work, bound):
                given_out.append(result)
        except ValueError as error:
            assert plan[error.args[0]][1]
            assert len(begun) == at_error[0]
        else:
            assert len(given_out) == len(plan)
            assert not at_error
        assert not under_way
        assert not others()

    run_virtually(main())
    assert given_out == list(range(len(given_out)))


def test_a_source_that_raises() -> None:
    def source() -> Iterator[int]:
        yield 0
        raise OSError("the disk is gone")

    async def main() -> None:
        with pytest.raises(OSError, match="the disk is gone"):
            await everything(source(), lambda _: asyncio.sleep(3600), 3)
        assert asyncio.get_running_loop().time() == 0
        assert not others()

    run_virtually(main())


@pytest.mark.parametrize("concurrency", [1, 3, 10])
def test_a_budget_lets_what_is_under_way_end_and_begins_nothing(concurrency: int) -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def work(item: int) -> int:
        begun.append(item)
        await asyncio.sleep(5 if item == 2 else 10 + item)
        if item == 2:
            raise BudgetReachedError("spent")
        ended.append(item)
        return item

    async def main() -> None:
        with pytest.raises(BudgetReachedError, match="spent"):
            await everything(range(100), work, concurrency)
        assert not others()

    run_virtually(main())
    assert begun == list(range(max(3, concurrency)))
    assert ended == [item for item in begun if item != 2]


def test_a_budget_that_is_reached_while_the_window_is_full() -> None:
    """Those that wait for room end too."""
    begun: list[int] = []

    async def work(item: int) -> int:
        begun.append(item)
        await asyncio.sleep(1 if item else 1000)
        if item == 0:
            raise BudgetReachedError("spent")
        return item

    async def main() -> None:
        with pytest.raises(BudgetReachedError, match="spent"):
            await everything(range(100), work, 3)
        assert not others()

    run_virtually(main())
    assert begun == list(range(3 * WINDOW))


def test_when_the_consumer_stops_early_nothing_is_left() -> None:
    cancelled: list[int] = []

    async def work(item: int) -> int:
        try:
            await asyncio.sleep(item * 10)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    async def main() -> None:
        async with aclosing(in_order(range(100), work, 3)) as results:
            async for _ in results:
                break
        assert not others()

    run_virtually(main())
    assert sorted(cancelled) == [1, 2, 3]


def test_cancelled_from_outside_it_leaves_no_task() -> None:
    async def main() -> None:
        whole = asyncio.ensure_future(everything(range(9), lambda _: asyncio.sleep(3600), 3))
        await asyncio.sleep(1)
        assert len(others()) > 3
        whole.cancel()
        with pytest.raises(asyncio.CancelledError):
            await whole
        assert not others()

    run_virtually(main())


def test_work_that_is_cancelled_from_within_does_not_pass_for_the_end() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(item)
        if item == 3:
            raise asyncio.CancelledError
        return item

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await everything(range(1000), work, 3)
        assert not others()

    run_virtually(main())


def test_a_slow_consumer_gets_all() -> None:
    async def main() -> list[int]:
        results = []
        async for result in in_order(range(50), _same, 4):
            await asyncio.sleep(1)
            results.append(result)
        return results

    assert run_virtually(main()) == list(range(50))


async def _same(item: int) -> int:
    return item


async def lasting(seconds: float, log: list[float]) -> float:
    await asyncio.sleep(seconds)
    log.append(seconds)
    return seconds


async def failing(seconds: float, error: Exception) -> float:
    await asyncio.sleep(seconds)
    raise error


def test_together_gives_results_in_order_at_once() -> None:
    async def main() -> tuple[list[float], float]:
        return await together(lasting(seconds, []) for seconds in (3, 1, 2)), asyncio.get_running_loop().time()

    assert run_virtually(main()) == ([3, 1, 2], 3)
    assert asyncio.run(together([])) == []


def test_together_cancels_the_others_before_it_raises() -> None:
    log: list[float] = []

    async def main() -> float:
        with pytest.raises(ValueError, match="no"):
            await together([lasting(9, log), failing(1, ValueError("no")), lasting(0.5, log)])
        assert not others()
        return asyncio.get_running_loop().time()

    assert run_virtually(main()) == 1
    assert log == [0.5]


def test_together_waits_for_the_others_when_a_budget_is_reached() -> None:
    log: list[float] = []

    async def main() -> None:
        with pytest.raises(BudgetReachedError):
            await together([lasting(9, log), failing(1, BudgetReachedError("spent"))])
        assert not others()

    run_virtually(main())
    assert log == [9]


def test_together_cancelled_from_outside_leaves_no_task() -> None:
    async def main() -> None:
        whole = asyncio.ensure_future(together([lasting(9, []), lasting(8, [])]))
        await asyncio.sleep(1)
        whole.cancel()
        with pytest.raises(asyncio.CancelledError):
            await whole
        assert not others()

    run_virtually(main())


@given(waits, st.integers(1, 5), st.lists(st.integers(0, HEAVIEST), min_size=60, max_size=60))
def test_what_is_held_is_bounded_and_never_stops_the_work(durations: list[float], bound: int, sizes: list[int]) -> None:
    under_way: dict[int, int] = {}

    async def work(item: tuple[int, float]) -> int:
        assert sum(under_way.values()) <= HEAVIEST
        under_way[item[0]] = sizes[item[0]] // 2
        await asyncio.sleep(item[1])
        under_way[item[0]] = sizes[item[0]]
        return item[0]

    def weight(item: tuple[int, float], result: int | None) -> int:
        return sizes[item[0]] // (2 if result is None else 1)

    async def main() -> list[int]:
        results = []
        async for result in in_order(enumerate(durations), work, bound, weight, heaviest=HEAVIEST):
            results.append(result)
            del under_way[result]
        return results

    assert run_virtually(main()) == list(range(len(durations)))


@pytest.mark.parametrize("cancellations", [0, 1, 3])
def test_what_works_in_a_thread_has_ended_before_a_cancellation_goes_on(cancellations: int) -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), []

    def work() -> str:
        begun.set()
        assert goes_on.wait(LONG_S)
        ended.append(True)
        return "done"

    async def main() -> None:
        task = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait)
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        goes_on.set()
        if cancellations:
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            assert await task == "done"
        assert ended

    asyncio.run(main())


class Thing:
    def __init__(self, number: int, alive: list[weakref.ref["Thing"]]) -> None:
        self.number = number
        alive.append(weakref.ref(self))


def test_what_was_given_out_is_held_by_nobody_who_waits() -> None:
    """Neither the item nor its result: there may be a thousand workers, and a record may be long."""
    alive: list[weakref.ref[Thing]] = []
    goes_on = asyncio.Event()

    async def work(thing: Thing) -> Thing:
        if thing.number == 2:
            await goes_on.wait()
        return Thing(thing.number, alive)

    async def main() -> None:
        results = in_order((Thing(number, alive) for number in range(3)), work, 4)
        for _ in range(2):
            await anext(results)
        gc.collect()
        assert [thing().number for thing in alive if thing() is not None] == [2]
        goes_on.set()
        assert (await anext(results)).number == 2

    run_virtually(main())
