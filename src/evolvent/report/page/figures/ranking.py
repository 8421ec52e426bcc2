"""Rankings: how far each candidate is behind the first, paired, and who may be the best by which figure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evolvent.models.short_names import short_names
from evolvent.ranking.order import Order
from evolvent.ranking.result import Tried
from evolvent.report.page.figures.figure import BAD, OK, Figure, high, name, number, plot, rounded, tips
from evolvent.report.page.source import Sources
from evolvent.words import number_of

MAY, NOT = "may be the best", "is worse than the best"
LEARNED, LACKING = "learned", "not shown to have learned"
BEHIND = "behind the first"
FATES = {"domain": [MAY, NOT], "range": [OK, BAD]}


def figures(sources: Sources) -> Iterator[Figure]:
    """The confidence sets of each ranking, and the differences by each of its figures."""
    every = [(ranked, one) for ranked in sources.rankings for one in ranked.rankings]
    bases = short_names(dict.fromkeys(one.base_model for _, one in every))[0]
    for place, (ranked, one) in enumerate(every, 1):
        short = short_names(ranked.candidates)[0]
        base, slug = (f" for {bases[one.base_model]}", f"-{place}") if len(every) > 1 else ("", "")
        orders = [order for order in one.orders if len(order.standings) > 1]
        if orders:
            yield _sets(orders, short, base, slug)
        for order in orders:
            yield _behind(order, short, base, slug)
        if one.trial is not None and one.trial.learned:
            yield _learned(one.trial, short, base, slug)


def _sets(orders: Sequence[Order], short: Mapping[str, str], base: str, slug: str) -> Figure:
    values = [
        {
            "candidate": short[one.candidate],
            "figure": order.figure,
            "fate": MAY if one.in_set else NOT,
            "best": rounded(one.best, 2),
            "shown": f"{one.best:.2f}".removesuffix(".00").replace("0.", "."),
        }
        for order in orders
        for one in order.standings
    ]
    spec = plot(
        values,
        {"mark": {"type": "rect", "stroke": "white", "strokeOpacity": 0.4}, "encoding": {"opacity": {"value": 0.85}}},
        {
            "mark": {"type": "text", "fontSize": {"expr": f"min(11, width / {2.2 * len(orders):g})"}},
            "encoding": {"text": {"field": "shown"}, "color": {"value": "white"}},
        },
        height=high(values, "candidate", 30),
        y=name("candidate", axis={"ticks": False, "domain": False}),
        x=name("figure", axis={"orient": "top", "ticks": False, "domain": False}),
        color=name("fate", scale=FATES),
        tooltip=tips("candidate", "figure", "fate", "best"),
    )
    spec["padding"] = {"left": 5, "right": 20, "top": 5, "bottom": 5}  # the last of the slanted names reaches out
    caption = (
        "The model confidence set of each figure: a candidate outside is worse than the best, in 95 of 100 rankings. "
        f"The number is how often a candidate came first when {_drawn(orders)} drawn again."
    )
    return Figure(f"confidence-set{slug}", f"Who may be the best{base}", caption, spec)


def _drawn(orders: Sequence[Order]) -> str:
    found = {bool(order.students): "items and students" if order.students else "seeds" for order in orders}
    return f"{found.get(False, found.get(True))}{', of a trial items and students,' if len(found) > 1 else ''} were"


def _learned(trial: Tried, short: Mapping[str, str], base: str, slug: str) -> Figure:
    """What students learned: the change of their loss on held-out rows of their candidate."""
    learned = {who: one for who, one in trial.learned.items() if not math.isnan(one.change)}
    values = [
        {
            "candidate": short[who],
            "change": rounded(one.change),
            "low": rounded(one.change_low),
            "high": rounded(one.change_high),
            "fall": "too few steps" if math.isnan(one.fall) else rounded(one.fall),
            "fate": LACKING if one.lacking else LEARNED,
        }
        for who, one in learned.items()
    ]
    title = "change of the loss on held-out rows, nat/token"
    who = {**_WHO, "color": name("fate", scale={"domain": [LEARNED, LACKING], "range": [OK, BAD]})}
    who["tooltip"] = tips("candidate", "change", "low", "high", "fall", "fate")
    spec = plot(
        values,
        {"data": {"values": [{}]}, "mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": _zero(title)},
        {
            "mark": {"type": "rule", "strokeWidth": 2.5},
            "encoding": {"x": number("low", title, **_PADDED), "x2": {"field": "high"}, **who},
        },
        {"mark": {"type": "point", "size": 90}, "encoding": {"x": number("change", title, **_PADDED), **who}},
        height=high(values, "candidate"),
    )
    caption = (
        f"Against the base model, over the candidate's own rows that no student saw, with 95 % intervals; each student "
        f"was trained on {number_of(trial.rows, 'rows')}."
    )
    if without := [short[one] for one in trial.learned if one not in learned]:
        caption += f" Of too few held-out rows: {', '.join(without)}."
    return Figure(f"learned{slug}", f"What the trial's students learned{base}", caption, spec)


def _behind(order: Order, short: Mapping[str, str], base: str, slug: str) -> Figure:
    values = [
        {
            "candidate": short[one.candidate],
            "behind": rounded(one.behind),
            "low": rounded(one.behind_low),
            "high": rounded(one.behind_high),
            "value": rounded(one.value),
            "fate": MAY if one.in_set else NOT,
        }
        for one in order.standings
    ]
    spec = plot(
        values,
        {"data": {"values": [{}]}, "mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": _zero(BEHIND)},
        {
            "mark": {"type": "rule", "strokeWidth": 2.5},
            "encoding": {"x": _behind_the_first("low"), "x2": {"field": "high"}, **_WHO},
        },
        {"mark": {"type": "point", "size": 90}, "encoding": {"x": _behind_the_first("behind"), **_WHO}},
        height=high(values, "candidate"),
    )
    file_name = re.sub(r"\W+", "-", order.figure).strip("-")
    side = "low" if order.lower_is_better else "high"
    wanted = order.enough and order.standings[1].in_set
    needed = f"; {order.enough} would tell the first two apart" if wanted else ""
    caption = f"{_paired(order)}, with 95 % intervals ({side} values are good){needed}."
    return Figure(f"behind-{file_name}{slug}", f"{order.figure}: behind the first{base}", caption, spec)


def _paired(order: Order) -> str:
    """What an order is of, and on how much of it its differences are paired."""
    if order.shared is None or order.shared == order.seeds:
        return f"Paired, over {order.n}"
    if not order.shared:
        return f"Over {order.n}, none of which two candidates share: not paired"
    return f"Over {order.n}, paired on the {order.shared:,} that two candidates or more share"


def _behind_the_first(field: str) -> dict[str, Any]:
    return number(field, BEHIND, **_PADDED)


def _zero(title: str) -> dict[str, Any]:
    return {"x": {"datum": 0, "type": "quantitative", "title": title}, "color": {"value": "#858b94"}}


_PADDED = {"scale": {"zero": False, "padding": 10}}
_WHO: dict[str, Any] = {
    "y": name("candidate", axis={"grid": True, "ticks": False, "domain": False}),
    "color": name("fate", scale=FATES),
    "tooltip": tips("candidate", "value", "behind", "low", "high"),
}
