"""IFD, instruction-following difficulty: how much of a response's loss is left once the model knows the instruction."""

from evolvent.metrics.losses import PairLosses, ratio


def ifd(losses: PairLosses) -> float | None:
    """IFD = L(A|Q) / L(A), a ratio of mean losses in nats.

    Near 0 the instruction gives the response away; near 1 it is of no help; above 1 it misleads. Higher is kept.

    Returns:
        The score; None if L(A) is 0 or a loss is not a finite number.

    Source: arXiv 2308.12032, eq. 3 to 5.
    """
    return ratio(losses.conditional, losses.direct)
