"""A ranking as tables, a row a candidate, and its verdict in sentences."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from evolvent.models.short_names import short_names
from evolvent.report.tables import Table

if TYPE_CHECKING:
    from evolvent.ranking.order import Order
    from evolvent.ranking.result import BaseRanking, Ranked, Tried
    from evolvent.ranking.validate import Foretold, Validation


def ranking_tables(found: "Ranked") -> Iterator[Table]:
    """The tables of a ranking: what became of each candidate's rows and what it took, then the figures a base model."""
    short, notes = short_names(found.candidates)
    stages = dict.fromkeys(what for of in found.fates.values() for what in of)
    took = [name for name in ("calls", "tokens in", "tokens out", "seconds", "cost") if _any(found, name)]
    rows = [
        (
            short[name],
            *(f"{found.fates[name].get(what, 0):,}" for what in stages),
            *(
                f"{found.costs[name][what]:,.4g}" if what == "cost" else f"{found.costs[name][what]:,.0f}"
                for what in took
            ),
            *_cost_of_a_thousand(found, name, "cost" in took),
        )
        for name in found.candidates
    ]
    per = ("cost of 1,000 kept rows",) if "cost" in took else ()
    ended = tuple(f"{short[name]} ended: {why}" for name, why in found.ended.items())
    yield Table("candidates", ("", *stages, *took, *per), rows, (*ended, *notes))
    for ranking in found.rankings:
        yield _figures(ranking, short)
        yield from _described(ranking, short)
        if ranking.trial is not None:
            yield _trial(ranking.trial, ranking.base_model, short)
    for one in found.foretold:
        yield validation_table(one, f"figures against {one.source}")


def verdicts(found: "Ranked") -> Iterator[str]:
    """What the rankings say, base model by base model, and where these disagree."""
    for ranking in found.rankings:
        yield f"\nfor {ranking.base_model}:"
        yield from (f"  {line}" for line in ranking.verdict.lines)
        yield from (f"  note: {line}" for line in ranking.flags)
    sets: dict[str, list[set[str]]] = {}
    for ranking in found.rankings:
        for order in ranking.orders:
            if len(order.standings) > 1:
                sets.setdefault(order.figure, []).append({one.candidate for one in order.standings if one.in_set})
    differ = [name for name, bests in sets.items() if len(bests) > 1 and not set.intersection(*bests)]
    if differ:
        yield f"\nno candidate may be the best for all base models by {', '.join(differ)}"
    compared = any(order.students and len(order.standings) > 1 for one in found.rankings for order in one.orders)
    if any(one.trial for one in found.rankings):
        decides = "the trial decides" if compared else "and the trial decides nothing"
    else:
        decides = "a trial training decides: --trial"
    yield f"\nplanned in {found.plan}; figures shortlist, {decides}"


def _trial(found: "Tried", base_model: str, short: dict[str, str]) -> Table:
    """What the students of each candidate learned, and how far the training seeds agree."""
    rows = [
        (
            short[name],
            f"{one.steps:,}",
            f"{one.fall:.3g} [{one.fall_low:.3g}, {one.fall_high:.3g}]",
            f"{one.change:+.3g} [{one.change_low:+.3g}, {one.change_high:+.3g}]",
            "no" if one.lacking else "yes",
        )
        for name, one in found.learned.items()
    ]
    heads = ("", "steps", "training loss fell by [95 %]", "loss on held-out rows [95 %]", "sufficient")
    notes = [f"each student was trained on {found.rows:,} rows; held-out losses are differences to the base model's"]
    for task, seeds in found.agreement.items():
        if not math.isnan(seeds.spearman):
            agree = f"to Spearman {seeds.spearman:.2f} (tau-b {seeds.kendall:.2f})"
            notes.append(f"{task}: two training seeds agree on the order of candidates {agree}")
        notes.append(f"{task}: students of one candidate differ by {seeds.deviation:.3g} (standard deviation)")
    notes += [
        f"{task}: {count:,} items left out, on which a student has no verdict"
        for task, count in found.without_verdict.items()
        if count
    ]
    return Table(f"trial of {base_model}", heads, rows, tuple(notes))


def _figures(ranking: "BaseRanking", short: dict[str, str]) -> Table:
    rows = [row for order in ranking.orders for row in _rows(order, short)]
    heads = (
        "figure",
        "candidate",
        "rows",
        "value [95 %]",
        "behind the first [95 %]",
        "may be the best",
        "P(best)",
        "regret",
    )
    below = ["may be the best: of all candidates together, in 95 of 100 rankings; an interval is of two alone"]
    below += [line for order in ranking.orders for line in _notes(order, short)]
    return Table(f"candidates for {ranking.base_model}", heads, rows, tuple(below))


def _described(ranking: "BaseRanking", short: dict[str, str]) -> Iterator[Table]:
    """Means that put no candidate before another, and CAR's order as beta grows."""
    if ranking.means:
        candidates = dict.fromkeys(name for of in ranking.means.values() for name in of)
        rows = [(short[one], *(_mean(of.get(one)) for of in ranking.means.values())) for one in candidates]
        title = f"answers, as {ranking.base_model} reads them: means that put nobody first"
        yield Table(title, ("", *ranking.means), rows)
    if ranking.sweep:
        orders = [
            ("" if place else name, beta, ", ".join(short[one] for one in of) or "none has it")
            for name, by_beta in ranking.sweep.items()
            for place, (beta, of) in enumerate(by_beta.items())
        ]
        yield Table(f"CAR for {ranking.base_model}, by beta", ("figure", "beta", "the best first"), orders)


def _mean(value: float | None) -> str:
    return "none" if value is None else f"{value:,.4g}"


def _rows(order: "Order", short: dict[str, str]) -> Iterator[tuple[str, ...]]:
    side = "low is good" if order.lower_is_better else "high is good"
    for number, one in enumerate(order.standings):
        yield (
            "" if number else f"{order.figure} ({side})",
            short[one.candidate],
            f"{one.rows:,}",
            f"{one.value:.4g} [{one.low:.4g}, {one.high:.4g}]",
            f"{one.behind:.3g} [{one.behind_low:.3g}, {one.behind_high:.3g}]" if number else "",
            "yes" if one.in_set else "no",
            f"{one.best:.2f}",
            f"{one.regret:.3g}",
        )
    for name in order.without:
        yield ("" if order.standings else f"{order.figure} ({side})", short[name], "none", *[""] * 5)


def _notes(order: "Order", short: dict[str, str]) -> Iterator[str]:
    """Who has no such figure, what so many seeds can show of it, and how stable its first is in smaller samples."""
    unit = "item" if order.students else "seed"
    for name, why in order.without.items():
        yield f"{order.figure}: {short[name]} has none: {why}"
    if len(order.standings) < 2:
        return
    if not order.detectable:
        yield f"{order.figure}: the first two are the same on every {unit}"
        return
    shares = ", ".join(f"{share:.0%} of those of {size:,}" for size, share in order.stable.items())
    stable = f"; of smaller samples of {unit}s the same candidate is first in {shares}" if shares else ""
    yield (
        f"{order.figure}: with {order.n} a true difference of {order.detectable:.3g} of the first two "
        f"would be found in four of five cases{stable}"
    )


def _any(found: "Ranked", what: str) -> bool:
    return any(of[what] for of in found.costs.values())


def _cost_of_a_thousand(found: "Ranked", name: str, priced: bool) -> Iterator[str]:
    """What a thousand rows cost that were kept to the end of the candidate's own stages."""
    if priced:
        stages = {what: n for what, n in found.fates[name].items() if what.endswith(": ok")}
        kept = min((n for what, n in stages.items() if not what.startswith("score")), default=0)
        yield f"{1_000 * found.costs[name]['cost'] / kept:,.4g}" if kept else "none kept"


def validation_table(found: "Validation", title: str = "figures against measured performance") -> Table:
    """How well figures have foretold performance, the best first."""
    models = list(found.foretold[0].by_base_model)
    heads = ("figure", *models, "mean Spearman [95 %]", "mean tau-b", "mean regret", "may be the best")
    rows = [
        (
            one.figure,
            *("none" if math.isnan(rho := one.by_base_model[name]) else f"{rho:.3f}" for name in models),
            *_over_models(one),
        )
        for one in found.foretold
    ]
    below = [
        found.source,
        f"in brackets the 95 % interval of the mean over {found.candidates} candidates drawn again",
        f"regret: by how much the candidate that comes first is worse than the best; {found.chance:.2f} by chance",
        "may be the best: of all figures together, in 95 of 100 samples of candidates",
    ]
    if not math.isnan(found.lead):
        names = [one.figure for one in found.foretold[:2]]
        interval = f"[{found.lead_low:.2f}, {found.lead_high:.2f}]"
        below.append(f"{names[0]} is ahead of {names[1]} by {found.lead:.3f} {interval}, of these two alone")
    below += [f"{one.figure} has none: {one.lacking}" for one in found.foretold if one.lacking]
    return Table(title, heads, rows, tuple(below))


def _over_models(one: "Foretold") -> tuple[str, ...]:
    """What a figure comes to over all base models."""
    if one.lacking:
        return ("none", "", "", "")
    interval = f"{one.mean:.3f} [{one.low:.2f}, {one.high:.2f}]"
    return (interval, f"{one.kendall:.3f}", f"{one.regret:.2f}", "yes" if one.in_set else "no")
