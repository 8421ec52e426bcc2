"""The metrics by name. To add one: a file with a pure function of ``PairLosses``, and an entry here."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evolvent.errors import InputError
from evolvent.metrics.ic_ifd import ic_ifd
from evolvent.metrics.ifd import ifd
from evolvent.metrics.ifd_ppl import ifd_ppl
from evolvent.metrics.length import instruction_tokens, response_tokens
from evolvent.metrics.losses import PairLosses
from evolvent.metrics.perplexity import conditional_ppl, instruction_ppl, response_ppl
from evolvent.records import Score

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and what is to be known about it.

    Attributes:
        name: its name on the command line, and its column.
        function: its value for a pair; None where it does not exist.
        kind: Arrow type of its column.
        always: written whatever metrics are asked for.
    """

    name: str
    function: Callable[[PairLosses], float | int | None]
    kind: Literal["double", "int64"] = "double"
    always: bool = False


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("instruction_ppl", instruction_ppl, always=True),
        Metric("response_ppl", response_ppl, always=True),
        Metric("conditional_ppl", conditional_ppl, always=True),
        Metric("ifd", ifd),
        Metric("ic_ifd", ic_ifd),
        Metric("ifd_ppl", ifd_ppl, always=True),
        Metric("instruction_tokens", instruction_tokens, kind="int64", always=True),
        Metric("response_tokens", response_tokens, kind="int64", always=True),
    )
}

DEFAULT_METRICS = ("ifd", "ic_ifd")


def chosen(names: str | Iterable[str]) -> list[Metric]:
    """The metrics named (one name may stand alone) and those that are always written, in the order of their columns.

    Raises:
        InputError: a name that no metric has.
    """
    wanted = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(wanted - set(METRICS)):
        raise InputError(f"unknown metric {', '.join(unknown)}", fix=f"Metrics: {', '.join(METRICS)}.")
    return [metric for metric in METRICS.values() if metric.always or metric.name in wanted]


def scores_of(losses: PairLosses | str, metrics: str | Iterable[str] = DEFAULT_METRICS) -> dict[str, Score]:
    """The score columns of one pair.

    Args:
        losses: the pair's losses, or the reason why it has none.
        metrics: names of the metrics asked for.

    Returns:
        A value or None for each chosen metric, and ``score_reason``: None if every value is there, else why not.

    Raises:
        InputError: a name that no metric has.
    """
    columns = chosen(metrics)
    if isinstance(losses, str):
        return {**{metric.name: None for metric in columns}, "score_reason": losses}
    scores: dict[str, Score] = {metric.name: metric.function(losses) for metric in columns}
    absent = [name for name, value in scores.items() if value is None]
    return {**scores, "score_reason": f"no finite value for {', '.join(absent)}" if absent else None}


def score_fields(metrics: str | Iterable[str] = DEFAULT_METRICS) -> "list[pa.Field]":
    """Arrow fields of the score columns in their order: the metrics, ``base_model``, ``score_reason``.

    Raises:
        InputError: a name that no metric has.
    """
    import pyarrow as pa

    numbers = [pa.field(metric.name, pa.type_for_alias(metric.kind)) for metric in chosen(metrics)]
    return [*numbers, pa.field("base_model", pa.string()), pa.field("score_reason", pa.string())]
