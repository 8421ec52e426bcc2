"""The three losses of a pair, from which every perplexity and IFD score is made."""

import math
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from evolvent.errors import CallError
from evolvent.metrics.layout import Layout, PairTokens
from evolvent.models.protocols import TokenScorer
from evolvent.records import Record

# How the reason begins that another machine, or this one when it is idle, may not meet.
OUT_OF_MEMORY = "out of memory"

# Ranks above it count as it: arXiv 2601.14249 found 100 best (50: ρ .696, 100: .856, 500: .822, none: .700).
HIGHEST_RANK = 100


@dataclass(frozen=True, slots=True)
class PairLosses:
    """Sums of token losses (nats) and ranks, and how many tokens they are over; tokens without a loss never count.

    Attributes:
        instruction_sum, instruction_count: -log p of the instruction's tokens.
        conditional_sum, conditional_count: -log p of the response's tokens after the instruction.
        direct_sum, direct_count: -log p of the response's tokens without the instruction.
        rank_sum: ranks of the response's tokens after the instruction, each at most ``HIGHEST_RANK``; a token's is 1 if
            none is likelier. Over ``conditional_count`` tokens.
        instruction_tokens: length of the instruction in tokens, what tokenizer or template add not counted.
        response_tokens: length of the response in tokens, likewise.
    """

    instruction_sum: float
    instruction_count: int
    conditional_sum: float
    conditional_count: int
    direct_sum: float
    direct_count: int
    rank_sum: int
    instruction_tokens: int
    response_tokens: int

    @property
    def instruction(self) -> float:
        """L(Q): mean loss of the instruction, in nats a token."""
        return self.instruction_sum / self.instruction_count

    @property
    def conditional(self) -> float:
        """L(A|Q): mean loss of the response after the instruction, in nats a token."""
        return self.conditional_sum / self.conditional_count

    @property
    def rank(self) -> float:
        """Mean rank of the response's tokens after the instruction, each at most ``HIGHEST_RANK``."""
        return self.rank_sum / self.conditional_count

    @property
    def direct(self) -> float:
        """L(A): mean loss of the response without the instruction, in nats a token."""
        return self.direct_sum / self.direct_count


def pair_losses(
    records: Sequence[Record], scorer: TokenScorer, layout: Layout, *, stop: threading.Event | None = None
) -> list[PairLosses | str]:
    """The losses of some pairs, from two sequences a pair (three losses need no more, see ``layout``).

    Args:
        records: pairs; their batches depend on this list alone, so the same list gives the same numbers.
        scorer: the base model.
        layout: ``paper_layout`` or ``chat_layout``.
        stop: set by another thread, it ends the work before the next batch.

    Returns:
        For each record its losses, or the reason why it has none.

    Raises:
        Stopped: ``stop`` was set.
    """
    pairs = [_laid_out(layout, scorer, record) for record in records]
    laid_out = [pair for pair in pairs if not isinstance(pair, str)]
    sequences = [sequence for pair in laid_out for sequence in (pair.full, pair.direct)]
    starts = [start for pair in laid_out for start in (pair.instruction[0], pair.direct_start)]
    losses = iter(scorer.nll(sequences, starts, ranked=True, stop=stop))
    results: list[PairLosses | str] = []
    for pair in pairs:
        if isinstance(pair, str):
            results.append(pair)
            continue
        full, direct = next(losses), next(losses)
        if full is None or direct is None:
            results.append(f"{OUT_OF_MEMORY}: the pair has {len(pair.full)} tokens")
            continue
        first = pair.instruction[0]
        instruction = full[0, : pair.instruction[1] - first]
        response, ranks = full[:, pair.response[0] - first : pair.response[1] - first]
        results.append(
            PairLosses(
                instruction_sum=float(instruction.sum()),
                instruction_count=len(instruction),
                conditional_sum=float(response.sum()),
                conditional_count=len(response),
                direct_sum=float(direct[0].sum()),
                direct_count=direct.shape[1],
                rank_sum=int(ranks.clip(max=HIGHEST_RANK).sum()),
                instruction_tokens=pair.instruction_tokens,
                response_tokens=pair.response_tokens,
            )
        )
    return results


def losses_to_json(losses: PairLosses | str) -> str | None:
    """Losses, or why there are none, as they are stored; None for what is not to be stored."""
    if isinstance(losses, str) and losses.startswith(OUT_OF_MEMORY):
        return None
    content: dict[str, Any] = {"reason": losses} if isinstance(losses, str) else asdict(losses)
    return orjson.dumps(content).decode()


def losses_from_json(text: str) -> PairLosses | str:
    """The losses that were stored as ``text``.

    Raises:
        ValueError, TypeError: the text is damaged.
    """
    content: dict[str, Any] = orjson.loads(text)
    if "reason" in content:
        return str(content["reason"])
    # JSON holds no infinite sum, and none that is not a number.
    sums: dict[str, Any] = {name: math.nan if value is None else value + 0 for name, value in content.items()}
    return PairLosses(**sums)


def _laid_out(layout: Layout, scorer: TokenScorer, record: Record) -> PairTokens | str:
    """The pair as tokens, or why it has none: a template without a system turn fails its own pair, not the run."""
    try:
        return layout(scorer, record)
    except CallError as error:
        return error.message


def ratio(numerator: float, denominator: float) -> float | None:
    """A quotient, or None where it does not exist: a zero below, or a number that is infinite or not a number."""
    return finite(numerator / denominator) if denominator and math.isfinite(denominator) else None


def perplexity(loss: float) -> float | None:
    """exp of a mean loss in nats, or None where no float holds it."""
    try:
        return finite(math.exp(loss))
    except OverflowError:
        return None


def finite(value: float) -> float | None:
    """The value, or None if it is infinite or not a number."""
    return value if math.isfinite(value) else None
