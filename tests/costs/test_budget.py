"""Cost and budget: nothing begins beyond the limit, whatever ends or fails in between."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.costs.budget import UNKNOWN_AT_ONCE, Budget, Spent
from evolvent.costs.prices import Price
from evolvent.errors import BudgetReachedError, InputError
from evolvent.models.protocols import Usage

A, B = "openai:a", "openai:b"
PRICES = {A: Price(1, 2), B: Price(10, 20), "embedded": Price(0, 0)}
A_CALL = Usage(1_000_000, 500_000)  # costs 2 of A, 20 of B


def spent(model: str, calls: int, stage: str = "evolve") -> Spent:
    return Spent(stage, model, calls, calls * 1_000_000, calls * 500_000, False, 1.0)


def budget(limit: float, before: list[Spent] | None = None, stage: str = "evolve") -> Budget:
    return Budget(limit, PRICES, before or [], stage=stage, models=[A, B, "embedded"])


def test_a_model_without_a_price_is_refused() -> None:
    with pytest.raises(InputError, match="--budget needs the price of openai:c\nWrite --price"):
        Budget(5, PRICES, [], stage="evolve", models=["openai:c?timeout=3", A])
    with pytest.raises(InputError, match="needs the price of openai:old"):
        Budget(5, PRICES, [spent("openai:old", 1)], stage="evolve", models=[A])


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        budget(limit)


def test_the_limit_is_used_up_and_not_passed() -> None:
    async def calls() -> int:
        money, made = budget(10), 0
        while True:
            try:
                await money.begin(A)
            except BudgetReachedError as error:
                assert error.exit_status == 3
                assert "10.00 of 10.00 spent in this folder on 5 calls" in error.message
                assert "--budget" in error.fix
                return made
            money.end(A, A_CALL)
            made += 1

    assert asyncio.run(calls()) == 5


def test_what_earlier_commands_spent_counts_and_no_call_begins_beyond_it() -> None:
    with pytest.raises(BudgetReachedError, match=r"20\.00 of 20\.00 spent in this folder on 10 calls"):
        asyncio.run(budget(20, [spent(A, 10, "respond")]).begin("embedded"))


def test_calls_in_flight_count_with_what_the_stages_calls_cost_on_average() -> None:
    async def calls() -> None:
        money = budget(10, [spent(A, 2)])  # 4 spent, 2 a call
        for _ in range(3):
            await money.begin(A)
        with pytest.raises(BudgetReachedError, match=r"4\.00 of 10\.00 .* on 2 calls, 3 more in flight"):
            await money.begin(A)
        money.end(A, None)  # a failed call costs nothing: there is room for another
        await money.begin(A)

    asyncio.run(calls())


def test_while_nothing_is_known_of_a_stages_calls_only_a_few_begin() -> None:
    async def calls() -> None:
        money = budget(100, [spent(A, 1, "respond")])
        waiting = [asyncio.ensure_future(money.begin(A)) for _ in range(30)]
        await settle()
        assert money.in_flight == UNKNOWN_AT_ONCE
        money.end(A, None)  # nothing learned: its place is taken
        await settle()
        assert money.in_flight == UNKNOWN_AT_ONCE
        money.end(A, A_CALL)  # now a call is known to cost 2
        await settle()
        assert money.in_flight == 28
        assert all(task.done() and task.exception() is None for task in waiting)
        await asyncio.gather(*(money.begin("embedded") for _ in range(30)))  # what costs nothing never waits
        assert money.in_flight == 58

    asyncio.run(calls())


def test_a_call_that_is_cancelled_while_it_waits_has_not_begun() -> None:
    async def calls() -> None:
        money = budget(100)
        waiting = [asyncio.ensure_future(money.begin(A)) for _ in range(UNKNOWN_AT_ONCE + 1)]
        await settle()
        waiting[-1].cancel()
        await settle()
        assert money.in_flight == UNKNOWN_AT_ONCE
        for _ in range(UNKNOWN_AT_ONCE):
            money.end(A, None)
        assert money.in_flight == 0

    asyncio.run(calls())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# A call: its model, what it uses (None: it fails), and for how many turns of the loop it lasts.
usages = st.none() | st.builds(Usage, st.integers(0, 3_000_000), st.integers(0, 3_000_000))
calls = st.lists(st.tuples(st.sampled_from([A, B, "embedded"]), usages, st.integers(0, 6)), max_size=60)


@given(calls, st.floats(0.01, 200), st.integers(0, 20))
def test_no_call_begins_once_the_limit_is_reached(
    plan: list[tuple[str, Usage | None, int]], limit: float, earlier: int
) -> None:
    asyncio.run(played(plan, limit, earlier))


async def played(plan: list[tuple[str, Usage | None, int]], limit: float, earlier: int) -> None:
    money = budget(limit, [spent(A, earlier)] if earlier else [])
    paid = 2.0 * earlier
    flying: dict[int, float] = {}
    bound = max(limit, paid)
    refused = 0

    async def call(number: int, model: str, usage: Usage | None, turns: int) -> None:
        nonlocal paid, bound, refused
        try:
            await money.begin(model)
        except BudgetReachedError:
            refused += 1
            return
        assert paid < limit
        flying[number] = PRICES[model].of(usage.prompt_tokens, usage.completion_tokens) if usage else 0.0
        bound = max(bound, paid + sum(flying.values()))
        for _ in range(turns):
            await asyncio.sleep(0)
        paid += flying.pop(number)
        money.end(model, usage)
        assert money.spent == pytest.approx(paid)

    await asyncio.gather(*(call(number, *one) for number, one in enumerate(plan)))
    assert money.in_flight == 0
    assert money.spent <= bound * (1 + 1e-9)  # no more than what was in flight when the last call began
    if not refused:
        assert money.spent == pytest.approx(
            2 * earlier + sum(PRICES[m].of(u.prompt_tokens, u.completion_tokens) for m, u, _ in plan if u)
        )


@given(st.integers(1, 50), st.integers(1, 50), st.floats(1, 500))
def test_with_calls_of_one_price_the_limit_is_passed_by_the_unknown_first_calls_only(
    at_once: int, rounds: int, limit: float
) -> None:
    async def run() -> float:
        money = budget(limit)

        async def worker() -> None:
            for _ in range(rounds):
                await money.begin(A)
                await asyncio.sleep(0)
                money.end(A, A_CALL)

        await asyncio.gather(*(worker() for _ in range(at_once)), return_exceptions=True)
        return money.spent

    total = asyncio.run(run())
    assert total <= max(limit, 2.0 * min(at_once, UNKNOWN_AT_ONCE)) + 1e-9
    assert total == pytest.approx(2.0 * at_once * rounds) or total > limit - 2.0


def test_what_recent_calls_cost_weighs_most() -> None:
    async def calls() -> None:
        money = budget(10_000, [spent(A, 1_000)])  # 2,000 spent, 2 a call
        for _ in range(200):
            await money.begin(A)
            money.end(A, Usage(20_000_000, 0))  # 20 a call from now on: 4,000 more
        for _ in range(200):
            await money.begin(A)  # 6,000 spent, 4,000 left
        with pytest.raises(BudgetReachedError, match="another call would be likely to pass it"):
            for _ in range(5):  # the mean has all but come to 20
                await money.begin(A)

    asyncio.run(calls())
