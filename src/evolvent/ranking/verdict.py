"""What a ranking says, in words: never a bare winner."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from evolvent.errors import InputError
from evolvent.models.uri import parse_uri
from evolvent.ranking.measured import Measured
from evolvent.ranking.order import Order

FEW_ROWS = 100
# An order of at least so many candidates that is the order of their lengths, to this rank correlation, may be no more.
LENGTH_CANDIDATES, LENGTH_CORRELATION = 4, 0.9
# What folders of weights are called, whatever the model.
NO_FAMILY = {"checkpoint", "model", "student", "final", "merged", "output"}


def sentence(order: Order, short: Mapping[str, str]) -> str:
    """What one figure says of the candidates.

    Args:
        order: the order by it.
        short: what to call each candidate.
    """
    without = [f"{short[name]} has none: {why}" for name, why in order.without.items()]
    if not order.standings:
        return "; ".join([f"{order.figure}: no candidate has it", *without])
    first, *others = order.standings
    if not others:
        return "; ".join([f"{order.figure}: {short[first.candidate]} is the only candidate that has it", *without])
    inside = [one for one in others if one.in_set]
    n = f"n = {order.n}"
    if inside:
        names = _listed([short[one.candidate] for one in (first, *inside)])
        more = f"; {order.enough} would tell the first two apart" if others[0].in_set and order.enough else ""
        said = f"{order.figure}: {names} cannot be told apart ({n}{more})"
    else:
        said = f"{order.figure}: {short[first.candidate]} is the best ({n})"
    behind = [
        f"{short[one.candidate]} is worse by {one.behind:.3g} [{one.behind_low:.3g}, {one.behind_high:.3g}]"
        for one in others
        if not one.in_set
    ]
    return "; ".join([said, *behind, *without])


def together(orders: Sequence[Order], short: Mapping[str, str]) -> str:
    """What all figures say together, of the candidates that have all of them."""
    orders = [order for order in orders if len(order.standings) > 1]
    if not orders:
        return "there is nothing to compare: fewer than two candidates have a figure"
    everywhere = set.intersection(*({one.candidate for one in order.standings} for order in orders))
    lacking = {one.candidate for order in orders for one in order.standings} - everywhere
    names = ", ".join(sorted(short[one] for one in lacking))
    apart = f" (left out of this, for lack of a figure: {names})" if lacking else ""
    sets = [{one.candidate for one in order.standings if one.in_set} & everywhere for order in orders]
    common = set.intersection(*sets)
    if len(common) == 1 and all(len(one) == 1 for one in sets):
        return f"all {len(sets)} figures put {short[common.pop()]} first, apart from the others{apart}"
    if common:
        names = _listed(sorted(short[one] for one in common))
        return f"no figure rules out {names}; each rules out others or none{apart}"
    return f"the figures contradict each other: no candidate is among the best of all of them{apart}"


def decided(orders: Sequence[Order], short: Mapping[str, str]) -> str:
    """What a trial decides: by all its tasks, whose students learned.

    Args:
        orders: by each task.
        short: what to call each candidate.
    """
    orders = [order for order in orders if len(order.standings) > 1]
    if not orders:
        return "the trial decides nothing: by no task can two candidates be compared; figures only shortlist"
    sets = [{one.candidate for one in order.standings if one.in_set} for order in orders]
    common = sorted(short[one] for one in set.intersection(*sets))
    if not common:
        return "the trial's tasks contradict each other: no candidate is among the best of all of them"
    if len(common) == 1:
        return f"the trial decides: {common[0]}"
    found = max(order.detectable for order in orders)
    return f"the trial leaves {_listed(common)}: they cannot be told apart, a difference of {found:.2g} would be found"


def flags(
    found: Measured, orders: Sequence[Order], base_model: str, roles: Mapping[str, str | None], short: Mapping[str, str]
) -> Iterator[str]:
    """What makes a ranking less sure than its intervals.

    Args:
        found: the scores.
        orders: the orders by all figures.
        base_model: the model to be tuned.
        roles: the models that have a part in it and should be no candidates (``the judge``), as URIs.
        short: what to call each candidate.
    """
    own = family(base_model)
    same = [short[one] for one in found.candidates if own and family(one) == own]
    if same:
        words = "is" if len(same) == 1 else "are"
        yield f"{_listed(same)} {words} of the base model's family, {own}: what is likely to the model favours these"
    few = [f"{short[one]} ({n:,})" for one, n in zip(found.candidates, found.kept, strict=True) if n < FEW_ROWS]
    if few:
        yield f"fewer than {FEW_ROWS} kept rows: {', '.join(few)}"
    for role, uri in roles.items():
        if uri is not None and _plain(uri) in found.candidates:
            yield f"{role}, {short[_plain(uri)]}, is a candidate itself"
    tokens = next((name for name in found.scores if name.partition("@")[0] == "response_tokens"), None)
    if tokens is None:
        return
    lengths = dict(zip(found.candidates, np.nanmean(found.by_candidate(tokens), axis=0), strict=True))
    for order in orders:
        values = [(one.value, lengths[one.candidate]) for one in order.standings if one.candidate in lengths]
        if len(values) < LENGTH_CANDIDATES or any(len(set(side)) < 2 for side in zip(*values, strict=True)):
            continue
        correlation = float(spearmanr(*zip(*values, strict=True)).statistic)
        if abs(correlation) >= LENGTH_CORRELATION:
            longer = "longest" if (correlation > 0) != order.lower_is_better else "shortest"
            yield f"{order.figure} follows length: the {longer} answers come first (Spearman {correlation:.2f})"


def family(name: str) -> str:
    """The family of a model, as its name tells it: the letters that the last part of its name begins with."""
    last = _model_name(name).rstrip("/").rpartition("/")[2].partition(":")[0]
    found = re.match(r"(?:meta[-_])?([a-z]+)", last.lower())
    return found[1] if found and found[1] not in NO_FAMILY else ""


def _model_name(name: str) -> str:
    try:
        uri = parse_uri(name)
    except InputError:
        return name
    return uri.name or uri.scheme


def _plain(uri: str) -> str:
    """A URI as records hold it."""
    return str(parse_uri(uri))


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
