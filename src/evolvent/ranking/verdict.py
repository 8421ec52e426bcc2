"""What a ranking says, in words: never a bare winner."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from evolvent.ranking.measured import Measured
from evolvent.ranking.order import Order

FEW_ROWS = 100
# An order of at least so many candidates that is the order of their lengths, to this rank correlation, may be no more.
LENGTH_CANDIDATES, LENGTH_CORRELATION = 4, 0.9


def sentence(order: Order, short: Mapping[str, str]) -> str:
    """What one figure says of the candidates.

    Args:
        order: the order by it.
        short: what to call each candidate.
    """
    first, *others = order.standings
    named = f"{order.figure.name}: "
    if not others:
        return f"{named}{short[first.candidate]} is the only candidate that has it"
    inside = [short[one.candidate] for one in others if one.in_set]
    if inside:
        more = f"; about {order.needed:,} would tell the first two apart" if order.needed else ""
        said = f"{_listed([short[first.candidate], *inside])} cannot be told apart (n = {order.seeds:,} seeds{more})"
    else:
        said = f"{short[first.candidate]} is the best (n = {order.seeds:,} seeds)"
    behind = [
        f"{short[one.candidate]} is worse by {one.behind:.3g} [{one.behind_low:.3g}, {one.behind_high:.3g}]"
        for one in others
        if not one.in_set
    ]
    return "; ".join([named + said, *behind])


def together(orders: Sequence[Order], short: Mapping[str, str]) -> str:
    """What all figures say together."""
    sets = [{one.candidate for one in order.standings if one.in_set} for order in orders if len(order.standings) > 1]
    if not sets:
        return "there is nothing to compare: fewer than two candidates have a figure"
    common = set.intersection(*sets)
    if len(common) == 1 and all(len(one) == 1 for one in sets):
        return f"all {len(sets)} figures put {short[common.pop()]} first, apart from the others"
    if common:
        return f"no figure rules out {_listed(sorted(short[one] for one in common))}; each rules out others or none"
    return "the figures contradict each other: no candidate is among the best of all of them"


def flags(
    found: Measured, orders: Sequence[Order], base_model: str, judge: str | None, short: Mapping[str, str]
) -> Iterator[str]:
    """What makes a ranking less sure than its intervals."""
    own = family(base_model)
    same = [short[one] for one in found.candidates if own and family(one) == own]
    if same:
        words = "is" if len(same) == 1 else "are"
        yield f"{_listed(same)} {words} of the base model's family, {own}: what is likely to the model favours these"
    few = [f"{short[one]} ({n:,})" for one, n in zip(found.candidates, found.kept, strict=True) if n < FEW_ROWS]
    if few:
        yield f"fewer than {FEW_ROWS} kept rows: {', '.join(few)}"
    if judge is not None and judge in found.candidates:
        yield f"the judge, {short[judge]}, is a candidate itself"
    tokens = next((name for name in found.scores if name.partition("@")[0] == "response_tokens"), None)
    if tokens is None:
        return
    lengths = dict(zip(found.candidates, np.nanmean(found.by_candidate(tokens), axis=0), strict=True))
    for order in orders:
        if len(order.standings) < LENGTH_CANDIDATES:
            continue
        values = [(one.value, lengths[one.candidate]) for one in order.standings]
        correlation = float(spearmanr(*zip(*values, strict=True)).statistic)
        if abs(correlation) >= LENGTH_CORRELATION:
            longer = "longest" if (correlation > 0) != order.figure.lower else "shortest"
            yield f"{order.figure.name} follows length: the {longer} answers come first (Spearman {correlation:.2f})"


def family(name: str) -> str:
    """The family of a model, as its name tells it: the letters that the last part of its name begins with."""
    last = re.sub(r"\?.*", "", name).rstrip("/").replace(":", "/").rpartition("/")[2]
    found = re.match(r"(?:meta[-_])?([a-z]+)", last.lower())
    return found[1] if found else ""


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
