"""The perplexity form of IFD, under a name of its own: it is another number with the same name in the literature."""

from evolvent.metrics.losses import PairLosses, perplexity


def ifd_ppl(losses: PairLosses) -> float | None:
    """PPL(A|Q) / PPL(A) = exp(L(A|Q) - L(A)), a ratio of perplexities. Higher, below 1, is kept.

    Returns:
        The score; None if no float holds it or a loss is not a finite number.

    Source: Superfiltering, arXiv 2402.00530, and its published code.
    """
    return perplexity(losses.conditional - losses.direct)
