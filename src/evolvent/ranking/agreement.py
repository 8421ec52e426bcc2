"""Whether two rankings of the same candidates agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, spearmanr


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a metric ranks candidates as the truth does.

    Attributes:
        spearman: rank correlation, equal values having the mean of their ranks; NaN where either side is constant.
        kendall: Kendall's tau-b, likewise.
        regret: by how much the truth of the candidate that the metric puts first is below the best one's.
        low, high: a 95 % interval of ``spearman``: candidates drawn again with replacement.
    """

    spearman: float
    kendall: float
    regret: float
    low: float
    high: float


def agreement(metric: Sequence[float], truth: Sequence[float], *, draws: int = 2_000, seed: int = 0) -> Agreement:
    """Compare a metric's ranking with measured performance.

    Args:
        metric: a value a candidate, the higher the better: negate one of which low is good.
        truth: measured performance of the same candidates, the higher the better.
        draws: bootstrap draws; those in which either side is constant are left out.
        seed: of the draws.
    """
    ours, theirs = np.asarray(metric, np.float64), np.asarray(truth, np.float64)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = rng.integers(len(ours), size=len(ours))
        if np.ptp(ours[drawn]) and np.ptp(theirs[drawn]):
            found.append(float(spearmanr(ours[drawn], theirs[drawn]).statistic))
    low, high = np.quantile(found, [0.025, 0.975]) if found else (np.nan, np.nan)
    constant = not np.ptp(ours) or not np.ptp(theirs)
    return Agreement(
        spearman=float("nan") if constant else float(spearmanr(ours, theirs).statistic),
        kendall=float("nan") if constant else float(kendalltau(ours, theirs).statistic),
        regret=float(theirs.max() - theirs[ours == ours.max()].mean()),
        low=float(low),
        high=float(high),
    )
