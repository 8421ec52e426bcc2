"""The loss of a training, step by step: from the trainer's log to a note, and to a few lines of a table."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

Curve = list[tuple[int, float]]

BINS = 10


def loss_curve(log: Iterable[Mapping[str, Any]]) -> Curve:
    """The losses that a trainer has logged, as (step, loss)."""
    return [(int(entry["step"]), float(entry["loss"])) for entry in log if "loss" in entry]


def in_bins(curve: Sequence[tuple[int, float]], bins: int = BINS) -> list[tuple[int, int, float]]:
    """A curve in a few stretches of like length: first step, last step, mean loss."""
    count = min(bins, len(curve))
    borders = [len(curve) * n // count for n in range(count + 1)] if count else []
    parts = [curve[start:end] for start, end in pairwise(borders)]
    return [(part[0][0], part[-1][0], sum(loss for _, loss in part) / len(part)) for part in parts]
