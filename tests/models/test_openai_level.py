"""The level of concurrency that is found against servers of many kinds, in simulated time."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.models.openai.level import HIGHEST, START, AdaptiveLevel
from evolvent.models.openai.pace import Gate, Outcome, Pace
from tests.models.virtual_time import run_virtually

Serve = Callable[[random.Random], Awaitable[None]]
CALLS = 1024


class Refused(Exception):
    pass


def free(draw: Callable[[random.Random], float]) -> Serve:
    """A server that works on any number at once."""

    async def serve(rng: random.Random) -> None:
        await asyncio.sleep(draw(rng))

    return serve


def slots(count: int, draw: Callable[[random.Random], float]) -> Serve:
    """A server that works on so many at once and lets the others queue."""
    places = asyncio.Semaphore(count)

    async def serve(rng: random.Random) -> None:
        async with places:
            await asyncio.sleep(draw(rng))

    return serve


def capped(most: int, draw: Callable[[random.Random], float]) -> Serve:
    """A server that refuses more than so many at once, within 5 ms."""
    busy = 0

    async def serve(rng: random.Random) -> None:
        nonlocal busy
        if busy >= most:
            await asyncio.sleep(0.005)
            raise Refused
        busy += 1
        try:
            await asyncio.sleep(draw(rng))
        finally:
            busy -= 1

    return serve


def slowing(first_s: float, each_s: float) -> Serve:
    """A server whose latency grows with every request that it works on."""
    busy = 0

    async def serve(rng: random.Random) -> None:
        nonlocal busy
        busy += 1
        await asyncio.sleep(first_s + each_s * busy)
        busy -= 1

    return serve


def faulty(share: float, seconds: float) -> Serve:
    """A server that refuses a share of the requests, however many there are."""

    async def serve(rng: random.Random) -> None:
        await asyncio.sleep(seconds)
        if rng.random() < share:
            raise Refused

    return serve


def constant(rng: random.Random) -> float:
    return 1.0


def spread(rng: random.Random) -> float:
    return rng.expovariate(1.0)


def bimodal(rng: random.Random) -> float:
    return 10.0 if rng.random() < 0.1 else 1.0


@dataclass
class Seen:
    """What a simulation showed: answers and refusals in its second half, and the level at each hundredth."""

    answered: int = 0
    refused: int = 0
    levels: list[int] = field(default_factory=list)


def simulate(make: Callable[[], Serve], seconds: float, concurrency: int | None = None) -> Seen:
    """Keep a server busy: a call that is refused waits as a real one does, at no place's cost."""

    async def main() -> Seen:
        pace, serve, rng, seen, half = Pace(concurrency), make(), random.Random(7), Seen(), Seen()
        gate = Gate([pace])

        async def call() -> None:
            bound = 1.0
            while True:
                ticket = await gate.enter(0)
                try:
                    await serve(rng)
                except Refused:
                    gate.leave(ticket, Outcome.REFUSED)
                    seen.refused += 1
                    await asyncio.sleep(rng.uniform(0, bound))
                    bound = min(30.0, 2 * bound)
                else:
                    gate.leave(ticket, Outcome.ANSWERED)
                    seen.answered += 1
                    bound = 1.0

        calls = [asyncio.create_task(call()) for _ in range(CALLS)]
        for step in range(100):
            await asyncio.sleep(seconds / 100)
            seen.levels.append(pace.limit)
            if step == 49:
                half = Seen(seen.answered, seen.refused)
        for task in calls:
            task.cancel()
        return Seen(seen.answered - half.answered, seen.refused - half.refused, seen.levels)

    return run_virtually(main())


SERVERS: dict[str, tuple[Callable[[], Serve], float, int]] = {  # with the seconds to run and the best fixed level
    "free, constant": (lambda: free(constant), 60, HIGHEST),
    "free, spread": (lambda: free(spread), 80, HIGHEST),
    "free, bimodal": (lambda: free(bimodal), 200, HIGHEST),
    "one slot": (lambda: slots(1, constant), 600, 2),
    "4 slots": (lambda: slots(4, spread), 600, 8),
    "70 slots": (lambda: slots(70, spread), 200, 100),
    "200 slots, bimodal": (lambda: slots(200, bimodal), 400, 256),
    "at most 7": (lambda: capped(7, constant), 400, 7),
    "at most 50": (lambda: capped(50, spread), 200, 50),
    "slowing": (lambda: slowing(1.0, 0.01), 200, HIGHEST),
    "refuses a tenth": (lambda: faulty(0.1, 0.1), 12, HIGHEST),
}


@pytest.mark.parametrize("name", SERVERS)
def test_found_level_gives_nine_tenths_of_the_best_fixed_one(name: str) -> None:
    make, seconds, best = SERVERS[name]
    found, fixed = simulate(make, seconds), simulate(make, seconds, best)
    assert found.answered >= 0.9 * fixed.answered
    assert max(found.levels) <= HIGHEST


@pytest.mark.parametrize(("count", "draw"), [(1, constant), (4, constant), (70, spread)])
def test_a_server_with_few_slots_is_not_flooded(count: int, draw: Callable[[random.Random], float]) -> None:
    levels = simulate(lambda: slots(count, draw), 300 if count > 4 else 1000).levels[-20:]
    assert sum(levels) / len(levels) <= 2 * count + 2


@pytest.mark.parametrize("most", [7, 50])
def test_a_server_that_refuses_is_asked_little_beyond_what_it_takes(most: int) -> None:
    seen = simulate(lambda: capped(most, constant), 400)
    assert seen.refused <= 0.1 * seen.answered + 50 * most
    assert max(seen.levels[-50:]) <= 1.25 * most + 1


def test_growth_is_from_modest_to_the_highest_within_a_dozen_round_trips() -> None:
    levels = simulate(lambda: free(constant), 14).levels
    assert levels[0] == START
    assert levels[-1] == HIGHEST


def test_an_outage_is_recovered_from_within_a_few_round_trips() -> None:
    start = 0.0

    def make() -> Serve:
        async def serve(rng: random.Random) -> None:
            if 30 <= asyncio.get_running_loop().time() - start < 40:
                await asyncio.sleep(0.01)
                raise Refused
            await asyncio.sleep(1)

        return serve

    levels = simulate(make, 100).levels
    assert levels[28] == HIGHEST
    assert min(levels[30:41]) < 20
    assert levels[60] >= 0.8 * HIGHEST


def test_a_level_falls_once_a_round_trip() -> None:
    level = AdaptiveLevel(timeout_s=600)
    sent = [(level.sent(n), level.falls) for n in range(1, 17)]
    for cohort, falls in sent:  # all of one round trip are refused
        level.refused(cohort, falls)
    assert (level.falls, level.limit) == (1, int(0.85 * START))


def test_stray_refusals_do_not_lower_the_level() -> None:
    level = AdaptiveLevel(timeout_s=600)
    for _ in range(50):
        for n in range(12):
            cohort, falls = level.sent(level.limit), level.falls
            if n:
                level.answered(cohort, falls, 1.0)
            else:
                level.refused(cohort, falls)
    assert level.falls == 0


def test_the_level_does_not_rise_where_replies_take_a_quarter_of_the_time_out() -> None:
    level = AdaptiveLevel(timeout_s=3)
    for _ in range(500):
        level.answered(level.sent(level.limit), level.falls, 1.0)
    assert level.limit <= START


def test_a_level_that_is_not_filled_does_not_rise() -> None:
    level = AdaptiveLevel(timeout_s=600)
    for _ in range(5000):
        level.answered(level.sent(3), level.falls, 1.0)
    assert level.limit <= 2 * START


@given(st.data())
def test_whatever_happens_the_level_stays_between_one_and_the_highest(data: st.DataObject) -> None:
    highest = data.draw(st.integers(1, 600))
    level = AdaptiveLevel(timeout_s=10, highest=highest)
    events = data.draw(
        st.lists(
            st.tuples(st.sampled_from("arl"), st.integers(1, 40), st.floats(0, 20), st.integers(0, 2)), max_size=60
        )
    )
    for kind, times, latency, late in events:
        for _ in range(times):
            cohort, falls = level.sent(level.limit), max(0, level.falls - late)
            if kind == "a":
                level.answered(cohort, falls, latency)
            elif kind == "r":
                level.refused(cohort, falls)
            else:
                level.left(cohort)
            assert 1 <= level.limit <= highest
