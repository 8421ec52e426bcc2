"""Requests of a local chat model, and which of those that wait go into the model together.

The positions of some models depend on the longest text of a batch. LongRoPE (Phi-3 and later with 128k tokens) turns
queries and keys by one set of frequencies as long as no text is longer than the original context, and by another as
soon as one is. A short text beside a long one then gets other numbers than alone: texts may share a batch only where
all of them would get the same frequencies alone. Dynamic scaling does so too, but beyond the context that the config
names alone, and nothing here goes beyond that.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from evolvent.models.protocols import Reply, Sampling

LONG_ROPE = ("longrope", "su")  # its name, and its first one


@dataclass(eq=False, slots=True)
class Request:
    """One call on its way to the model.

    Attributes:
        prompt: token ids of the rendered conversation.
        sampling: what the caller asked for.
        max_tokens: the reply's bound after the context's cut.
        future: where the reply goes; cancelled when the caller has gone.
    """

    prompt: list[int]
    sampling: Sampling
    max_tokens: int
    future: "Future[Reply]" = field(default_factory=Future)

    @property
    def seed(self) -> int:
        """The caller's seed, or one derived from the prompt."""
        if self.sampling.seed is not None:
            return self.sampling.seed
        return int.from_bytes(hashlib.sha256(repr(self.prompt).encode()).digest()[:4]) >> 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What the model takes at once.

    Attributes:
        rows: most requests under way.
        tokens: most padded tokens that are held; a single request may exceed it.
        prefill: most padded prompt tokens in one forward pass; a single prompt may exceed it.
        call: padded tokens of attention that take as long as a call of the model takes without any.
        original: tokens of one row beyond which the model's positions are others for all (see ``original_context``).
    """

    rows: int
    tokens: int
    prefill: int
    call: int = 2**12
    original: float = math.inf


def whole_batch(waiting: Sequence[Request], limits: Limits) -> list[Request]:
    """A batch that will run until its last reply has ended: padded tokens are prompts and longest replies together."""

    def end(batch: Sequence[Request]) -> int:
        return _longest_prompt(batch) + max(request.max_tokens for request in batch)

    def same_positions(batch: Sequence[Request]) -> bool:
        shortest = min(len(request.prompt) for request in batch)
        return alike(limits.original, shortest, _longest_prompt(batch), end(batch))

    def fits(batch: Sequence[Request]) -> bool:
        return len(batch) <= limits.rows and len(batch) * end(batch) <= limits.tokens and same_positions(batch)

    return _nearest([request for request in waiting if same_positions([waiting[0], request])], fits)


def newcomers(
    waiting: Sequence[Request], in_flight: int, padded: Callable[[int, int], int], limits: Limits
) -> list[Request]:
    """Requests that join those under way, all in one prefill; none if it is not worth it yet.

    A prefill of one request costs about as much in calls as one of several. Newcomers therefore wait until an eighth
    of the rows is free: the places lost are few.

    Args:
        waiting: requests in order of arrival.
        in_flight: rows under way.
        padded: the padded tokens held if so many rows join with prompts of so many tokens.
        limits: what the model takes at once.
    """
    if not waiting or limits.rows - in_flight < max(1, limits.rows // 8):
        return []

    def fits(batch: Sequence[Request]) -> bool:
        prompt = _longest_prompt(batch)
        # rows grow: with a quarter to spare they seldom have to leave again (see ``HFChat``)
        tokens = padded(len(batch), prompt) * 5 // 4
        return (
            in_flight + len(batch) <= limits.rows
            and tokens <= limits.tokens
            and (len(batch) == 1 or len(batch) * prompt <= limits.prefill)
        )

    group = _nearest(waiting, fits)
    return group if not in_flight or fits(group) else []


def _nearest(waiting: Sequence[Request], fits: Callable[[Sequence[Request]], bool]) -> list[Request]:
    """The oldest request, and those nearest to it in length as long as they fit: little is padded, and none starves.

    Returns:
        At least the oldest, sorted by prompt length.
    """
    oldest = waiting[0]
    near = sorted(waiting, key=lambda request: (request is not oldest, abs(len(request.prompt) - len(oldest.prompt))))
    batch = near[:1]
    for request in near[1:]:
        if not fits([*batch, request]):
            break
        batch.append(request)
    return sorted(batch, key=lambda request: len(request.prompt))


def _longest_prompt(batch: Sequence[Request]) -> int:
    return max(len(request.prompt) for request in batch)


def original_context(model: Any) -> float:
    """Tokens up to which the model's positions are those of short texts; infinite where they never change."""
    config = model.config.get_text_config()
    scaled = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return min(map(float, _originals(config, scaled)), default=math.inf)


def _originals(config: Any, scaled: dict[str, Any]) -> Iterator[int]:
    if scaled.get("rope_type", scaled.get("type")) in LONG_ROPE:
        yield scaled.get("original_max_position_embeddings") or config.original_max_position_embeddings
    for nested in scaled.values():  # some models have one set of frequencies for each kind of layer
        if isinstance(nested, dict):
            yield from _originals(config, nested)


def alike(original: float, shortest: int, longest: int, end: int) -> bool:
    """Whether texts get the positions in a batch that each of them would get alone.

    Args:
        original: see ``original_context``.
        shortest: tokens of the shortest prompt, or of the shortest text where nothing is generated.
        longest: tokens of the longest.
        end: tokens of the longest row, padding included, when the last reply has ended.
    """
    return shortest == longest or end <= original or shortest > original
