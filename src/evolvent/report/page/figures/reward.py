"""Reward against loss with the lines of equal CAR, and how CAR orders candidates as beta grows (arXiv 2411.07133).

Of a ranking they are of its own numbers: its beta, its shifts, and a figure for each base model; of runs of their
teachers, a figure for each pair of models that gave the rewards and the losses.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolvent.metrics.car import BETA, SWEEP, car
from evolvent.models.short_names import short_names
from evolvent.ranking.result import BaseRanking, Ranked
from evolvent.report.page.columns import Labels, labels, numbers
from evolvent.report.page.figures.figure import Figure, name, number, plot, rounded, tips
from evolvent.report.page.makers import Maker, makers
from evolvent.report.page.source import Source, Sources, called_in, plan_of
from evolvent.runs.record_files import score_columns

REWARDS = ("reward", "judge_score")
LOSS = "response_loss"
LINES = 5
RANKS = {"tickMinStep": 1, "format": "d", "titleAnchor": "middle"}


@dataclass(frozen=True, slots=True)
class Cars:
    """The candidates that have a CAR, for one base model and one reward.

    Attributes:
        column: the score that is the reward.
        base_model: its URI.
        beta: how much the loss counts.
        means: by candidate the mean reward, what is added to it included, and the mean loss.
        orders: by beta the candidates, the best first.
        shift: what is added to every reward.
        note: what else is to be known.
    """

    column: str
    base_model: str
    beta: float
    means: Mapping[str, tuple[float, float]]
    orders: Mapping[str, Sequence[str]]
    shift: float = 0.0
    note: str = ""


def figures(sources: Sources) -> Iterator[Figure]:
    """Both figures, where there is a CAR, and the second where two have it."""
    planned = [(ranked, plan) for ranked in sources.rankings if (plan := plan_of(ranked)) is not None]
    ours = [folder for ranked, _ in planned for folder in ranked.candidates.values()]
    others = [run for run in sources.runs if not any(run.folder.is_relative_to(folder) for folder in ours)]
    found = [
        one
        for column in REWARDS
        for one in (
            *(one for ranked, plan in planned for one in _of_ranking(ranked, column, plan)),
            *_of_runs(others, column),
        )
    ]
    bases = short_names(dict.fromkeys(one.base_model for one in found))[0]
    count = dict.fromkeys(REWARDS, 0)
    for one in found:
        count[one.column] += 1
        slug = f"{one.column}-{count[one.column]}" if count[one.column] > 1 else one.column
        yield _against(one, bases[one.base_model], slug)
        if len(one.means) > 1:
            yield _sweep(one, bases[one.base_model], slug)


def _of_ranking(ranked: Ranked, column: str, plan: Mapping[str, Any]) -> Iterator[Cars]:
    """Those of each base model, as the ranking has them."""
    short = short_names(ranked.candidates)[0]
    for ranking in ranked.rankings:
        by_figure, losses = {order.figure: order for order in ranking.orders}, ranking.means.get(LOSS, {})
        values, rewards = by_figure.get(f"car({column})"), by_figure.get(column)
        if values is None or rewards is None or not values.standings or not losses:
            continue
        beta = float(plan["beta"])
        of = {one.candidate: one.value * (1 + beta * losses[one.candidate]) for one in values.standings}
        shift = next((of[one.candidate] - one.value for one in rewards.standings if one.candidate in of), 0.0)
        without = [short[one] for one in values.without]
        yield Cars(
            column,
            ranking.base_model,
            beta,
            {short[one]: (reward, losses[one]) for one, reward in of.items()},
            _orders_of(ranking, values.figure, set(of), short),
            0.0 if abs(shift) < 1e-9 else shift,
            f" Without CAR: {', '.join(without)}." if without else "",
        )


def _orders_of(
    ranking: BaseRanking, figure: str, candidates: set[str], short: Mapping[str, str]
) -> dict[str, list[str]]:
    return {
        beta: [short[one] for one in best_first if one in candidates]
        for beta, best_first in ranking.sweep.get(figure, {}).items()
    }


def _of_runs(runs: Sequence[Source], column: str) -> Iterator[Cars]:
    """Those of the teachers of runs."""
    found: dict[tuple[Maker, Maker], dict[str, tuple[float, float]]] = {}
    for run in runs:
        for by, means in _means(run, column, several=len(runs) > 1):
            found.setdefault(by, {}).update(means)
    for (of_reward, of_loss), means in found.items():
        there = {who: (reward, loss) for who, (reward, loss) in means.items() if reward >= 0}
        if not there:
            continue
        orders = {
            f"{beta:g}": sorted(there, key=lambda who: -there[who][0] / (1 + beta * there[who][1])) for beta in SWEEP
        }
        note = f" Rewards by {of_reward.words}; losses by {of_loss.words}."
        if without := [who for who in means if who not in there]:
            note += f" Without CAR, for a mean reward below 0: {', '.join(without)}."
        yield Cars(column, of_loss.model, BETA, there, orders, note=note)


def _means(
    run: Source, column: str, *, several: bool
) -> Iterator[tuple[tuple[Maker, Maker], dict[str, tuple[float, float]]]]:
    """For each maker of rewards and of losses the mean reward and loss of each teacher's answers in a run.

    Answers of nobody, out of a data file, are the run's.
    """
    file = run.records("score")
    if file is None:
        return
    there = score_columns(file)
    made = {name: maker for name, maker in makers(run.entries["score"]).items() if name in there}
    teachers: Labels = labels(file, "teacher")
    short = short_names(teachers.texts)[0]
    called = [called_in(run, short[who], several=several) for who in teachers.texts]
    of = {plain: [name for name in made if name.partition("@")[0] == plain] for plain in (column, LOSS)}
    for of_reward in of[column]:
        for of_loss in of[LOSS]:
            rewards, losses = numbers(file, of_reward), numbers(file, of_loss)
            whole = np.isfinite(rewards) & np.isfinite(losses)
            rows = {who: (teachers.of_rows == place) & whole for place, who in [(-1, run.name), *enumerate(called)]}
            means = {who: (rewards[its].mean(), losses[its].mean()) for who, its in rows.items() if its.any()}
            yield (made[of_reward], made[of_loss]), {who: (float(r), float(loss)) for who, (r, loss) in means.items()}


def _against(found: Cars, base: str, slug: str) -> Figure:
    beta = found.beta
    points = [{"candidate": who, "reward": rounded(r), "loss": rounded(loss)} for who, (r, loss) in found.means.items()]
    losses = [loss for _, loss in found.means.values()]
    span = max(max(losses) - min(losses), 0.1)
    low, high = max(0.0, min(losses) - span / 2), max(losses) + span / 2
    best = max(reward for reward, _ in found.means.values())
    top = best + max(0.1, 0.15 * abs(best))
    worth = [value for reward, loss in found.means.values() if (value := car(reward, loss, beta)) is not None]
    ends = {
        f"{level:.3g}": (level, min(high, (top / level - 1) / beta) if beta else high)  # where it leaves the figure
        for level in np.linspace(min(worth) * 0.9, max(worth) * 1.1, LINES)
        if level > 0
    }
    lines = [
        {"car": called, "loss": rounded(loss), "reward": rounded(level * (1 + beta * loss)), "end": bool(loss == end)}
        for called, (level, end) in ends.items()
        for loss in (low, end)
        if end - low > 0.04 * (high - low)
    ]
    added = f" + {found.shift:.4g}" if found.shift else ""
    axes = {
        "x": number("loss", "mean loss of the answers, nat/token"),
        "y": number("reward", f"mean {found.column}{added}"),
    }
    spec = plot(
        points,
        {
            "data": {"values": lines},
            "mark": {"type": "line", "strokeDash": [3, 3], "opacity": 0.4, "color": "#858b94"},
            "encoding": {**axes, "detail": {"field": "car"}},
        },
        {
            "data": {"values": [line for line in lines if line["end"]]},
            "mark": {"type": "text", "align": "right", "dy": -6, "opacity": 0.7, "fontSize": 10},
            "encoding": {**axes, "text": {"field": "car"}},
        },
        {
            "mark": {"type": "point", "size": 90},
            "encoding": {
                **axes,
                "color": name("candidate"),
                "tooltip": tips("candidate", "reward", "loss"),
            },
        },
        height=260,
    )
    reward = f"({found.column}{added})" if added else found.column
    caption = f"Dashed: lines of equal CAR = {reward} / (1 + {beta:g} · loss), with its value; the upper left is best."
    return Figure(f"car-{slug}", f"CAR for {base}: {found.column} against loss", caption + found.note, spec)


def _sweep(found: Cars, base: str, slug: str) -> Figure:
    values = [
        {"candidate": who, "beta": beta, "rank": rank}
        for beta, best_first in found.orders.items()
        for rank, who in enumerate(best_first, 1)
    ]
    spec = plot(
        values,
        {"mark": {"type": "line", "strokeWidth": 2}},
        {"mark": {"type": "point"}},
        x={"field": "beta", "type": "ordinal", "sort": None, "title": "β", "axis": {"labelAngle": 0}},
        y=number("rank", "rank by CAR", scale={"reverse": True, "zero": False}, axis=RANKS),
        color=name("candidate"),
        tooltip=tips("candidate", "beta", "rank"),
    )
    caption = "β says how much the loss counts; 0 is by reward alone. Where lines cross, the choice hangs on β."
    return Figure(
        f"car-sweep-{slug}", f"CAR for {base} by {found.column}: the order as β grows", caption + found.note, spec
    )
