"""Students that were trained with several seeds: what their means might have been, and how far the seeds agree."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evolvent.ranking.agreement import agreement
from evolvent.ranking.resampling import DRAWS


def bootstrap_students(values: np.ndarray, *, size: int | None = None, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Means of candidates over items and training seeds, both drawn again: the hierarchical bootstrap.

    Items are drawn for all students at once, so that any difference of two candidates is paired by item. Training seeds
    are each candidate's own. A bootstrap of m seeds finds (m - 1) / m of their variance, a third too little for three:
    what a draw of seeds adds to the mean is widened by sqrt(m / (m - 1)).

    Args:
        values: float array of shape [items, training seeds, candidates], without NaN.
        size: how many items are drawn; as many as there are if not given.
        draws: how many.
        seed: of the draws.

    Returns:
        Float array of shape [draws, candidates].
    """
    n, m, candidates = values.shape
    rng = np.random.default_rng(seed)
    items = rng.multinomial(size or n, np.full(n, 1 / n), size=draws) / (size or n)
    of_students = (items @ values.reshape(n, -1)).reshape(draws, m, candidates)
    seeds = rng.multinomial(m, np.full(m, 1 / m), size=(draws, candidates)) / m
    widened = 1 / m + (seeds - 1 / m) * np.sqrt(m / max(1, m - 1))
    found: np.ndarray = np.einsum("dmc,dcm->dc", of_students, widened)
    return found


@dataclass(frozen=True, slots=True)
class SeedAgreement:
    """How far the training seeds of a trial agree.

    Attributes:
        spearman, kendall: of the candidates' orders by two seeds, the mean over all pairs of seeds; NaN where there is
            no pair with two orders.
        deviation: standard deviation of one candidate's students, the root of the mean variance over candidates.
    """

    spearman: float
    kendall: float
    deviation: float


def between_seeds(values: np.ndarray) -> SeedAgreement:
    """Compare the students that each seed gave.

    Args:
        values: as for ``bootstrap_students``.
    """
    of_students = values.mean(axis=0)
    pairs = [agreement(one, other) for one, other in combinations(of_students, 2)]
    whole = [pair for pair in pairs if not np.isnan(pair.spearman)]
    nan = float("nan")
    return SeedAgreement(
        float(np.mean([pair.spearman for pair in whole])) if whole else nan,
        float(np.mean([pair.kendall for pair in whole])) if whole else nan,
        float(np.sqrt(of_students.var(axis=0, ddof=1).mean())) if len(of_students) > 1 else nan,
    )
