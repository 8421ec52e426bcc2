"""Draw the next token of every row of a batch by that row's own settings and its own noise.

Logits / T plus Gumbel noise has its maximum at token i with probability softmax(logits / T)_i (Maddison et al. 2014,
"A* Sampling", section 2). The noise of a row comes from a generator seeded for that row, so that its text does not
depend on what else is in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from evolvent.models.hf.batching import Request

# Tokens among which a nucleus is looked for before all are sorted, which takes several times as long.
LIKELIEST = 256


@dataclass(slots=True)
class TokenTrace:
    """Log probabilities of one generated token: its own and the likeliest alternatives', by token id."""

    token: int
    logprob: float
    top: list[tuple[int, float]] = field(default_factory=list)


class Draw:
    """How one row is drawn.

    Attributes:
        sampling: temperature, top_p, and whether log probabilities are asked for.
        noise: the row's own generator.
        traces: if asked for, the log probabilities of its tokens under the model's own distribution (T = 1).
    """

    __slots__ = ("noise", "sampling", "traces")

    def __init__(self, request: Request, device: torch.device) -> None:
        self.sampling = request.sampling
        self.noise = torch.Generator(device).manual_seed(request.seed)
        self.traces: list[TokenTrace] = []


def draw(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """Draw a token for each row.

    At temperature 0 it is the likeliest; else the largest of logits / T, cut to the nucleus, plus Gumbel noise.

    Args:
        logits: raw logits, float32 [rows, vocabulary].
        draws: how each row is drawn; generators go on and traces grow.
    """
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    drawn = [row for row, draw in enumerate(draws) if draw.sampling.temperature > 0]
    for row, token in zip(drawn, _drawn(logits, drawn, draws), strict=True):
        tokens[row] = token
    for row, (token, draw) in enumerate(zip(tokens, draws, strict=True)):
        if draw.sampling.top_logprobs:
            draw.traces.append(_trace(token, logits[row].log_softmax(-1), draw.sampling.top_logprobs))
    return tokens


def _drawn(logits: torch.Tensor, rows: list[int], draws: Sequence[Draw]) -> list[int]:
    """Draw a token for each of some rows, all with a temperature above 0."""
    if not rows:
        return []
    temperature = _column([draws[row].sampling.temperature for row in rows], logits.device)
    top_p = [draws[row].sampling.top_p for row in rows]
    scores = (logits if len(rows) == len(draws) else logits[rows]) / temperature
    if min(top_p) < 1:
        scores = nucleus(scores, _column(top_p, logits.device))
    # -log(-log u) of a uniform u; in float64, whose u are fine enough for tokens of any probability. Quicker than
    # exponential_(), and one row a call, as each has its own generator.
    uniform = torch.empty_like(scores, dtype=torch.float64)
    for noise, row in zip(uniform, rows, strict=True):
        noise.uniform_(generator=draws[row].noise)
    tokens: list[int] = (scores - uniform.log_().neg_().float().log_()).argmax(dim=-1).tolist()
    return tokens


def _trace(token: int, logprobs: torch.Tensor, count: int) -> TokenTrace:
    """``logprobs`` [vocabulary]: log probabilities of which ``token`` was drawn."""
    top = logprobs.topk(min(count, len(logprobs)))
    return TokenTrace(token, float(logprobs[token]), list(zip(top.indices.tolist(), top.values.tolist(), strict=True)))


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


def _column(values: list[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)
