"""The model confidence set: the candidates that cannot be told apart from the best one (Hansen, Lunde, Nason 2011)."""

import numpy as np


def model_confidence_set(means: np.ndarray, drawn: np.ndarray, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Which candidates may be the best, at a family-wise level: the elimination of the paper by its range statistic.

    Of the candidates that are left, each is compared with each other one. While the largest t statistic of all pairs is
    larger than the bootstrap lets happen by chance, the candidate that is behind in it is eliminated. (Section 3.1.2;
    its other statistic compares each with the mean of all, which one candidate of a huge variance swells for all.)

    Args:
        means: shape [candidates]; the higher the better.
        drawn: shape [draws, candidates]: the same means over items drawn again (``resampling``).
        level: how often, at the least, the set holds the best candidate.

    Returns:
        Whether each candidate is in the set, and its p value: the highest level at which it is not is 1 - p. A
        candidate whose mean, or one of whose draws, is NaN is in no set, with a p value of 0.
    """
    p_values = np.zeros(len(means))
    left = list(np.flatnonzero(~np.isnan(means) & ~np.isnan(drawn).any(axis=0)))
    p = 0.0
    while len(left) > 1:
        of, of_draws = means[left], drawn[:, left]
        behind = of - of[:, None]  # [i, j]: by how much i is behind j
        errors = of_draws[:, None, :] - of_draws[:, :, None] - behind
        deviation = np.sqrt((errors**2).mean(axis=0))
        if not deviation.any():  # equal candidates, or such as differ by the same on every item
            worst, chance = int(of.argmin()), float(np.ptp(of) == 0)
        else:
            scale = np.where(deviation > 0, deviation, deviation[deviation > 0].min())
            t = behind / scale
            worst = int(t.max(axis=1).argmax())
            chance = float(((errors / scale).max(axis=(1, 2)) >= t.max()).mean())
        p = max(p, chance)
        p_values[left.pop(worst)] = p
    for last in left:
        p_values[last] = 1.0
    return p_values > 1 - level, p_values
