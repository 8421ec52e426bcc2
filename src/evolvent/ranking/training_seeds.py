"""Students that were trained with several seeds: what their means might have been, and how far the seeds agree."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evolvent.ranking.agreement import agreement
from evolvent.ranking.resampling import DRAWS


def bootstrap_students(values: np.ndarray, *, size: int | None = None, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Means of candidates as they might have been: over other items, and with other training seeds.

    Items are drawn again for the mean of each candidate's students, the same for all candidates, so that differences
    are paired by item. To that comes what another set of training seeds would do: a normal deviation whose variance is
    what lies between students of one candidate, beyond what their few items alone put there. That variance is taken to
    be the same for all candidates, and is drawn itself, from what so few students leave open (its fiducial
    distribution, a scaled inverse chi-square).

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
    found: np.ndarray = items @ values.mean(axis=1)
    if m > 1:
        free = candidates * (m - 1)
        between = students_apart(values) * free / rng.chisquare(free, size=draws) - items_apart(values)
        found += rng.normal(size=found.shape) * np.sqrt(np.maximum(between, 0) / m)[:, None]
    return found


def students_apart(values: np.ndarray) -> float:
    """The variance of the means of one candidate's students, the mean over candidates."""
    return float(values.mean(axis=0).var(axis=0, ddof=1).mean())


def items_apart(values: np.ndarray) -> float:
    """What of it is there because the students are measured by few items: how each does on an item, by itself."""
    n, m, candidates = values.shape
    of_students, of_items = values.mean(axis=0), values.mean(axis=1, keepdims=True)
    rest = values - of_items - of_students + values.mean(axis=(0, 1))
    return float((rest**2).sum() / max(1, (n - 1) * (m - 1) * candidates) / n)


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
