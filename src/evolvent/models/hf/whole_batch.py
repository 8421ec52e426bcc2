"""Whole batches: a batch runs until its last reply has ended.

For models that cannot decode in slots (see ``generation``): a sliding window, a state instead of keys and values, a
cache of their own. transformers' ``generate`` knows how each of them is run. It has one temperature and one random
generator for a batch, so it is left to take the largest score of each row, and the scores are made to have it where
the row's own draw fell.
"""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria, StoppingCriteriaList

from evolvent.models.hf.batching import Request
from evolvent.models.hf.sampling import Draw, TokenTrace, draw


def generate(
    model: Any, batch: Sequence[Request], ends: Sequence[int], stop: threading.Event
) -> list[tuple[list[int], list[TokenTrace]]]:
    """Run a batch: left-padded prompts, an attention mask, and each row's own sampling.

    Args:
        model: a transformers model.
        batch: one request a row.
        ends: tokens that end a reply.
        stop: ends all rows at the next step.

    Returns:
        For each request its tokens, with padding after the end, and their log probabilities if asked for.

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
    with torch.inference_mode():
        grown = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=generation_config(
                do_sample=False,
                max_new_tokens=max(request.max_tokens for request in batch),
                eos_token_id=list(ends) or None,
                pad_token_id=pad,
            ),
            logits_processor=[sampler],
            stopping_criteria=StoppingCriteriaList([RowLimits(batch, width, model.device, stop)]),
        )
    rows = grown[:, width:].tolist()
    return [(row, draw.traces) for row, draw in zip(rows, sampler.draws, strict=True)]


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
    """Ends a row at its own max_tokens, at once when nobody waits for its reply (Ctrl-C), and all rows on ``stop``."""

    def __init__(self, requests: Sequence[Request], width: int, device: torch.device, stop: threading.Event) -> None:
        self._requests = requests
        self._stop = stop
        self._limits = torch.tensor([width + request.max_tokens for request in requests], device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:  # noqa: ARG002
        """Args: input_ids: [rows, length so far]. Returns: booleans [rows], true where the row has ended."""
        if self._stop.is_set():
            return torch.ones_like(self._limits, dtype=torch.bool)
        ended = self._limits <= input_ids.shape[1]
        abandoned = [row for row, request in enumerate(self._requests) if request.future.cancelled()]
        if abandoned:
            ended[abandoned] = True
        return ended
