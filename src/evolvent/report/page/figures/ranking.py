"""Rankings: how far each candidate is behind the first, paired, and who may be the best by which figure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evolvent.ranking.order import Order
from evolvent.report.page.figures.figure import BAD, OK, Figure, high, name, number, plot, rounded, tips
from evolvent.report.page.source import Sources
from evolvent.report.tables import short_names

MAY, NOT = "may be the best", "is worse than the best"
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
        "The number is how often a candidate came first when seeds were drawn again."
    )
    return Figure(f"confidence-set{slug}", f"Who may be the best{base}", caption, spec)


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
        {"data": {"values": [{}]}, "mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": _ZERO},
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
    caption = f"Paired, over {order.n}, with 95 % intervals ({side} values are good){needed}."
    return Figure(f"behind-{file_name}{slug}", f"{order.figure}: behind the first{base}", caption, spec)


def _behind_the_first(field: str) -> dict[str, Any]:
    return number(field, "behind the first", scale={"zero": False, "padding": 10})


_ZERO = {"x": {"datum": 0, "type": "quantitative", "title": "behind the first"}, "color": {"value": "#858b94"}}
_WHO: dict[str, Any] = {
    "y": name("candidate", axis={"grid": True, "ticks": False, "domain": False}),
    "color": name("fate", scale=FATES),
    "tooltip": tips("candidate", "value", "behind", "low", "high"),
}
