"""Figures of a data set: means of its rows' scores with their intervals, and figures that only a whole set has.

An interval is a bootstrap's over seeds: rows that come of one seed stand or fall together.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from evolvent.judges.win_rate import length_controlled
from evolvent.metrics.car import car

if TYPE_CHECKING:
    import numpy as np

INSTALL = "pip install 'evolvent[compare]'"
RESAMPLES, REFITS, CONFIDENCE, AT_ONCE = 1_000, 200, 0.95, 50


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a data set.

    Attributes:
        name: what it is.
        value: its value; None where it does not exist, and ``why`` says why not.
        low, high: its 95 % interval; None where there are fewer than two seeds.
        n: the rows that it is of.
        excluded: the rows that have no score to count, by the reason that the row gives.
        why: why it does not exist, or what is to be known of it.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a data set.

    Attributes:
        seeds: for each row the number of its seed, from 0 on, int64 of shape [rows].
        scores: by column, float64 of shape [rows]; NaN where there is none.
        reasons: by column, for each row why it has no score there, if it says so.
    """

    seeds: "np.ndarray"
    scores: Mapping[str, "np.ndarray"]
    reasons: Mapping[str, Sequence[str | None]]


def mean(scored: Scored, column: str) -> Figure:
    """The mean of a column."""
    return _figure(scored, column, [column], lambda means: means[0])


def rank_surprisal(scored: Scored, suffix: str = "") -> Figure:
    """RSR of a data set: the mean of the mean ranks over the mean of the mean surprisals (arXiv 2601.14249)."""
    columns = [f"response_rank{suffix}", f"response_loss{suffix}"]
    return _figure(scored, f"rsr of the set{suffix}", columns, lambda means: means[0] / means[1])


def compatibility(scored: Scored, reward: str, loss: str, beta: float, shift: float = 0.0) -> Figure:
    """CAR of a data set.

    Args:
        scored: its scores.
        reward: the column of rewards, or of a judge's scores that stand in for them; the figure is called after it.
        loss: the column of response losses.
        beta: how much the loss counts.
        shift: what is added to every reward.
    """
    name = f"car({reward}, beta {beta:g})" + loss.removeprefix("response_loss")
    figure = _figure(scored, name, [reward, loss], lambda means: (means[0] + shift) / (1 + beta * means[1]))
    if figure.value is None:
        return figure
    [of_reward, of_loss] = _means(scored, [reward, loss])
    if car(of_reward + shift, of_loss, beta) is None:
        mean_words = f"the mean of {reward} is {of_reward + shift:.3g}"
        why = f"{mean_words}: a higher loss would raise the value; --shift-rewards shifts it"
        return Figure(name, None, n=figure.n, excluded=figure.excluded, why=why)
    return figure


def adjusted_rewards(scored: Scored, name: str = "reward", suffix: str = "") -> list[Figure]:
    """The two length adjustments of paper 1's code, which contradict each other."""
    reward, tokens = f"{name}{suffix}", f"{name}_tokens{suffix}"

    wide = _with(scored, {"reward x tokens": scored.scores[reward] * scored.scores[tokens]}, like=reward)
    per = _with(scored, {"reward / tokens": scored.scores[reward] / _positive(scored.scores[tokens])}, like=reward)
    return [
        _figure(wide, f"{name}_times_length{suffix}", ["reward x tokens", tokens], lambda means: means[0] / means[1]),
        _figure(per, f"{name}_per_length{suffix}", ["reward / tokens", tokens], lambda means: means[0] * means[1]),
    ]


def win_rates(scored: Scored, suffix: str = "") -> list[Figure]:
    """The length-controlled win rate and the winning score, beside the raw rate, which is the mean of ``win``."""

    win, difference = f"win{suffix}", f"length_difference{suffix}"
    return [
        _length_controlled(scored, win, difference, f"length-controlled win rate{suffix}"),
        _figure(scored, f"winning score{suffix}", [win], lambda means: 2 * means[0]),
    ]


def _length_controlled(scored: Scored, win: str, difference: str, name: str) -> Figure:
    import numpy as np
    from scipy.stats import bootstrap

    values = [scored.scores[column] for column in (win, difference)]
    there = np.isfinite(values).all(0)
    n, excluded = int(there.sum()), _excluded(scored, np.flatnonzero(~there).tolist(), [win, difference])
    if not find_spec("sklearn"):
        return Figure(name, None, n=n, excluded=excluded, why=f"scikit-learn is not installed: {INSTALL}")
    wins, differences, seeds = values[0][there], values[1][there], scored.seeds[there]
    rate = length_controlled(wins, differences)
    if rate is None:
        return Figure(name, None, n=n, excluded=excluded, why="all verdicts are alike, or there are fewer than two")
    rows = [np.flatnonzero(seeds == seed) for seed in np.unique(seeds)]
    if len(rows) < 2:
        return Figure(name, rate, n=n, excluded=excluded, why="one seed: no interval")

    def statistic(drawn: "np.ndarray") -> float:
        chosen = np.concatenate([rows[int(place)] for place in drawn])
        found = length_controlled(wins[chosen], differences[chosen])
        return float(wins[chosen].mean()) if found is None else found

    drawn = bootstrap(
        (np.arange(len(rows)),),
        statistic,
        vectorized=False,
        n_resamples=REFITS,
        method="percentile",
        rng=np.random.default_rng(0),
    ).bootstrap_distribution
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Figure(name, rate, float(low), float(high), n, excluded)


def share_below(scored: Scored, column: str, threshold: float) -> Figure:
    """The share of rows whose score is below a threshold."""
    import numpy as np

    values = scored.scores[column]
    below = np.where(np.isfinite(values), values < threshold, np.nan)
    name = f"{column} below {threshold:g}"
    return _figure(_with(scored, {name: below}, like=column), name, [name], lambda means: means[0])


def _figure(scored: Scored, name: str, columns: Sequence[str], of: Callable[[Sequence[Any]], Any]) -> Figure:
    """A function of the means of columns, over the rows that have all of them, with its interval."""
    import numpy as np
    from scipy.stats import bootstrap

    values = [scored.scores[column] for column in columns]
    there = np.isfinite(values).all(0)
    n, excluded = int(there.sum()), _excluded(scored, np.flatnonzero(~there).tolist(), columns)
    if not n:
        return Figure(name, None, excluded=excluded, why="no row has what it needs")
    _, seeds = np.unique(scored.seeds[there], return_inverse=True)
    sums = [np.bincount(seeds, value[there]) for value in values]
    rows = np.bincount(seeds).astype(float)

    def statistic(*drawn: Any, axis: int = -1) -> Any:
        count = drawn[-1].sum(axis)
        return of([one.sum(axis) / count for one in drawn[:-1]])

    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(*sums, rows))
        if not np.isfinite(value):
            return Figure(name, None, n=n, excluded=excluded, why="it is not a finite number")
        if len(rows) < 2:
            return Figure(name, value, n=n, excluded=excluded, why="one seed: no interval")
        found = bootstrap(
            (*sums, rows),
            statistic,
            paired=True,
            n_resamples=RESAMPLES,
            batch=AT_ONCE,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
    return Figure(name, value, float(found.low), float(found.high), n, excluded)


def _means(scored: Scored, columns: Sequence[str]) -> list[float]:
    import numpy as np

    values = [scored.scores[column] for column in columns]
    there = np.isfinite(values).all(0)
    return [float(value[there].mean()) for value in values]


def _excluded(scored: Scored, absent: Sequence[int], columns: Sequence[str]) -> dict[str, int]:
    """Why rows have no score in one of some columns: by the first that they lack."""
    found: Counter[str] = Counter()
    for row in absent:
        lacking = next(column for column in columns if not math.isfinite(scored.scores[column][row]))
        reasons = scored.reasons.get(lacking)
        found[(reasons[row] if reasons else None) or "no score"] += 1
    return dict(found)


def _with(scored: Scored, new: Mapping[str, "np.ndarray"], *, like: str) -> Scored:
    """The scores with further columns, which are lacking where and why that of ``like`` is."""
    reasons = {**scored.reasons, **{name: scored.reasons[like] for name in new if like in scored.reasons}}
    return Scored(scored.seeds, {**scored.scores, **new}, reasons)


def _positive(values: "np.ndarray") -> "np.ndarray":
    import numpy as np

    found: np.ndarray = np.where(values > 0, values, np.nan)
    return found


# Shares and thresholds that a set is described by, beside the means: of MND what paper 1's code calls a repeat.
REPEATED = partial(share_below, threshold=0.05)
