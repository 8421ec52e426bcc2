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
        regret: by how much the truth of the candidate that the metric puts first is below the best one's; of several
            that are first, the mean.
    """

    spearman: float
    kendall: float
    regret: float


def agreement(metric: Sequence[float] | np.ndarray, truth: Sequence[float] | np.ndarray) -> Agreement:
    """Compare a metric's ranking with measured performance.

    Args:
        metric: a value a candidate, the higher the better: negate one of which low is good.
        truth: measured performance of the same candidates, the higher the better.
    """
    ours, theirs = np.asarray(metric, np.float64), np.asarray(truth, np.float64)
    constant = not np.ptp(ours) or not np.ptp(theirs)
    return Agreement(
        spearman=float("nan") if constant else float(spearmanr(ours, theirs).statistic),
        kendall=float("nan") if constant else float(kendalltau(ours, theirs).statistic),
        regret=float(theirs.max() - theirs[ours == ours.max()].mean()),
    )
