"""What a ranking says, in words: never a bare winner."""

import math
from collections.abc import Iterator, Mapping, Sequence

from scipy.stats import spearmanr

from evolvent.errors import InputError
from evolvent.models.uri import parse_uri
from evolvent.ranking.figures import OF_LIKELIHOOD
from evolvent.ranking.measured import Measured
from evolvent.ranking.order import Order, Standing
from evolvent.ranking.resampling import means
from evolvent.ranking.result import RankingVerdict

FEW_ROWS = 100
# An order of at least so many candidates that is the order of their lengths, to this rank correlation, may be no more.
LENGTH_CANDIDATES, LENGTH_CORRELATION = 4, 0.9
# What families of models are called in names, CodeLlama and DeepSeek-R1-Distill-Qwen (of two) among them.
FAMILIES = (
    *("baichuan", "deepseek", "embedded", "falcon", "gemma", "glm", "gpt-oss", "gpt2", "granite", "internlm", "llama"),
    *(
        "minicpm",
        "ministral",
        "mistral",
        "mixtral",
        "nemotron",
        "olmo",
        "phi-",
        "phi3",
        "phi4",
        "pythia",
        "qwen",
        "qwq",
    ),
    *("smollm", "starcoder", "vicuna"),
)
SAME_FAMILY = {"ministral": "mistral", "mixtral": "mistral", "phi-": "phi", "phi3": "phi", "phi4": "phi", "qwq": "qwen"}


def verdict_of(orders: Sequence[Order], short: Mapping[str, str], *, trial: bool) -> RankingVerdict:
    """What orders say.

    Args:
        orders: by each figure, and by each task of a trial.
        short: what to call each candidate.
        trial: whether there was a trial.
    """
    figures, tasks = ([one for one in orders if bool(one.students) is of_trial] for of_trial in (False, True))
    return RankingVerdict(
        {one.figure: sentence(one, short) for one in figures},
        together(figures, short),
        _left(figures),
        {one.figure: sentence(one, short) for one in tasks},
        decided(tasks, short) if trial else None,
        _left(tasks),
    )


def _left(orders: Sequence[Order]) -> list[str] | None:
    """The candidates that all orders have and none rules out; None if none compares two candidates."""
    sets = [{one.candidate for one in order.standings if one.in_set} for order in _comparing(orders)]
    return sorted(set.intersection(*sets)) if sets else None


def _comparing(orders: Sequence[Order]) -> list[Order]:
    return [order for order in orders if len(order.standings) > 1]


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
    n = f"n = {order.n}{_rows(order)}"
    if inside:
        names = _listed([short[one.candidate] for one in (first, *inside)])
        more = f"; {order.enough} would tell the first two apart" if others[0].in_set and order.enough else ""
        found = f"{order.figure}: {names} cannot be told apart ({n}{more})"
    else:
        found = f"{order.figure}: {short[first.candidate]} is the best ({n})"
    return "; ".join([found, *(_worse(one, first, short) for one in others if not one.in_set), *without])


def _rows(order: Order) -> str:
    """How many rows each candidate has, where some have none of some seeds; and whether they share any."""
    rows = [one.rows for one in order.standings]
    if min(rows) >= order.seeds:
        return ""
    none = ", none shared" if order.shared == 0 else ""
    return f"{none}, {min(rows):,}{f' to {max(rows):,}' if max(rows) > min(rows) else ''} rows each"


def _worse(one: Standing, first: Standing, short: Mapping[str, str]) -> str:
    """By how much a candidate is worse that is not in the set: than the first, if by the comparison of the two it is.

    It may have been eliminated by another one, whose scores vary less.
    """
    name, apart = short[one.candidate], f"{one.behind:.3g} [{one.behind_low:.3g}, {one.behind_high:.3g}]"
    if one.behind_low > 0 or one.behind_low == one.behind_high:
        return f"{name} is worse by {apart}"
    return f"{name} is worse than another one (behind {short[first.candidate]} by {apart})"


def together(orders: Sequence[Order], short: Mapping[str, str]) -> str:
    """What all figures say together: whom none of them rules out.

    Args:
        orders: by each figure; of those that fewer than two candidates have nothing is said.
        short: what to call each candidate.
    """
    orders = _comparing(orders)
    if not orders:
        return "there is nothing to compare: fewer than two candidates have a figure"
    candidates = sorted(
        {one for order in orders for one in (*order.without, *order.goodness)}, key=lambda one: short[one]
    )
    ruled_out = {one.candidate for order in orders for one in order.standings if not one.in_set}
    lacking = {one for order in orders for one in order.without}
    left = [short[one] for one in candidates if one not in ruled_out | lacking]
    unsaid = [short[one] for one in candidates if one in lacking - ruled_out]
    out = [short[one] for one in candidates if one in ruled_out]
    are_out = f"; {_listed(out)} {'is' if len(out) == 1 else 'are'} ruled out" if out else ""
    if not left and not unsaid:
        return "the figures contradict each other: each candidate is ruled out by one of them"
    if not left:
        lacks = "it lacks" if len(unsaid) == 1 else "each lacks"
        return f"no figure rules out {_listed(unsaid)}, but {lacks} one{are_out}"
    for_lack = f"; {_listed(unsaid)} cannot be judged so, for lack of a figure" if unsaid else ""
    by = f"by all {len(orders)} figures" if len(orders) > 1 else f"by the only figure, {orders[0].figure}"
    if not ruled_out:
        return f"{by}: {_listed(left)} cannot be told apart{for_lack}"
    if len(left) == 1 and all(not one.in_set for order in orders for one in order.standings[1:]):
        return f"{by}: {left[0]} is the best{for_lack}"
    return f"no figure rules out {_listed(left)}{are_out}{for_lack}"


def decided(orders: Sequence[Order], short: Mapping[str, str]) -> str:
    """What a trial decides: by all its tasks, whose students learned.

    Args:
        orders: by each task.
        short: what to call each candidate.
    """
    orders = _comparing(orders)
    if not orders:
        return "the trial decides nothing: by no task can two candidates be compared; figures only shortlist"
    common = sorted(short[one] for one in _left(orders) or ())
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
    own = families(base_model)
    same = [short[one] for one in found.candidates if own & families(one)]
    if same and any(order.figure in OF_LIKELIHOOD for order in orders):
        shared = _listed(sorted(own & {one for name in found.candidates for one in families(name)}))
        words = "is" if len(same) == 1 else "are"
        yield f"{_listed(same)} {words} of the base model's family, {shared}: what is likely to the model favours these"
    few = [f"{short[one]} ({n:,})" for one, n in zip(found.candidates, found.kept, strict=True) if n < FEW_ROWS]
    if few:
        yield f"fewer than {FEW_ROWS} kept rows: {', '.join(few)}"
    for role, uri in roles.items():
        if uri is not None and _plain(uri) in found.candidates:
            yield f"{role}, {short[_plain(uri)]}, is a candidate itself"
    tokens = next((name for name in found.scores if name.partition("@")[0] == "response_tokens"), None)
    if tokens is None:
        return
    lengths = dict(zip(found.candidates, means(found.by_candidate(tokens)), strict=True))
    for order in orders:
        values = [
            (one.value, length)
            for one in order.standings
            if math.isfinite(length := lengths.get(one.candidate, float("nan")))
        ]
        if len(values) < LENGTH_CANDIDATES or any(len(set(side)) < 2 for side in zip(*values, strict=True)):
            continue
        correlation = float(spearmanr(*zip(*values, strict=True)).statistic)
        if abs(correlation) >= LENGTH_CORRELATION:
            longer = "longest" if (correlation > 0) != order.lower_is_better else "shortest"
            yield f"{order.figure} follows length: the {longer} answers come first (Spearman {correlation:.2f})"


def families(name: str) -> set[str]:
    """The families of a model, as far as its name tells: two of one that was distilled into the other, or none."""
    last = _model_name(name).rstrip("/").rpartition("/")[2].lower()
    return {SAME_FAMILY.get(one, one) for one in FAMILIES if one in last}


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
