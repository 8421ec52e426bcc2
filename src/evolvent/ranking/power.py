"""What so many items can show, and how many would be needed (arXiv 2411.00640, section 5)."""

import math

from scipy.stats import norm


def _quantiles(level: float, power: float) -> float:
    return float(norm.ppf((1 + level) / 2) + norm.ppf(power))


def minimum_detectable_effect(deviation: float, *, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference of two candidates that is found in ``power`` of all cases.

    Args:
        deviation: standard deviation of the difference of their means (that of the paired bootstrap).
        level: of the interval that must not hold 0.
        power: how often it is to be found.
    """
    return _quantiles(level, power) * deviation


def items_needed(difference: float, deviation: float, items: int, *, level: float = 0.95, power: float = 0.8) -> int:
    """How many items would tell two candidates apart, if their difference is what it seems to be.

    Args:
        difference: of their means; not 0.
        deviation: standard deviation of that difference over ``items`` items.
        items: how many there were (clusters, where whole ones were drawn).
    """
    return math.ceil(items * (_quantiles(level, power) * deviation / difference) ** 2)
