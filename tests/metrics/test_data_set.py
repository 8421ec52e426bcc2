"""Figures of data sets beside independent computations."""

import math
from typing import Any

import numpy as np
import pytest

from evolvent.metrics.car import SWEEP, car
from evolvent.metrics.data_set import (
    Scored,
    adjusted_rewards,
    compatibility,
    mean,
    rank_surprisal,
    share_below,
    win_rates,
)
from evolvent.metrics.text_diversity import Words


def scored(seeds: list[int] | None = None, **scores: Any) -> Scored:
    values = {name: np.array(column, float) for name, column in scores.items()}
    rows = len(next(iter(values.values())))
    return Scored(np.array(range(rows) if seeds is None else seeds), values, {})


def test_a_mean_counts_what_it_leaves_out_and_why() -> None:
    rows = Scored(np.arange(4), {"ifd": np.array([1.0, math.nan, 3.0, math.nan])}, {"ifd": [None, "empty", None, None]})
    figure = mean(rows, "ifd")
    assert (figure.value, figure.n, figure.excluded) == (2.0, 2, {"empty": 1, "no score": 1})
    nothing = mean(scored(ifd=[math.nan]), "ifd")
    assert (nothing.value, nothing.n, nothing.why) == (None, 0, "no row has what it needs")
    alone = mean(scored([7, 7], ifd=[1, 2]), "ifd")
    assert (alone.value, alone.low, alone.why) == (1.5, None, "one seed: no interval")


def test_an_interval_goes_by_seeds_not_by_rows() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=200)
    once = mean(scored(x=values), "x")
    tenfold = mean(scored(np.repeat(np.arange(200), 10).tolist(), x=np.repeat(values, 10)), "x")
    assert (once.low, once.high) == pytest.approx((tenfold.low, tenfold.high))
    error = values.std() / math.sqrt(200)
    assert once.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert once.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


def test_rsr_of_a_set_is_a_ratio_of_means() -> None:
    figure = rank_surprisal(scored(response_rank=[2, 6], response_loss=[1, 3]))
    assert figure.value == pytest.approx(4 / 2)


@pytest.mark.parametrize("beta", SWEEP)
def test_car(beta: float) -> None:
    figure = compatibility(scored(reward=[1, 3], response_loss=[0.5, 1.5]), "reward", "response_loss", beta)
    assert figure.value == pytest.approx(2 / (1 + beta))
    assert car(2.0, 1.0, 0) == 2.0
    assert car(2.0, 1.0, beta) >= (car(2.0, 1.1, beta) or 0)  # type: ignore[operator]


def test_car_of_a_negative_reward_is_refused_or_shifted() -> None:
    rows = scored(reward=[-4, 2], response_loss=[1, 1])
    refused = compatibility(rows, "reward", "response_loss", 3)
    assert refused.value is None and "--shift-rewards" in str(refused.why)
    assert compatibility(rows, "reward", "response_loss", 3, shift=4).value == pytest.approx(3 / 4)


def test_rewards_adjusted_for_length_as_both_branches_of_the_reference_do() -> None:
    rewards, lengths = np.array([1.0, 2.0, 4.0]), np.array([10, 20, 60])
    times, per = adjusted_rewards(scored(reward=rewards, reward_tokens=lengths))
    assert times.value == pytest.approx(np.mean(rewards * lengths / lengths.mean()))
    assert per.value == pytest.approx(np.mean(rewards / lengths * lengths.mean()))
    constant = adjusted_rewards(scored(reward=[1, 1, 1], reward_tokens=lengths))
    assert constant[0].value == pytest.approx(1)
    assert (constant[1].value or 0) >= 1


def test_win_rates() -> None:
    figures = {figure.name: figure for figure in win_rates(scored(win=[1, 1, 0.5, 0], length_difference=[0, 0, 0, 0]))}
    assert figures["winning score"].value == pytest.approx((2 - 1) / 4 + 1)
    assert figures["length-controlled win rate"].value == pytest.approx(2.5 / 4, abs=1e-4)


def test_a_share() -> None:
    assert share_below(scored(mnd=[0, 0.04, 0.06, math.nan]), "mnd", 0.05).value == pytest.approx(2 / 3)


def test_words() -> None:
    words = Words()
    for text in ("a b a", "A b", ""):
        words.read(text)
    figures = {figure.name: figure.value for figure in words.figures()}
    assert (figures["distinct-1"], figures["distinct-2"], figures["distinct-3"]) == (2 / 5, 2 / 3, 1)
    alike, unlike = Words(), Words()
    for n in range(200):
        alike.read("Mend the same old sock again")
        unlike.read(f"{n * 7919 % 1000} {n * 104729 % 997} {n * 1299709 % 991}")
    ratios = [list(one.figures())[-1].value for one in (alike, unlike)]
    assert ratios[0] is not None and ratios[1] is not None and ratios[0] > 3 * ratios[1]
    assert {figure.value for figure in Words().figures()} == {None}
