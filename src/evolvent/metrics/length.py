"""Lengths in the base model's tokens."""

from evolvent.metrics.losses import PairLosses


def instruction_tokens(losses: PairLosses) -> int:
    """Tokens of the instruction and its input; what tokenizer or template add does not count."""
    return losses.instruction_tokens


def response_tokens(losses: PairLosses) -> int:
    """Tokens of the response; what tokenizer or template add does not count."""
    return losses.response_tokens
