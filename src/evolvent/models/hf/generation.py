"""The two ways to run a batch.

Continuously: rows decode together, and a row that has ended makes place for the next request at once. A few rows that
are much longer than the others would make every row's attention as wide as theirs. They get a lane of their own: one
more call of the model a step, where that costs less (``benchmarks/generation.py --long``).

As a whole, until its last reply has ended, for models that cannot decode in slots: a sliding window, a state instead of
keys and values, a cache of their own. transformers' ``generate`` knows how each of them is run. It has one temperature
and one random generator for a batch, so it is left to take the largest score of each row, and the scores are made to
have it where the row's own draw fell.
"""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, StoppingCriteria, StoppingCriteriaList
from transformers.cache_utils import DynamicLayer

from evolvent.models.hf.batching import Request, original_context
from evolvent.models.hf.endings import Ending
from evolvent.models.hf.lane import Lane, Row
from evolvent.models.hf.sampling import Draw, TokenTrace, draw
from evolvent.models.protocols import Sampling

# How far logits of two ways to compute them may lie apart, as a share of the largest. A wrong position or mask moves
# them by more.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}

# Config entries of models that keep every token, but mask those behind a window of their own (GPT-Neo).
WINDOWS = ("window_size", "attention_window")


class ContinuousBatch:
    """Requests under way in one model. Not for use by several threads at once.

    Args:
        model: a transformers model for which ``takes_slots`` is true.
        ending: says why a reply ends, asked after each of its tokens.
        call: the padded tokens of attention that take as long as a call of the model takes without any.
    """

    def __init__(self, model: Any, ending: Ending, call: int) -> None:
        self._short, self._long = Lane(model), Lane(model)
        self._ending = ending
        self._call = call
        self._weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())

    @property
    def rows(self) -> list[Row]:
        """What is under way."""
        return [*self._short.rows, *self._long.rows]

    def padded(self, joining: int = 0, prompt: int = 0) -> int:
        """Padded tokens that are held, or would be if so many rows joined with prompts of so many tokens."""
        short = (len(self._short.rows) + joining) * max(self._short.longest, prompt)
        return short + len(self._long.rows) * self._long.longest

    def admit(self, requests: Sequence[Request]) -> None:
        """Take requests in: run their prompts through the model in one batch.

        Raises:
            Exception: whatever the model raises; the rows under way are then as before.
        """
        self._short.admit(requests)

    def step(self) -> list[Row]:
        """Give every row one token.

        Returns:
            The rows that have ended with it: they are out of the batch.

        Raises:
            Exception: whatever the model raises. All rows are still there, some may have their token: begin them anew.
        """
        self._part()
        for lane in (self._short, self._long):
            if lane.rows:
                lane.step()
        for row in self.rows:
            row.finish_reason = self._ending(row.request, row.tokens)
        ended = [row for row in self.rows if row.finish_reason]
        self.remove(ended)
        return ended

    def remove(self, rows: Sequence[Row]) -> None:
        """Take rows out."""
        for lane in (self._short, self._long):
            inside = set(map(id, lane.rows))
            lane.remove([row for row in rows if id(row) in inside])

    def _part(self) -> None:
        """Move the longest rows to the long lane where that saves more than a call, or all back into one lane."""
        short, long = self._short, self._long
        if not short.rows:
            return
        # a call reads the model's weights, as attention reads keys and values
        call = max(self._call, self._weights // short.token_bytes)
        if long.rows and len(short.rows) * (long.longest - short.longest) < call // 2:
            long.take(short, list(short.rows))
            self._short, self._long = long, short
            return
        rows = sorted(short.rows, key=lambda row: row.length, reverse=True)
        longest, others = rows[0].length, len(rows)
        saved, leaving = max(
            (
                (longest - row.length) * (others - place) - place * max(0, long.longest - longest),
                place,
            )
            for place, row in enumerate(rows)
        )
        if saved > call:
            long.take(short, rows[:leaving])


def takes_slots(model: Any, context: int) -> bool:
    """Whether a model can decode rows of different lengths, of up to ``context`` tokens, in slots.

    Its cache has to be keys and values of all tokens, in every layer: no sliding window, no state. A row's positions
    must not depend on how long the others are. That its layers, masks and positions work where rows are not padded on
    the left is tried: three sequences are decoded, and their logits compared with those of a plain pass without a
    cache.
    """
    try:
        if context > original_context(model):
            return False
        layers = DynamicCache(config=model.config).layers
        plain = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
        windowed = any(getattr(model.config, name, None) is not None for name in WINDOWS)
        return plain and not windowed and _decodes_in_slots(model)
    except Exception:  # code that comes with a model may raise whatever it likes at an argument that it does not know
        return False


@torch.inference_mode()
def _decodes_in_slots(model: Any) -> bool:
    known = model.get_input_embeddings().weight.shape[0]
    texts = [[number * 31 % known for number in range(length)] for length in (7, 4, 9)]
    lane = Lane(model)
    lane.admit([Request(text[:-1], Sampling(), 2) for text in texts])
    lane.logits()
    for row, text in zip(lane.rows, texts, strict=True):
        row.tokens.append(text[-1])
    for text, logits in zip(texts, lane.logits(), strict=True):
        plain = model(input_ids=torch.tensor([text], device=model.device), use_cache=False).logits[0, -1]
        if not torch.allclose(logits, plain.float(), rtol=0, atol=TOLERANCE[plain.dtype] * float(plain.abs().max())):
            return False
    return True


def generate(
    model: Any, batch: Sequence[Request], ends: Sequence[int], ending: Ending, stop: threading.Event
) -> list[tuple[list[int], list[TokenTrace], str]]:
    """Run a batch: left-padded prompts, an attention mask, and each row's own sampling.

    Args:
        model: a transformers model.
        batch: one request a row.
        ends: tokens that end a reply.
        ending: says why a reply ends, asked after each of its tokens.
        stop: ends all rows at the next step.

    Returns:
        For each request its tokens, their log probabilities if asked for, and why it ended.

    Raises:
        Exception: whatever the model raises.
    """
    pad = ends[0] if ends else 0  # any token will do: padding is masked
    width = max(len(request.prompt) for request in batch)
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros_like(ids)
    for row, request in enumerate(batch):
        ids[row, width - len(request.prompt) :] = torch.tensor(request.prompt)
        mask[row, width - len(request.prompt) :] = 1
    sampler = RowSampler([Draw(request, model.device) for request in batch])
    limits = RowLimits(batch, ending, stop)
    with torch.inference_mode():
        model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=generation_config(
                do_sample=False,
                max_new_tokens=max(request.max_tokens for request in batch),
                eos_token_id=list(ends) or None,
                pad_token_id=pad,
            ),
            logits_processor=[sampler],
            stopping_criteria=StoppingCriteriaList([limits]),
        )
    return [
        (tokens, draw.traces[: len(tokens)], reason or "length")
        for tokens, draw, reason in zip(limits.tokens, sampler.draws, limits.reasons, strict=True)
    ]


def generation_config(**settings: Any) -> Any:
    """A generation config that holds these settings alone: nothing of the model's own."""
    return GenerationConfig(**settings)  # type: ignore[no-untyped-call]


class RowSampler(LogitsProcessor):
    """Scores whose argmax is each row's draw.

    Attributes:
        draws: how each row is drawn.
    """

    def __init__(self, draws: Sequence[Draw]) -> None:
        self.draws = draws

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Args: scores: raw logits [rows, vocabulary]. Returns: 0 at each row's draw and -inf elsewhere."""
        tokens = torch.tensor(draw(scores, self.draws), device=scores.device).unsqueeze(1)
        return torch.full_like(scores, float("-inf")).scatter(1, tokens, 0.0)


class RowLimits(StoppingCriteria):
    """Ends a row where its reply ends, at once when nobody waits for it (Ctrl-C), and all rows on ``stop``.

    Attributes:
        tokens: each row's reply.
        reasons: why it ended; None as long as it has not.
    """

    def __init__(self, requests: Sequence[Request], ending: Ending, stop: threading.Event) -> None:
        self._requests = requests
        self._ending = ending
        self._stop = stop
        self.tokens: list[list[int]] = [[] for _ in requests]
        self.reasons: list[str | None] = [None for _ in requests]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:  # noqa: ARG002
        """Args: input_ids: [rows, length so far]. Returns: booleans [rows], true where the row has ended."""
        if self._stop.is_set():
            return torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        for row, token in enumerate(input_ids[:, -1].tolist()):
            if self.reasons[row] is None:
                self.tokens[row].append(token)
                self.reasons[row] = self._ending(self._requests[row], self.tokens[row])
        ended = [
            reason is not None or request.future.cancelled()
            for request, reason in zip(self._requests, self.reasons, strict=True)
        ]
        return torch.tensor(ended, device=input_ids.device)
