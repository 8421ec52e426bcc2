"""Requests of a local chat model, and how those that wait are gathered into batches."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from evolvent.models.protocols import Reply, Sampling


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

    @property
    def width(self) -> int:
        """Tokens the request can grow to."""
        return len(self.prompt) + self.max_tokens


def next_batch(waiting: Sequence[Request], *, rows: int, tokens: int) -> list[Request]:
    """The batch to run now: the oldest request and those nearest to it in length: little is padded, and none starves.

    Args:
        waiting: requests in order of arrival, at least one.
        rows: most rows in a batch.
        tokens: most padded tokens in a batch, prompts and replies together; a single request may exceed it.

    Returns:
        The batch, sorted by prompt length.
    """
    oldest = waiting[0]
    near = sorted(waiting, key=lambda request: (request is not oldest, abs(len(request.prompt) - len(oldest.prompt))))
    batch: list[Request] = []
    longest_prompt = longest_reply = 0
    for request in near[:rows]:
        longest_prompt = max(longest_prompt, len(request.prompt))
        longest_reply = max(longest_reply, request.max_tokens)
        if batch and (len(batch) + 1) * (longest_prompt + longest_reply) > tokens:
            break
        batch.append(request)
    return sorted(batch, key=lambda request: len(request.prompt))
