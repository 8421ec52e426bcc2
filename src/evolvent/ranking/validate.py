"""How well figures have foretold measured performance: of students that were tuned on each candidate's data.

A file of measurements is JSON: ``candidates``, and for each of ``base_models`` its ``performance`` and the candidates'
mean scores, by the names that score gives them, or any other; ``every`` holds those that are the same for all base
models, ``lower`` names further ones of which low is good.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from scipy.stats import rankdata

from evolvent.errors import InputError
from evolvent.metrics.all_metrics import columns_by_name
from evolvent.options import implements
from evolvent.parse_errors import json_error
from evolvent.ranking.agreement import Agreement, agreement
from evolvent.ranking.candidates import TRIAL
from evolvent.ranking.confidence_set import model_confidence_set
from evolvent.ranking.figures import LOWER, RankedBy, figures, itself
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
        in_set: whether it is in the model confidence set of all figures: cannot be told apart from the best one.
        lacking: why it has no correlation; empty if it has one.
    """

    figure: str
    by_base_model: Mapping[str, float]
    mean: float
    low: float
    high: float
    kendall: float
    regret: float
    in_set: bool = False
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """What a file of measurements says of figures.

    Attributes:
        source: where the measurements are from.
        candidates: how many there are.
        foretold: the figures, the best first.
        lead: by how much the mean of the first is higher than the second's; ``lead_low``, ``lead_high``: its 95 %
            interval, paired, of these two alone; NaN where no two have one.
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
        lacking = _lacking(of, performances)
        single = {
            name: agreement(of[name], truth) if np.isfinite(of[name]).all() else _NONE
            for name, truth in performances.items()
        }
        of_draws = np.mean([_spearman(of[name], truth, drawn) for name, truth in performances.items()], axis=0)
        low, high = (float("nan"), float("nan")) if lacking else _interval(of_draws)
        foretold = Foretold(
            figure,
            {name: one.spearman for name, one in single.items()},
            float(np.mean([one.spearman for one in single.values()])),
            low,
            high,
            float(np.mean([one.kendall for one in single.values()])),
            float(np.mean([one.regret for one in single.values()])),
            lacking=lacking,
        )
        found.append((foretold, of_draws))
    found.sort(key=lambda one: (math.isnan(one[0].mean), -one[0].mean))
    compared = [one for one in found if not one[0].lacking]
    lead = lead_low = lead_high = float("nan")
    if len(compared) > 1:
        (first, of_first), (second, of_second), *_ = compared
        lead, (lead_low, lead_high) = first.mean - second.mean, _interval(of_first - of_second)
    return Validation(
        source=source,
        candidates=n,
        foretold=[*_in_set(compared), *(foretold for foretold, _ in found if foretold.lacking)],
        lead=lead,
        lead_low=lead_low,
        lead_high=lead_high,
        chance=float(np.mean([truth.max() - truth.mean() for truth in performances.values()])),
    )


_NONE = Agreement(float("nan"), float("nan"), float("nan"))


def _lacking(values: Mapping[str, np.ndarray], performances: Mapping[str, np.ndarray]) -> str:
    """Why a figure has no correlation with performance."""
    for name, truth in performances.items():
        if not np.isfinite(values[name]).all():
            return f"not every candidate has it for {name} (a reward below 0 gives no CAR)"
        if not np.ptp(values[name]) or not np.ptp(truth):
            return f"it, or the performance, is the same of all candidates for {name}"
    return ""


def _in_set(compared: Sequence[tuple[Foretold, np.ndarray]]) -> Iterator[Foretold]:
    """Figures with whether they may be the best one, of all together: one alone is no finding where many were tried."""
    if not compared:
        return
    of_draws = np.stack([draws for _, draws in compared], axis=1)
    whole = of_draws[np.isfinite(of_draws).all(axis=1)]
    inside, _ = model_confidence_set(np.array([foretold.mean for foretold, _ in compared]), whole)
    for (foretold, _), one in zip(compared, inside, strict=True):
        yield replace(foretold, in_set=bool(one))


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
        shared = [
            name
            for name in next(iter(named.values()))
            if not name.startswith(f"{TRIAL}:")
            and all(set(candidates) <= set(named[base].get(name, ())) for base in truths)
        ]
        values = {
            name: {base: np.array([named[base][name][one] for one in candidates]) for base in truths} for name in shared
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
    return [*made, *(RankedBy(name, (name,), itself, lower=name in lower) for name in others)]


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
        if PERFORMANCE in content.get("lower", ()):
            wrong.append(f"lower names {PERFORMANCE}, of which high is good: give it with its sign changed")
        wrong += [f"{base} has no {PERFORMANCE}" for base, of in columns.items() if PERFORMANCE not in of]
        differ = {frozenset(of) for of in columns.values()}
    except orjson.JSONDecodeError as error:
        raise InputError(f"{name} is not JSON: {json_error(error)}", fix=FORM) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{name} holds no measurements: {error!r}", fix=FORM) from error
    if n < FEWEST or not columns:
        raise InputError(f"{name}: candidates: {n}, base models: {len(columns)}", fix="Three and one at the least.")
    if wrong or len(differ) > 1:
        raise InputError(f"{name}: " + ("; ".join(wrong) or "not all base models have the same columns"), fix=FORM)
    return dict(content)


FORM = (
    '{"candidates": ["a", "b", "c"], "base_models": {"NAME": {"performance": [1, 2, 3], "grape": [-1, -2, -3]}}}: '
    "as many values as candidates, and the same columns for every base model."
)
