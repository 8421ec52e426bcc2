"""How likely a model finds the response: its mean loss, and GRAPE's normalised log probability."""

from evolvent.metrics.losses import PairLosses, finite


def response_loss(losses: PairLosses) -> float | None:
    """L(A|Q), the mean loss of the response after its instruction, in nats a token. Lower is more compatible.

    The mean over a data set is the L of CAR.

    Returns:
        The loss; None if it is not a finite number.

    Source: arXiv 2411.07133; that it is a mean over tokens, after the instruction, is how an independent
    implementation reads it.
    """
    return finite(losses.conditional)


def grape(losses: PairLosses) -> float | None:
    """(1/|A|) log p(A|Q), the response's log probability a token, in nats. The highest of an instruction's is kept.

    Returns:
        The log probability; None if it is not a finite number.

    Source: arXiv 2502.04194, in the normalised form of its third version.
    """
    return finite(-losses.conditional)
