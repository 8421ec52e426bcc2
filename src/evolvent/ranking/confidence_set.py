"""The model confidence set: the candidates that cannot be told apart from the best one (Hansen, Lunde, Nason 2011)."""

import numpy as np


def model_confidence_set(means: np.ndarray, drawn: np.ndarray, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Which candidates may be the best, at a family-wise level: the max-t elimination of the paper, section 3.1.2.

    Of the candidates that are left, each is compared with their mean. While the largest t statistic among them is
    larger than the bootstrap lets happen by chance, the candidate that has it is eliminated.

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
        behind = of.mean() - of
        errors = of_draws.mean(axis=1, keepdims=True) - of_draws - behind
        deviation = np.sqrt((errors**2).mean(axis=0))
        if not deviation.any():  # equal candidates, or such as differ by the same on every item
            worst, chance = int(behind.argmax()), float(np.ptp(of) == 0)
        else:
            scale = np.where(deviation > 0, deviation, deviation[deviation > 0].min())
            worst = int((behind / scale).argmax())
            chance = float(((errors / scale).max(axis=1) >= behind[worst] / scale[worst]).mean())
        p = max(p, chance)
        p_values[left.pop(worst)] = p
    for last in left:
        p_values[last] = 1.0
    return p_values > 1 - level, p_values
