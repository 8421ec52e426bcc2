"""What the means of candidates might have been: the bootstrap over instructions."""

from collections.abc import Sequence

import numpy as np

from evolvent.errors import InputError

DRAWS = 2_000
AT_ONCE = 4_000_000  # numbers of a batch of draws


def means(values: np.ndarray) -> np.ndarray:
    """The mean of each candidate over the items that it has.

    Args:
        values: float array of shape [..., items, candidates]; NaN where a candidate has no value of an item.

    Returns:
        Shape [candidates]; NaN for a candidate without a value.
    """
    flat = values.reshape(-1, values.shape[-1])
    there = ~np.isnan(flat)
    counts = there.sum(axis=0)
    sums = np.where(there, flat, 0.0).sum(axis=0)
    found: np.ndarray = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return found


def widened(drawn: np.ndarray, n: int) -> np.ndarray:
    """Draws of means, as far from their middle as so few items ask for: for 5 items 1.6 times, for 500 as they are.

    A bootstrap of n items has (n - 1) / n of their variance, and its quantiles are a normal's where a t distribution's
    are due: the expanded percentile interval (Hesterberg 2015, doi 10.1080/00031305.2015.1089789, section 4.5.3).

    Args:
        drawn: shape [draws, candidates].
        n: how many items, or clusters, were drawn.
    """
    from scipy.stats import norm, t

    middle = means(drawn)
    factor = np.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1) / norm.ppf(0.975)
    found: np.ndarray = middle + (drawn - middle) * factor
    return found


def exact(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Values without the noise of their arithmetic: twelve digits of the largest one of ``scale``."""
    largest = np.abs(scale[np.isfinite(scale)]).max(initial=0.0)
    digits = 12 - int(np.ceil(np.log10(largest))) if largest > 0 else 12
    found: np.ndarray = np.round(values, digits)
    return found


def bootstrap_means(
    values: np.ndarray,
    clusters: Sequence[int] | np.ndarray | None = None,
    *,
    size: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """Means of candidates over items drawn again, whole clusters with replacement; the same draws for all candidates.

    That the draws are shared makes any difference of two candidates a paired one. A candidate that lacks an item (its
    evolution was eliminated, say) has the mean of those that it has.

    Args:
        values: float array of shape [items, candidates]; NaN where a candidate has no value of an item.
        clusters: for each item the number of its cluster, its seed's for example, from 0; each item its own if None.
        size: how many clusters are drawn; as many as there are if not given.
        draws: how many.
        seed: of the draws.

    Returns:
        Float array of shape [draws, candidates]; NaN where a draw holds no item that the candidate has.

    Raises:
        InputError: fewer than two clusters: nothing is known of how means vary.
    """
    there = ~np.isnan(values)
    of = np.arange(len(values)) if clusters is None else np.asarray(clusters)
    n = int(of.max(initial=-1)) + 1
    if n < 2:
        raise InputError(f"there is {n} seed to draw from", fix="Two at the least; some hundred tell candidates apart.")
    sums, counts = np.zeros((n, values.shape[1])), np.zeros((n, values.shape[1]))
    np.add.at(sums, of, np.where(there, values, 0.0))
    np.add.at(counts, of, there)
    rng = np.random.default_rng(seed)
    drawn, held = np.empty((draws, values.shape[1])), np.empty((draws, values.shape[1]))
    at_once = max(1, AT_ONCE // n)
    for start in range(0, draws, at_once):
        part = slice(start, min(start + at_once, draws))
        times = rng.multinomial(size or n, np.full(n, 1 / n), size=part.stop - start).astype(np.float64)
        drawn[part], held[part] = times @ sums, times @ counts
    found: np.ndarray = np.divide(drawn, held, out=np.full(drawn.shape, np.nan), where=held > 0)
    return found
