"""RSR, rank-surprisal ratio: whether a response is new to a model and yet among what it might have said."""

from evolvent.metrics.losses import PairLosses, ratio


def rsr(losses: PairLosses) -> float | None:
    """RSR = mean rank / mean surprisal of the response's tokens after the instruction. Lower is kept.

    A token's rank is 1 + how many tokens have a larger logit, at most ``HIGHEST_RANK``; its surprisal is -log p (nats).
    A data set's RSR is the mean of the mean ranks over the mean of the mean surprisals (``data_set``), not the mean of
    its pairs' ratios.

    Returns:
        The ratio; None if the surprisal is 0 or not a finite number.

    Source: arXiv 2601.14249.
    """
    return ratio(losses.rank, losses.conditional)


def response_rank(losses: PairLosses) -> float:
    """Mean rank of the response's tokens after the instruction, each at most ``HIGHEST_RANK``."""
    return losses.rank
