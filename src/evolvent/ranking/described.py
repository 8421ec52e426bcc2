"""What is said of candidates beside their figures: means that have no better side, and CAR's order as beta grows."""

from collections.abc import Mapping, Sequence

import numpy as np

from evolvent.metrics.car import SWEEP
from evolvent.ranking.figures import figures
from evolvent.ranking.measured import Measured
from evolvent.ranking.resampling import means

# CAR's other part, perplexity and length: by none of them alone is a candidate better.
COLUMNS = ("response_loss", "conditional_ppl", "response_tokens")


def described(found: Measured) -> dict[str, dict[str, float]]:
    """By column the mean of each candidate that has it."""
    return {name: _by_name(found, means(found.by_candidate(name))) for name in COLUMNS if name in found.scores}


def car_sweep(found: Measured, shifts: Mapping[str, float]) -> dict[str, dict[str, Sequence[str]]]:
    """By figure and beta the candidates that have a CAR, the best first.

    Args:
        found: the scores.
        shifts: as ``figures`` takes them.
    """
    orders: dict[str, dict[str, Sequence[str]]] = {}
    for beta in SWEEP:
        for figure in figures(found.scores, beta, evolved=False, shifts=shifts):
            if figure.name.startswith("car("):
                of = _by_name(found, figure.of(*(means(found.by_candidate(one)) for one in figure.columns)))
                orders.setdefault(figure.name, {})[f"{beta:g}"] = sorted(of, key=lambda name: -of[name])
    return orders


def _by_name(found: Measured, values: np.ndarray) -> dict[str, float]:
    return {name: float(one) for name, one in zip(found.candidates, values, strict=True) if np.isfinite(one)}
