"""The gate: so many at once, so many a minute, first come first served, and nobody forgotten; in simulated time."""

import asyncio
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.models.openai.level import START
from evolvent.models.openai.pace import Allowance, Cap, Gate, Outcome, Pace, Ticket
from tests.models.virtual_time import run_virtually


async def let_in(gate: Gate, count: int, *, seconds: float = 1e9, tokens: float = 0.0) -> tuple[list[float], Ticket]:
    """When each of so many tries, asked for at once, was let in; each lasts so long."""
    times: list[float] = []
    loop = asyncio.get_running_loop()
    begin = loop.time()

    async def one() -> Ticket:
        ticket = await gate.enter(tokens)
        times.append(loop.time() - begin)
        await asyncio.sleep(seconds)
        gate.leave(ticket, Outcome.ANSWERED)
        return ticket

    tickets = await asyncio.gather(*(one() for _ in range(count)))
    return times, tickets[-1]


def test_so_many_at_once_and_the_next_when_one_leaves() -> None:
    async def main() -> list[float]:
        return (await let_in(Gate([Pace(3)]), 7, seconds=10))[0]

    assert run_virtually(main()) == [0, 0, 0, 10, 10, 10, 20]


def test_found_level_starts_modest() -> None:
    async def main() -> list[float]:
        return (await let_in(Gate([Pace(None)]), START + 1, seconds=10))[0]

    assert run_virtually(main()) == [0] * START + [10]


kinds = st.sampled_from(["enter", "enter again", "leave", "refuse", "cancel", "pass"])


operations = st.lists(st.tuples(kinds, st.integers(0, 30)))


@settings(max_examples=200, deadline=None)
@given(operations, st.none() | st.integers(1, 4), st.none() | st.sampled_from([60.0, 600.0]))
def test_first_come_first_served_and_no_wake_up_is_lost(
    steps: list[tuple[str, int]], concurrency: int | None, per_minute: float | None
) -> None:
    async def main() -> None:
        pace = Pace(concurrency, requests_per_minute=per_minute, highest=4)
        gate = Gate([pace])
        waiting: dict[int, asyncio.Task[Any]] = {}
        inside: dict[int, Ticket] = {}
        order: dict[bool, list[tuple[float, int]]] = {False: [], True: []}  # by turn, not by who wakes up first

        async def one(number: int, again: bool) -> None:
            inside[number] = await gate.enter(1, again=again)
            order[again].append((inside[number].sent_requests, number))

        for number, (what, pick) in enumerate(steps):
            if what.startswith("enter"):
                waiting[number] = asyncio.create_task(one(number, what != "enter"))
            elif what in ("leave", "refuse") and inside:
                ticket = inside.pop(sorted(inside)[pick % len(inside)])
                before = pace.limit
                gate.leave(ticket, Outcome.ANSWERED if what == "leave" else Outcome.REFUSED)
                assert pace.limit == before or concurrency is None
            elif what == "cancel" and waiting:
                waiting[sorted(waiting)[pick % len(waiting)]].cancel()
            elif what == "pass":
                await asyncio.sleep(pick / 10)
            if pick % 2:
                await asyncio.sleep(0)
            assert gate.in_flight <= 4
            assert concurrency is None or (gate.in_flight <= concurrency == pace.limit)
        while any(not task.done() for task in waiting.values()):  # whoever was not cancelled gets in
            for number in list(inside):
                gate.leave(inside.pop(number), Outcome.ANSWERED)
            await asyncio.sleep(1)
        for entered in order.values():
            numbers = [number for _, number in sorted(entered)]
            assert numbers == sorted(numbers)
        for number in list(inside):
            gate.leave(inside.pop(number), Outcome.ANSWERED)
        assert gate.in_flight == 0

    run_virtually(main())


@pytest.mark.parametrize("per_minute", [6.0, 90.0, 6000.0])
def test_no_minute_holds_more_requests_than_the_cap_nor_many_fewer(per_minute: float) -> None:
    count = int(2.5 * per_minute)

    async def main() -> list[float]:
        return (await let_in(Gate([Pace(10_000, requests_per_minute=per_minute)]), count, seconds=1))[0]

    times = run_virtually(main())
    for first, begin in enumerate(times):
        assert sum(begin <= time < begin + 60 for time in times[first : first + count]) <= per_minute + 1
        if first > 200:
            break
    assert times[-1] == pytest.approx(150, rel=0.02, abs=60 / per_minute)


def test_tokens_are_put_right_by_what_a_reply_took() -> None:
    """Six thousand a minute; each call is thought to take 2,000 and takes 100: one a second, after the first."""

    async def main() -> list[float]:
        gate = Gate([Pace(10, tokens_per_minute=6000)])
        times = []
        for _ in range(61):
            ticket = await gate.enter(2000)
            times.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.1)
            gate.leave(ticket, Outcome.ANSWERED, 100)
        return times

    times = run_virtually(main())
    assert times[-1] - times[0] == pytest.approx(60, rel=0.02)


def test_tokens_in_flight_count_as_estimated() -> None:
    async def main() -> list[float]:
        return (await let_in(Gate([Pace(10, tokens_per_minute=6000)]), 4, tokens=2000, seconds=100))[0]

    assert run_virtually(main()) == pytest.approx([0, 20, 40, 60], abs=0.2)


def test_a_correction_lets_the_waiting_in_at_once() -> None:
    async def main() -> float:
        gate = Gate([Pace(10, tokens_per_minute=60)])
        first = await gate.enter(1000)
        second = asyncio.create_task(gate.enter(1))
        await asyncio.sleep(1)
        gate.leave(first, Outcome.ANSWERED, 1)
        await second
        return asyncio.get_running_loop().time()

    assert run_virtually(main()) == pytest.approx(1, abs=0.1)


def test_what_the_server_says_is_left_is_not_exceeded() -> None:
    async def main() -> list[float]:
        gate = Gate([Pace(100)])
        ticket = await gate.enter(0)
        await asyncio.sleep(1)
        gate.heard(ticket, {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "1m0s"})
        gate.leave(ticket, Outcome.ANSWERED)
        return (await let_in(gate, 6, seconds=100))[0]

    assert run_virtually(main()) == pytest.approx([0, 0, 0, 60, 60, 60])


def test_what_was_sent_since_is_taken_off_what_is_left() -> None:
    async def main() -> list[float]:
        gate = Gate([Pace(100)])
        tickets = [await gate.enter(0) for _ in range(3)]
        gate.heard(tickets[0], {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "60"})
        return (await let_in(gate, 2, seconds=100))[0]

    assert run_virtually(main()) == pytest.approx([0, 60])


def test_a_later_word_of_the_server_holds_and_an_older_one_does_not() -> None:
    async def main() -> list[float]:
        gate = Gate([Pace(100)])
        tickets = [await gate.enter(0) for _ in range(3)]
        gate.heard(tickets[2], {"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "10s"})
        gate.heard(tickets[0], {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s"})
        return (await let_in(gate, 3, seconds=100))[0]

    assert run_virtually(main()) == pytest.approx([0, 0, 10])


def test_tokens_that_are_left_are_not_exceeded() -> None:
    async def main() -> list[float]:
        gate = Gate([Pace(100)])
        ticket = await gate.enter(10)
        gate.heard(ticket, {"x-ratelimit-remaining-tokens": "250", "x-ratelimit-reset-tokens": "30s"})
        return (await let_in(gate, 3, tokens=100, seconds=100))[0]

    assert run_virtually(main()) == pytest.approx([0, 0, 30])


def test_a_try_of_a_call_that_failed_goes_ahead_of_first_tries() -> None:
    async def main() -> list[str]:
        gate, order = Gate([Pace(1)]), []

        async def one(name: str, again: bool) -> None:
            ticket = await gate.enter(0, again=again)
            order.append(name)
            await asyncio.sleep(1)
            gate.leave(ticket, Outcome.ANSWERED)

        calls = [("first", False), ("second", False), ("third", False), ("failed", True), ("failed too", True)]
        await asyncio.gather(*(one(*call) for call in calls))
        return order

    assert run_virtually(main()) == ["first", "failed", "failed too", "second", "third"]


@pytest.mark.parametrize(("reset", "said"), [("5s", 0), ("60s", 1)])
def test_a_long_hold_by_the_servers_headers_is_said_once(
    reset: str, said: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        gate = Gate([Pace(100)], uri="openai:m")
        ticket = await gate.enter(0)
        gate.heard(ticket, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset})
        await let_in(gate, 6, seconds=1)

    run_virtually(main())
    assert len(caplog.messages) == said
    assert all(message.startswith("model openai:m: by its x-ratelimit headers") for message in caplog.messages)


def test_the_gate_works_in_another_loop() -> None:
    gate = Gate([Pace(1, requests_per_minute=60)])

    async def main() -> list[float]:
        first = asyncio.create_task(let_in(gate, 2, seconds=0.1))
        await asyncio.sleep(0.2)
        first.cancel()  # one waits for its time
        await asyncio.gather(first, return_exceptions=True)
        gate.close()
        return (await let_in(gate, 2, seconds=0.1))[0]

    for _ in range(2):
        assert len(run_virtually(main())) == 2


@given(st.floats(0.1, 1e6), st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e4)), max_size=50))
def test_a_cap_is_kept_over_any_span(per_minute: float, steps: list[tuple[float, float]]) -> None:
    cap, now, taken = Cap(per_minute), 0.0, [(0.0, 0.0)]
    for pause, amount in steps:
        now += pause
        now += cap.wait_s(now)
        cap.take(amount, now)
        taken.append((now, amount))
    for first, (begin, _) in enumerate(taken):
        amounts = [amount for time, amount in taken[first:] if time < begin + 60]
        assert sum(amounts[:-1]) <= per_minute * 1.001 + 1e-6


def test_nonsense_about_what_is_left_holds_nothing_up() -> None:
    allowance = Allowance("requests")
    for remaining, reset in [("x", "1s"), ("0", "x"), ("-1", "1s"), ("0", "")]:
        allowance.heard(
            {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": reset}, sent=1, now=0
        )
        assert allowance.wait_s(1, now=0) == 0


@pytest.mark.parametrize("reset", ["24h", "86400", "4102444800"])
def test_a_reset_that_is_far_off_holds_nobody_up(reset: str) -> None:
    allowance = Allowance("requests")
    allowance.heard({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset}, sent=0, now=5)
    assert allowance.wait_s(1, now=5) == 0


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_reset_may_be_a_point_in_time(unit: int) -> None:
    """OpenRouter and GitHub write Unix times, in seconds or milliseconds."""
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": str(1_700_000_030 * unit),
        "date": formatdate(1_700_000_000, usegmt=True),
    }
    allowance = Allowance("requests")
    allowance.heard(headers, sent=0, now=5)
    assert allowance.wait_s(1, now=5) == 30
    headers["x-ratelimit-reset-requests"] = str(1_600_000_000 * unit)
    allowance.heard(headers, sent=0, now=5)
    assert allowance.wait_s(1, now=5) == 0
