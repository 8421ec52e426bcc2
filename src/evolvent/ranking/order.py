"""The order of candidates by one figure, and how sure it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evolvent.ranking.confidence_set import model_confidence_set
from evolvent.ranking.figures import RankedBy
from evolvent.ranking.measured import Measured
from evolvent.ranking.power import items_needed, minimum_detectable_effect
from evolvent.ranking.resampling import DRAWS, bootstrap_means, means
from evolvent.ranking.training_seeds import bootstrap_students
from evolvent.words import number_of

# Sizes of the smaller samples that say how stable an order is.
NESTED = (10, 25, 50, 100, 200, 500, 1_000)
# A difference of less than one in so many standard deviations is none.
MOST_NEEDED = 1_000


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
        if self.needed is None or self.needed <= self.seeds:
            return ""
        students = math.ceil(self.students * self.needed / self.seeds)
        return f"about {self.needed:,}" + (f" items x {students:,} students" if students else "")


def order(found: Measured, figure: RankedBy, *, draws: int = DRAWS, seed: int = 0) -> Order:
    """Put candidates in order, with a bootstrap over seeds whose draws are the same for all of them."""
    values = [found.by_candidate(column) for column in figure.columns]
    rows = np.isfinite(values).all(axis=0).sum(axis=0)

    def drawn(size: int | None = None) -> np.ndarray:
        of = [bootstrap_means(one, found.seeds, size=size, draws=draws, seed=seed) for one in values]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(figure.of(*of))

    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.asarray(figure.of(*map(means, values)))
    whys = {
        name: figure.lacking if count else found.why(name, figure.columns)
        for name, count in zip(found.candidates, rows, strict=True)
    }
    return in_order(figure, whys, rows, mean, drawn, int(found.seeds.max()) + 1)


def trial_order(
    figure: RankedBy,
    candidates: Sequence[str],
    values: np.ndarray,
    lacking: Mapping[str, str],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Order:
    """Put candidates in order by their students.

    Args:
        figure: what the students were measured by.
        candidates: those that have students.
        values: what each student scores on each item, of shape [items, training seeds, candidates].
        lacking: why others are not in order.
    """
    items, students, _ = values.shape
    whys = {**dict.fromkeys(candidates, "its students have no figure"), **lacking}
    absent = [name for name in whys if name not in candidates]
    padded = np.concatenate([values, np.full((items, students, len(absent)), np.nan)], axis=2)
    return in_order(
        figure,
        {name: whys[name] for name in (*candidates, *absent)},
        np.full(len(whys), items),
        padded.mean(axis=(0, 1)),
        lambda size=None: bootstrap_students(padded, size=size, draws=draws, seed=seed),
        items,
        students=students,
    )


def in_order(
    figure: RankedBy,
    whys: Mapping[str, str],
    rows: np.ndarray,
    mean: np.ndarray,
    drawn: Callable[..., np.ndarray],
    seeds: int,
    *,
    students: int = 0,
) -> Order:
    """Candidates in order, by a figure and its draws.

    Args:
        figure: the figure.
        whys: for each candidate why it has none, if it has none.
        rows: how many rows of each have it, of shape [candidates].
        mean: the figure of each; NaN where there is none.
        drawn: given a number of seeds to draw, or none for all, draws of the figure of shape [draws, candidates].
        seeds, students: see ``Order``.
    """
    sign = -1.0 if figure.lower else 1.0
    mean, many = sign * mean, sign * drawn()
    has = np.isfinite(mean) & np.isfinite(many).all(axis=0)
    names = np.array(list(whys))
    without = {str(name): whys[name] for name in names[~has]}
    places = np.flatnonzero(has)[np.argsort(-mean[has], kind="stable")]
    if not len(places):
        return Order(figure.name, figure.lower, [], without, seeds, float("nan"), None, {}, students)
    mean, many = mean[places], many[:, places]
    inside, p_values = model_confidence_set(mean, many)
    top = many.max(axis=1, keepdims=True)
    tied = many == top
    best, regret = (tied / tied.sum(axis=1, keepdims=True)).mean(axis=0), (top - many).mean(axis=0)
    bounds, gaps = np.quantile(many, [0.025, 0.975], axis=0), np.quantile(many[:, :1] - many, [0.025, 0.975], axis=0)
    standings = [
        Standing(
            candidate=str(names[place]),
            rows=int(rows[place]),
            value=sign * float(mean[k]),
            low=float((sign * bounds[:, k]).min()),
            high=float((sign * bounds[:, k]).max()),
            behind=float(mean[0] - mean[k]),
            behind_low=float(gaps[0, k]),
            behind_high=float(gaps[1, k]),
            in_set=bool(inside[k]),
            p=float(p_values[k]),
            best=float(best[k]),
            regret=float(regret[k]),
        )
        for k, place in enumerate(places)
    ]
    detectable, needed = float("nan"), None
    if len(places) > 1:
        deviation = float((many[:, 0] - many[:, 1]).std())
        detectable = minimum_detectable_effect(deviation)
        if (mean[0] - mean[1]) * MOST_NEEDED > deviation > 0:
            needed = items_needed(mean[0] - mean[1], deviation, seeds)
    smaller = {size: sign * drawn(size)[:, places] for size in NESTED if size < seeds}
    stable = {size: share for size, one in smaller.items() if (share := _first(one)) is not None}
    return Order(figure.name, figure.lower, standings, without, seeds, detectable, needed, stable, students)


def _first(drawn: np.ndarray) -> float | None:
    """How often the first candidate is the best one, a tie shared; None if no draw has all candidates."""
    whole = drawn[np.isfinite(drawn).all(axis=1)]
    tied = whole == whole.max(axis=1, keepdims=True)
    return float((tied[:, 0] / tied.sum(axis=1)).mean()) if len(whole) else None
