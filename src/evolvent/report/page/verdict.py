"""The verdict of a report: one sentence with its interval, what stands behind it, and what would change it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolvent.errors import InputError
from evolvent.evaluation.figures import figures_of
from evolvent.evaluation.paired import Difference, differences
from evolvent.evaluation.task import Unit
from evolvent.ranking.order import Order
from evolvent.ranking.result import BaseRanking
from evolvent.report.page.figures.search import history_of
from evolvent.report.page.figures.training import students
from evolvent.report.page.source import Source, Sources
from evolvent.runs.yields import yield_of
from evolvent.words import number_of

MADE = {"self-instruct": "instructions", "evolve": "evolutions", "respond": "answers", "score": "scored answers"}
# In the folder of an evaluation, that of the other model.
AGAINST = "against"
NO_INTERVAL = "(too few items for an interval)"
MORE = "four times as many rows would halve the intervals"
# Reasons that are named as what would change a verdict.
REASONS = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a report says first.

    Attributes:
        sentence: the verdict.
        behind: what it is made of, a line each.
        changes: what would change it, a line each.
    """

    sentence: str
    behind: Sequence[str]
    changes: Sequence[str]


def verdicts(sources: Sources) -> list[Verdict]:
    """The verdict of each ranking and comparison; where nothing is compared, those of what the runs have made."""
    found = [
        _of_ranking(one, several=len(ranked.rankings) > 1) for ranked in sources.rankings for one in ranked.rankings
    ]
    against = [one for run in sources.whole[1:] if (one := _against(run, sources.whole[0])) is not None]
    found += against
    if not against and not any(one.orders for ranked in sources.rankings for one in ranked.rankings):
        found += [_of_run(run, sources.runs, several=len(sources.whole) > 1) for run in sources.whole]
    return found


def _of_ranking(ranking: BaseRanking, *, several: bool) -> Verdict:
    """What a trial decides, or without one what the figures say together; behind it what each of them says."""
    figures = [order for order in ranking.orders if not order.students]
    tasks = [order for order in ranking.orders if order.students]
    *lines, found = ranking.verdict.lines
    changes = [*_needed("more seeds", figures), *_needed("more items and students", tasks), *ranking.flags]
    if figures and ranking.trial is None:
        changes.append("figures shortlist; a trial training of those that may be the best decides")
    names = f"For {ranking.base_model}: " if several else ""
    return Verdict(_capital(names + found), lines, changes)


def _needed(what: str, orders: Sequence[Order]) -> Iterator[str]:
    needed = [f"{one.enough} by {one.figure}" for one in orders if one.enough and one.standings[1].in_set]
    if needed:
        yield f"{what}: so many would tell the first two apart: {', '.join(needed)}"


def _against(run: Source, base: Source) -> Verdict | None:
    """A run's evaluation against that of the first run, on the items that both were asked."""
    found = _differences(run, base)
    if not found:
        return None
    first, *lines = map(_in_words, found)
    apart = [one for one in found if one.low is not None and (one.low > 0 or (one.high or 0) < 0)]
    changes = [] if apart else ["more items: none of these intervals is free of 0"]
    return Verdict(f"{run.name} against {base.name}: {first}", lines, changes)


def _differences(run: Source, base: Source) -> Sequence[Difference]:
    ours, theirs = run.records("evaluate"), base.records("evaluate")
    if ours is None or theirs is None:
        return []
    try:
        return differences(ours, theirs)
    except InputError:
        return []


def _in_words(one: Difference) -> str:
    given = one.low is not None and one.high is not None
    interval = f"[{_number(one.low, one.unit, '+')}, {_number(one.high, one.unit, '+')}]" if given else NO_INTERVAL
    values = f"{_value(one.ours, one.unit)} against {_value(one.theirs, one.unit)}"
    apart = f"{_number(one.difference, one.unit, '+')} points {interval} on the same {number_of(one.n, 'items')}"
    return f"{one.task}, {one.name}: {values}, {apart}" + ("" if one.p is None else f", p = {one.p:.2g}")


def _number(value: float | None, unit: Unit, sign: str = "") -> str:
    """A share in per cent, or points, as many digits as say something."""
    return f"{100 * (value or 0.0):{sign}.1f}" if unit == "%" else f"{value or 0.0:{sign}.2f}"


def _value(value: float | None, unit: Unit) -> str:
    return f"{_number(value, unit)}{'%' if unit == '%' else ''}"


def _of_run(run: Source, runs: Sequence[Source], *, several: bool) -> Verdict:
    """What came of a run and of those that lie in it: of rows, a search for a method, students, evaluations."""
    inner = [one for one in runs if one.within == run.name and one.folder.name != AGAINST]
    lines, changes = list(_made(run, runs)), list(_losses(run))
    if not lines and not inner:
        lines = [f"{stage} is {entry.state}" for stage, entry in run.entries.items()]
    for one in inner:
        more = _of_run(one, runs, several=False)
        told = (more.sentence, *more.behind)
        lines += [line if line.startswith(f"{one.name}/") else f"{one.name}: {line}" for line in told]
        changes += [f"{one.name}: {line}" for line in more.changes if line != MORE]
    if any("[" in line for line in lines):
        changes.append(MORE)
    return Verdict(f"{run.name}: {lines[0]}" if several else _capital(lines[0]), lines[1:], changes)


def _made(run: Source, runs: Sequence[Source]) -> Iterator[str]:
    against = next((one for one in runs if one.within == run.name and one.folder.name == AGAINST), None)
    yield from usable_rows(run)
    yield from _of_search(run)
    yield from _of_evaluation(run, against)
    yield from _of_training(run)


def usable_rows(run: Source) -> Iterator[str]:
    """How many of a run's rows are usable, stage by stage, each with its interval."""
    for stage, made in MADE.items():
        found = yield_of(run.entries[stage].counts) if stage in run.entries else None
        if found is not None:
            share = _share(found.usable, found.rows)
            yield f"{found.usable:,} of {found.rows:,} {made} are usable by our rules: {share}"


def _losses(run: Source) -> Iterator[str]:
    """What the commonest reasons cost, and which stages are not what they should be."""
    for stage, entry in run.entries.items():
        if entry.state != "done":
            state = "not finished" if entry.state == "running" else "stale"
            yield f"{stage} is {state}: its command brings it up to date"
        found = yield_of(entry.counts) if stage in MADE else None
        for reason, n in list(found.reasons.items())[:REASONS] if found is not None else []:
            share = (found.usable + n) / found.rows if found is not None else 0
            yield f"{stage}: {reason} cost {n:,} {'row' if n == 1 else 'rows'}; without it {share:.1%} would be usable"


def _of_search(run: Source) -> list[str]:
    history = history_of(run)
    if history is None:
        return []
    last, first = _rate(history), _rate(history["initial"])
    found = f"the method found, by {history['found_by']}, fails on {last} of the dev set's evolutions"
    if history["version"] == history["initial"]["version"]:
        return [f"no better method was found: the initial one fails on {first} of the dev set's evolutions"]
    return [f"{found}; the initial one on {first}"]


def _rate(one: Mapping[str, Any]) -> str:
    low, high = one["interval"]
    return f"{one['failure_rate']:.1%} [{low:.1%}, {high:.1%}]"


def _of_evaluation(run: Source, against: Source | None) -> list[str]:
    if against is not None and (found := _differences(run, against)):
        other = against.entries["evaluate"].settings.get("model", against.name)
        return [f"{_in_words(one)}; against {other}" for one in found]
    file = run.records("evaluate")
    return [
        f"{of.task}, {one.name}: {_value(one.value, one.unit)} "
        + (NO_INTERVAL if one.low is None else f"[{_value(one.low, one.unit)}, {_value(one.high, one.unit)}]")
        + f" of {number_of(one.n, 'items')}"
        for of in (figures_of(file) if file is not None else [])
        for one in of.figures
        if one.value is not None
    ]


def _of_training(run: Source) -> list[str]:
    return [
        f"{student}: loss {curve[0][1]:.3f} at the first step, {curve[-1][1]:.3f} at the last of {len(curve):,}"
        for student, curve in students(run)
    ]


def _share(part: int, whole: int) -> str:
    """A share with Wilson's interval."""
    from scipy.stats import binomtest

    interval = binomtest(part, whole).proportion_ci(method="wilson")
    return f"{part / whole:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _capital(text: str) -> str:
    """A sentence as it begins, unless a name of ours begins it: embedded_sums."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text
