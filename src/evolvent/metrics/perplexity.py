"""Perplexities: exp of the mean token loss (nats) of the instruction, of the response, and of the response given it."""

from evolvent.metrics.losses import PairLosses, perplexity


def instruction_ppl(losses: PairLosses) -> float | None:
    """PPL(Q) = exp L(Q); None if no float holds it. Lower is kept. Source: arXiv 2412.11231, table 5."""
    return perplexity(losses.instruction)


def response_ppl(losses: PairLosses) -> float | None:
    """PPL(A) = exp L(A), the response without its instruction; None if no float holds it."""
    return perplexity(losses.direct)


def conditional_ppl(losses: PairLosses) -> float | None:
    """PPL(A|Q) = exp L(A|Q), the response after its instruction; None if no float holds it."""
    return perplexity(losses.conditional)
