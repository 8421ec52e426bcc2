"""The order of candidates by one figure, and how sure it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evolvent.ranking.confidence_set import model_confidence_set
from evolvent.ranking.figures import RankedBy
from evolvent.ranking.measured import Measured
from evolvent.ranking.power import items_needed, minimum_detectable_effect
from evolvent.ranking.resampling import DRAWS, bootstrap_means, exact, means, widened
from evolvent.ranking.training_seeds import bootstrap_students
from evolvent.words import number_of

# Sizes of the smaller samples that say how stable an order is.
NESTED = (10, 25, 50, 100, 200, 500, 1_000)
# A difference of less than one in so many standard deviations is none.
MOST_NEEDED = 1_000
# With fewer seeds, or items, nobody is told apart: equal candidates would be too often (11 in 100 of four, with 10).
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate in an order.

    Attributes:
        candidate: its name.
        rows: how many of its rows have what the figure is made of.
        value: of the figure; ``low``, ``high``: its 95 % interval.
        behind: by how much the first is better, at least 0; ``behind_low``, ``behind_high``: its 95 % interval, paired.
        in_set: whether it is in the model confidence set: cannot be told apart from the best; ``p``: at levels above
            1 - p it is.
        best: how often it is the best one in the draws.
        regret: by how much it is worse than the best one, the mean over the draws.
    """

    candidate: str
    rows: int
    value: float
    low: float
    high: float
    behind: float
    behind_low: float
    behind_high: float
    in_set: bool
    p: float
    best: float
    regret: float


@dataclass(frozen=True, slots=True)
class Order:
    """Candidates by one figure, the best first.

    Attributes:
        figure: the figure's name; ``lower_is_better``: whether low is good.
        standings: the candidates that have it.
        without: those that do not, each with the reason.
        seeds: how many seeds were drawn from; of a trial, how many items.
        detectable: the smallest difference of the first two that so many seeds find in four of five cases; NaN if
            there are fewer than two candidates.
        needed: how many seeds would tell the first two apart; None if nothing would.
        stable: for smaller samples, of so many seeds, how often the same candidate comes first.
        students: of a trial, how many each candidate has: its training seeds; 0 for any other figure.
        shared: how many of the seeds two of these candidates or more have: on these they are paired. None of a trial,
            whose items all have.
    """

    figure: str
    lower_is_better: bool
    standings: Sequence[Standing]
    without: Mapping[str, str]
    seeds: int
    detectable: float
    needed: int | None
    stable: Mapping[int, float]
    students: int = 0
    shared: int | None = None

    @property
    def goodness(self) -> dict[str, float]:
        """The figure of each candidate, the higher the better."""
        return {one.candidate: -one.value if self.lower_is_better else one.value for one in self.standings}

    @property
    def n(self) -> str:
        """How much it is of, in words."""
        if self.students:
            return f"{self.seeds:,} items x {self.students} students"
        return number_of(self.seeds, "seeds")

    @property
    def enough(self) -> str:
        """How much would tell the first two apart, in words; empty if so much is there, or nothing would."""
        if self.seeds < FEWEST:
            return f"{FEWEST} at the least"
        if self.needed is None or self.needed <= self.seeds:
            return ""
        students = math.ceil(self.students * self.needed / self.seeds)
        return f"about {self.needed:,}" + (f" items x {students:,} students" if students else "")


@dataclass(frozen=True, slots=True)
class Resampled:
    """A figure of candidates, and what it might have been.

    Attributes:
        lacking: for each candidate why it has no figure, if it has none.
        rows: how many rows of each have what the figure is made of, of shape [candidates].
        mean: the figure of each; NaN where there is none.
        drawn: given how many seeds to draw, or none for all of them, draws of the figure of shape [draws, candidates].
        seeds: how many seeds, or items, there are to draw from.
        students: of a trial, how many each candidate has.
        of_seeds: whether a candidate has a row of a seed, of shape [seeds, candidates]; of a trial all have.
    """

    lacking: Mapping[str, str]
    rows: np.ndarray
    mean: np.ndarray
    drawn: Callable[[int | None], np.ndarray]
    seeds: int
    students: int = 0
    of_seeds: np.ndarray | None = None


def order(found: Measured, figure: RankedBy, *, draws: int = DRAWS, seed: int = 0) -> Order:
    """Put candidates in order, with a bootstrap over seeds whose draws are the same for all of them."""
    values = [found.by_candidate(column) for column in figure.columns]
    rows = np.isfinite(values).all(axis=0).sum(axis=0)
    some = np.isfinite(values).any(axis=(0, 2))
    values, seeds = [one[some] for one in values], np.unique(found.seeds[some], return_inverse=True)[1]

    def drawn(size: int | None) -> np.ndarray:
        of = [bootstrap_means(one, seeds, size=size, draws=draws, seed=seed) for one in values]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(figure.of(*of))

    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.asarray(figure.of(*map(means, values)))
    n = int(seeds.max(initial=-1)) + 1
    why = figure.lacking if n > 1 else "all rows that have it are of one seed"
    lacking = {
        name: why if count else found.why(name, figure.columns)
        for name, count in zip(found.candidates, rows, strict=True)
    }
    if n < 2:
        return no_order(figure, lacking, seeds=n)
    of_seeds = np.zeros((n, len(found.candidates)), bool)
    np.logical_or.at(of_seeds, seeds, np.isfinite(values).all(axis=0))
    return in_order(figure, Resampled(lacking, rows, mean, drawn, n, of_seeds=of_seeds))


def trial_order(
    figure: RankedBy,
    values: np.ndarray,
    candidates: Sequence[str],
    lacking: Mapping[str, str],
    *,
    level: float,
    seed: int = 0,
) -> Order:
    """Put candidates in order by their students.

    Args:
        figure: what the students were measured by.
        values: what each student scores on each item, of shape [items, training seeds, candidates].
        candidates: those that have students.
        lacking: why others are not in order.
        level: that of the model confidence set.
        seed: of the draws.
    """
    items, students, _ = values.shape
    absent = [name for name in lacking if name not in candidates]
    padded = np.concatenate([values, np.full((items, students, len(absent)), np.nan)], axis=2)

    def drawn(size: int | None) -> np.ndarray:
        nobody = np.full((DRAWS, len(absent)), np.nan)
        return np.hstack([bootstrap_students(values, size=size, seed=seed), nobody])

    lacking = {**dict.fromkeys(candidates, ""), **{name: lacking[name] for name in absent}}
    mean, rows = padded.mean(axis=(0, 1)), np.full(len(lacking), items)
    return in_order(figure, Resampled(lacking, rows, mean, drawn, items, students), level=level)


def no_order(figure: RankedBy, lacking: Mapping[str, str], *, seeds: int = 0, students: int = 0) -> Order:
    """The order of no candidate."""
    return Order(figure.name, figure.lower, [], lacking, seeds, float("nan"), None, {}, students)


def in_order(figure: RankedBy, found: Resampled, *, level: float = 0.95) -> Order:
    """Candidates in order, by a figure and its draws.

    Args:
        figure: the figure.
        found: what it is of each candidate.
        level: that of the model confidence set.
    """
    sign = -1.0 if figure.lower else 1.0
    mean = sign * exact(found.mean, found.mean)
    drawn = sign * exact(widened(found.drawn(None), found.seeds), found.mean)
    has = np.isfinite(mean) & np.isfinite(drawn).all(axis=0)
    names = list(found.lacking)
    without = {name: found.lacking[name] for name, one in zip(names, has, strict=True) if not one}
    places = np.flatnonzero(has)[np.argsort(-mean[has], kind="stable")]
    if not len(places):
        return no_order(figure, without, seeds=found.seeds, students=found.students)
    named, rows = [names[place] for place in places], found.rows[places]
    standings = _standings(named, rows, mean[places], drawn[:, places], sign, level)
    if found.seeds < FEWEST:
        standings = [replace(one, in_set=True) for one in standings]
    detectable, needed = _power(mean[places], drawn[:, places], found.seeds)
    smaller = {size: sign * found.drawn(size)[:, places] for size in NESTED if size < found.seeds}
    stable = {size: share for size, one in smaller.items() if (share := _first(one)) is not None}
    shared = None if found.of_seeds is None else int((found.of_seeds[:, places].sum(axis=1) > 1).sum())
    of = (found.seeds, detectable, needed, stable, found.students, shared)
    return Order(figure.name, figure.lower, standings, without, *of)


def _power(mean: np.ndarray, drawn: np.ndarray, seeds: int) -> tuple[float, int | None]:
    """The smallest difference of the first two that so many seeds find, and how many would tell them apart."""
    if len(mean) < 2:
        return float("nan"), None
    apart, deviation = mean[0] - mean[1], float(np.diff(drawn[:, :2]).std())
    tells = apart * MOST_NEEDED > deviation > 0
    return minimum_detectable_effect(deviation), items_needed(apart, deviation, seeds) if tells else None


def _standings(
    names: Sequence[str], rows: np.ndarray, mean: np.ndarray, drawn: np.ndarray, sign: float, level: float
) -> list[Standing]:
    """Where candidates stand, who are in order, the best first; high is good, ``sign`` makes it the figure again."""
    inside, p_values = model_confidence_set(mean, drawn, level=level)
    top = drawn.max(axis=1, keepdims=True)
    tied = drawn == top
    best, regret = (tied / tied.sum(axis=1, keepdims=True)).mean(axis=0), (top - drawn).mean(axis=0)
    bounds, behind = np.quantile(drawn, [0.025, 0.975], axis=0), mean[0] - mean
    # As far to both sides as errors are in 95 of 100 draws: of two candidates it holds 0 if both are in the set.
    half = np.quantile(np.abs(drawn[:, :1] - drawn - behind), 0.95, axis=0, method="lower")
    return [
        Standing(
            candidate=name,
            rows=int(rows[k]),
            value=sign * float(mean[k]),
            low=float((sign * bounds[:, k]).min()),
            high=float((sign * bounds[:, k]).max()),
            behind=float(behind[k]),
            behind_low=float(behind[k] - half[k]),
            behind_high=float(behind[k] + half[k]),
            in_set=bool(inside[k]),
            p=float(p_values[k]),
            best=float(best[k]),
            regret=float(regret[k]),
        )
        for k, name in enumerate(names)
    ]


def _first(drawn: np.ndarray) -> float | None:
    """How often the first candidate is the best one, a tie shared; None if no draw has all candidates."""
    whole = drawn[np.isfinite(drawn).all(axis=1)]
    tied = whole == whole.max(axis=1, keepdims=True)
    return float((tied[:, 0] / tied.sum(axis=1)).mean()) if len(whole) else None
