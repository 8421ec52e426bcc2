"""Breadth of the output space: how sure a model is of the tokens that it writes (arXiv 2412.11231, section 4)."""

from collections.abc import Sequence
from math import exp, log
from statistics import fmean

from evolvent.models.protocols import TokenLogprob
from evolvent.records import Column, Score

# The paper's code looks at so many positions of a reply.
FIRST = 5

# Alternatives a token: as many as OpenAI's API and vLLM give.
ALTERNATIVES = 20

POSITIONS = "output_positions"
COLUMNS = (
    Column("top1_first5", unit="probability"),
    Column("top1", unit="probability"),
    Column("entropy_first5", unit="nats"),
    Column("entropy", unit="nats"),
    Column(POSITIONS, "int64", "tokens"),
)


def output_breadth(logprobs: Sequence[TokenLogprob] | None) -> dict[str, Score]:
    """The columns of a reply: means over its positions, the first five and all.

    Args:
        logprobs: the reply's tokens with their alternatives.

    Returns:
        A value for each column: none where there are no log probabilities, or a position has no alternatives; no means,
        and 0 positions, of a reply without a token.
    """
    if logprobs is None or not all(position.top for position in logprobs):
        return dict.fromkeys(column.name for column in COLUMNS)
    sure, open_ = list(map(top1, logprobs)), list(map(entropy, logprobs))
    means = (_mean(sure[:FIRST]), _mean(sure), _mean(open_[:FIRST]), _mean(open_))
    return dict(zip((column.name for column in COLUMNS), (*means, len(logprobs)), strict=True))


def top1(position: TokenLogprob) -> float:
    """Probability of the likeliest token, whichever was drawn."""
    return exp(max(_known(position)))


def entropy(position: TokenLogprob) -> float:
    """Entropy in nats, at the least: what the known tokens leave of the probability counts as one further token."""
    known = [(exp(logprob), logprob) for logprob in _known(position)]
    rest = 1 - sum(probability for probability, _ in known)
    return -sum(p * logprob for p, logprob in known if p > 0) - (rest * log(rest) if rest > 0 else 0)


def _known(position: TokenLogprob) -> list[float]:
    """Log probabilities of the alternatives, and of the drawn token where it is not among them."""
    known = [logprob for _, logprob in position.top]
    drawn = (position.token, position.logprob)
    return known if drawn in position.top else [*known, position.logprob]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
