"""Draw the next token of every row of a batch by that row's own settings and its own noise.

transformers' ``generate`` knows one temperature and one random generator for a whole batch. Here it is left to take the
largest score of each row, and the scores are made such that this is a draw: logits / T plus Gumbel noise has its
maximum at token i with probability softmax(logits / T)_i (Maddison et al. 2014, "A* Sampling", section 2). The noise of
a row comes from a generator seeded for that row, so that its text does not depend on what else is in the batch.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import LogitsProcessor, StoppingCriteria

from evolvent.models.hf.batching import Request

# Tokens among which a nucleus is looked for before all are sorted, which takes several times as long.
LIKELIEST = 256


@dataclass(slots=True)
class TokenTrace:
    """Log probabilities of one generated token: its own and the likeliest alternatives', by token id."""

    token: int
    logprob: float
    top: list[tuple[int, float]] = field(default_factory=list)


class RowSampler(LogitsProcessor):
    """Scores whose argmax is each row's draw.

    At temperature 0 they are the logits; else logits / T, cut to the nucleus, plus Gumbel noise.

    Args:
        requests: one request a row.
        device: where the logits are.

    Attributes:
        traces: for each row that asked, its tokens' log probabilities under the model's own distribution (T = 1).
    """

    def __init__(self, requests: Sequence[Request], device: torch.device) -> None:
        drawn = [(row, request) for row, request in enumerate(requests) if request.sampling.temperature > 0]
        self._rows = torch.tensor([row for row, _ in drawn], dtype=torch.long, device=device)
        self._temperature = _column([request.sampling.temperature for _, request in drawn], device)
        self._top_p = _column([request.sampling.top_p for _, request in drawn], device)
        self._cut = any(request.sampling.top_p < 1 for _, request in drawn)
        self._noise = [torch.Generator(device).manual_seed(request.seed) for _, request in drawn]
        self._asked = [(row, request.sampling.top_logprobs) for row, request in enumerate(requests)]
        self._asked = [(row, count) for row, count in self._asked if count]
        self.traces: list[list[TokenTrace]] = [[] for _ in requests]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Args: scores: raw logits [rows, vocabulary]. Returns: scores of the same shape, one argmax a row."""
        chosen = scores.clone() if self._asked else scores
        if self._noise:
            logits = chosen[self._rows] / self._temperature
            if self._cut:
                logits = nucleus(logits, self._top_p)
            # -log(-log u) of a uniform u; in float64, whose u are fine enough for tokens of any probability. Quicker
            # than exponential_(), and one row a call, as each has its own generator.
            uniform = torch.empty_like(logits, dtype=torch.float64)
            for row, generator in zip(uniform, self._noise, strict=True):
                row.uniform_(generator=generator)
            chosen[self._rows] = logits - uniform.log_().neg_().float().log_()
        if self._asked:
            self._trace(scores, chosen)
        return chosen

    def _trace(self, raw: torch.Tensor, chosen: torch.Tensor) -> None:
        """``raw`` and ``chosen`` [rows, vocabulary]: the logits before and the scores after the draw."""
        for row, count in self._asked:
            logprobs = raw[row].log_softmax(-1)
            token = int(chosen[row].argmax())
            top = logprobs.topk(min(count, len(logprobs)))
            pairs = list(zip(top.indices.tolist(), top.values.tolist(), strict=True))
            self.traces[row].append(TokenTrace(token, float(logprobs[token]), pairs))


def nucleus(logits: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches top_p; the rest gets -inf.

    Args:
        logits: [rows, vocabulary].
        top_p: [rows, 1], in (0, 1]; a row with 1 keeps every token.

    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
    """
    probability = logits.softmax(dim=-1)
    likeliest, order = probability.topk(min(LIKELIEST, logits.shape[-1]))
    if not ((likeliest.sum(dim=-1, keepdim=True) >= top_p) | (top_p == 1)).all():
        likeliest, order = probability.sort(dim=-1, descending=True)
    before = likeliest.cumsum(dim=-1) - likeliest  # the first token has nothing before it: one is always kept
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before < top_p) | (top_p == 1)
    return logits.masked_fill(~kept, float("-inf"))


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


def _column(values: list[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)
