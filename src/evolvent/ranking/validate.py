"""How well figures have foretold measured performance: of students that were tuned on each candidate's data.

A file of measurements is JSON: ``candidates``, and for each of ``base_models`` its ``performance`` and the candidates'
mean scores, by the names that score gives them, or any other; ``every`` holds those that are the same for all base
models, ``lower`` names further ones of which low is good.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from scipy.stats import rankdata

from evolvent.errors import InputError
from evolvent.metrics.all_metrics import columns_by_name
from evolvent.options import implements
from evolvent.ranking.agreement import agreement
from evolvent.ranking.candidates import TRIAL
from evolvent.ranking.figures import LOWER, RankedBy, figures
from evolvent.ranking.options import RANK_VALIDATE, Validating
from evolvent.ranking.order import Order
from evolvent.storage_errors import explained

PERFORMANCE = "performance"
# Fewer candidates have no order to speak of.
FEWEST = 3
TRIAL_DRAWS = 2_000
PUBLISHED = {path.name.removesuffix(".json") for path in (files("evolvent") / "ranking/published").iterdir()}


@dataclass(frozen=True, slots=True)
class Foretold:
    """How well one figure foretells performance.

    Attributes:
        figure: its name.
        by_base_model: for each base model the rank correlation (Spearman) with performance.
        mean: their mean; ``low``, ``high``: its 95 % interval, candidates drawn again, the same for all base models.
        kendall: the mean of Kendall's tau-b.
        regret: by how much the candidate that the figure puts first is worse than the best one, the mean.
    """

    figure: str
    by_base_model: Mapping[str, float]
    mean: float
    low: float
    high: float
    kendall: float
    regret: float


@dataclass(frozen=True, slots=True)
class Validation:
    """What a file of measurements says of figures.

    Attributes:
        source: where the measurements are from.
        candidates: how many there are.
        foretold: the figures, the best first.
        lead: by how much the mean of the first is higher than the second's; ``lead_low``, ``lead_high``: its 95 %
            interval, paired.
        chance: the regret of a candidate that is drawn.
    """

    source: str
    candidates: int
    foretold: Sequence[Foretold]
    lead: float
    lead_low: float
    lead_high: float
    chance: float


@implements(RANK_VALIDATE)
def rank_validate(measurements: str | Path, *, given: Validating) -> Validation:
    """Compare figures with the measured performance of students, for each base model.

    Returns:
        The figures, the best first.

    Raises:
        InputError: there is no such file, or it is none of this form.
    """
    content = _read(measurements)
    of = {name: {**content.get("every", {}), **one} for name, one in content["base_models"].items()}
    values = {
        figure.name: {name: _value(figure, one) for name, one in of.items()} for figure in _figures(content, given.beta)
    }
    performances = {name: np.array(one[PERFORMANCE], float) for name, one in of.items()}
    return validated(content.get("source", str(measurements)), values, performances, given.draws)


def validated(
    source: str, values: Mapping[str, Mapping[str, np.ndarray]], performances: Mapping[str, np.ndarray], draws: int
) -> Validation:
    """Compare figures with performance.

    Args:
        source: where they are from.
        values: by figure and base model a value a candidate, the higher the better.
        performances: by base model the performance of each candidate.
        draws: how often candidates are drawn again.
    """
    n = len(next(iter(performances.values())))
    drawn = np.random.default_rng(0).integers(n, size=(draws, n))
    found: list[tuple[Foretold, np.ndarray]] = []
    for figure, of in values.items():
        single = {name: agreement(of[name], truth) for name, truth in performances.items()}
        of_draws = np.mean([_spearman(of[name], truth, drawn) for name, truth in performances.items()], axis=0)
        low, high = _interval(of_draws)
        foretold = Foretold(
            figure,
            {name: one.spearman for name, one in single.items()},
            float(np.mean([one.spearman for one in single.values()])),
            low,
            high,
            float(np.mean([one.kendall for one in single.values()])),
            float(np.mean([one.regret for one in single.values()])),
        )
        found.append((foretold, of_draws))
    found.sort(key=lambda one: (math.isnan(one[0].mean), -one[0].mean))
    compared = [one for one in found if not math.isnan(one[0].mean)][:2]
    lead = lead_low = lead_high = float("nan")
    if len(compared) == 2:
        (first, of_first), (second, of_second) = compared
        lead, (lead_low, lead_high) = first.mean - second.mean, _interval(of_first - of_second)
    return Validation(
        source=source,
        candidates=n,
        foretold=[foretold for foretold, _ in found],
        lead=lead,
        lead_low=lead_low,
        lead_high=lead_high,
        chance=float(np.mean([truth.max() - truth.mean() for truth in performances.values()])),
    )


def against_trials(orders: Mapping[str, Sequence[Order]], tasks: Sequence[str]) -> list[Validation]:
    """How far the orders of figures agree with those of a trial, task by task: figures that all candidates have.

    Args:
        orders: by base model all orders, the trial's among them.
        tasks: the trial's.
    """
    found = []
    for task in tasks:
        named = {base: {order.figure: order.goodness for order in of} for base, of in orders.items()}
        truths = {base: of[f"{TRIAL}:{task}"] for base, of in named.items() if of.get(f"{TRIAL}:{task}")}
        if not truths:
            continue
        candidates = [one for one in next(iter(truths.values())) if all(one in truth for truth in truths.values())]
        if len(candidates) < FEWEST:
            continue
        figures = [
            name
            for name in next(iter(named.values()))
            if not name.startswith(f"{TRIAL}:")
            and all(set(candidates) <= set(named[base].get(name, ())) for base in truths)
        ]
        values = {
            name: {base: np.array([named[base][name][one] for one in candidates]) for base in truths}
            for name in figures
        }
        performances = {base: np.array([truth[one] for one in candidates]) for base, truth in truths.items()}
        if values:
            found.append(validated(f"the trial's order by {task}", values, performances, TRIAL_DRAWS))
    return found


def _figures(content: Mapping[str, Any], beta: float) -> list[RankedBy]:
    """The figures that the scores in a file give, and each column that is none of them by itself."""
    columns = {name for of in content["base_models"].values() for name in (*of, *content.get("every", {}))}
    made = figures(columns, beta, evolved=False)
    known = columns_by_name()
    lower = {"response_rank", *LOWER, *content.get("lower", ())}
    lower |= {name for name in columns if name in known and known[name].better == "lower"}
    others = sorted(columns - {PERFORMANCE} - {figure.name for figure in made})
    return [*made, *(RankedBy(name, (name,), lambda mean: mean, lower=name in lower) for name in others)]


def _interval(draws: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of draws; NaN where none has a value."""
    there = draws[np.isfinite(draws)]
    if not len(there):
        return float("nan"), float("nan")
    low, high = np.quantile(there, [0.025, 0.975])
    return float(low), float(high)


def _value(figure: RankedBy, of: Mapping[str, Sequence[float]]) -> np.ndarray:
    """A figure of each candidate, the higher the better."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.asarray(figure.of(*(np.array(of[column], float) for column in figure.columns)), float)
    return -value if figure.lower else value


def _spearman(values: np.ndarray, performance: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Rank correlations over candidates drawn again, of shape [draws]; NaN where either side is constant."""
    sides = [rankdata(side[drawn], axis=1) for side in (values, performance)]
    ours, theirs = (side - side.mean(axis=1, keepdims=True) for side in sides)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = (ours * theirs).sum(axis=1) / np.sqrt((ours**2).sum(axis=1) * (theirs**2).sum(axis=1))
    return found


def _read(measurements: str | Path) -> dict[str, Any]:
    """A file of measurements, or one that ships, by its name.

    Raises:
        InputError: there is none, or it lacks something.
    """
    name = str(measurements)
    if name in PUBLISHED:
        raw = (files("evolvent") / "ranking/published" / f"{name}.json").read_bytes()
    else:
        if not Path(name).is_file():
            raise InputError(
                f"there are no measurements {name}", fix=f"Name a JSON file, or: {', '.join(sorted(PUBLISHED))}."
            )
        with explained(Path(name), "read"):
            raw = Path(name).read_bytes()
    try:
        content = orjson.loads(raw)
        n = len(content["candidates"])
        columns = {**{name: {**content.get("every", {}), **of} for name, of in content["base_models"].items()}}
        wrong = [
            f"{base}: {column} has {len(values)} values for {n} candidates"
            for base, of in columns.items()
            for column, values in of.items()
            if len(values) != n
        ]
        wrong += [
            f"{base}: {column} holds {value!r}, which is no number"
            for base, of in columns.items()
            for column, values in of.items()
            for value in values
            if isinstance(value, bool) or not isinstance(value, int | float)
        ]
        wrong += [f"{base} has {PERFORMANCE} alone" for base, of in columns.items() if set(of) == {PERFORMANCE}]
        unknown = set(content.get("lower", ())) - {column for of in columns.values() for column in of}
        wrong += [f"lower names {name}, which is no column" for name in sorted(unknown)]
        wrong += [f"{base} has no {PERFORMANCE}" for base, of in columns.items() if PERFORMANCE not in of]
        differ = {frozenset(of) for of in columns.values()}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{name} holds no measurements: {error!r}", fix=FORM) from error
    if n < FEWEST or not columns:
        raise InputError(f"{name} has {n} candidates and {len(columns)} base models", fix="Three and one at the least.")
    if wrong or len(differ) > 1:
        raise InputError(f"{name}: " + ("; ".join(wrong) or "not all base models have the same columns"), fix=FORM)
    return dict(content)


FORM = (
    '{"candidates": ["a", "b", "c"], "base_models": {"NAME": {"performance": [1, 2, 3], "grape": [-1, -2, -3]}}}: '
    "as many values as candidates, and the same columns for every base model."
)
