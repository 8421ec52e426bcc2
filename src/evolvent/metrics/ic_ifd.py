"""IC-IFD, instruction-complex-aware IFD: IFD, lowered for instructions that are themselves hard to predict."""

from evolvent.metrics.losses import PairLosses, ratio


def ic_ifd(losses: PairLosses) -> float | None:
    """IC-IFD = L(A|Q) / (L(Q) * L(A)), of mean losses in nats. Higher is kept.

    The paper's text speaks of the instruction's perplexity; its equation and its code take the loss, and so do we.

    Returns:
        The score; None if L(Q) or L(A) is 0 or a loss is not a finite number.

    Source: arXiv 2412.11231, eq. 2.
    """
    return ratio(losses.conditional, losses.instruction * losses.direct)
