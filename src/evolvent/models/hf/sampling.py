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
LIKELIEST = (32, 256)


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
    greedy = [row for row, draw in enumerate(draws) if draw.sampling.temperature == 0]
    free = [row for row, draw in enumerate(draws) if draw.sampling.temperature > 0 and draw.sampling.top_p == 1]
    cut = [row for row, draw in enumerate(draws) if draw.sampling.temperature > 0 and draw.sampling.top_p < 1]
    tokens = [0] * len(draws)
    for rows, choose in ((greedy, _likeliest), (free, _drawn), (cut, _drawn_from_nucleus)):
        if rows:
            chosen = choose(logits if len(rows) == len(draws) else logits[rows], [draws[row] for row in rows])
            for row, token in zip(rows, chosen.tolist(), strict=True):
                tokens[row] = token
    for row, (token, draw) in enumerate(zip(tokens, draws, strict=True)):
        if draw.sampling.top_logprobs:
            draw.traces.append(_trace(token, logits[row].log_softmax(-1), draw.sampling.top_logprobs))
    return tokens


def _likeliest(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:  # noqa: ARG001
    return logits.argmax(dim=-1)


def _drawn(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    return (_tempered(logits, draws) + _gumbel(_uniform(logits, draws))).argmax(dim=-1)


def _drawn_from_nucleus(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    tempered = _tempered(logits, draws)
    order, kept = nucleus(tempered, _column([draw.sampling.top_p for draw in draws], logits.device))
    # every token has its noise, so that a row's draws do not depend on how its nucleus was found
    noise = _gumbel(_uniform(logits, draws).gather(-1, order))
    scores = (tempered.gather(-1, order) + noise).masked_fill(~kept, float("-inf"))
    return order.gather(-1, scores.argmax(dim=-1, keepdim=True)).squeeze(-1)


def nucleus(logits: torch.Tensor, top_p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the smallest set of likeliest tokens whose probability reaches top_p.

    Args:
        logits: [rows, vocabulary].
        top_p: [rows, 1], in (0, 1).

    Returns:
        Tokens, likeliest first, [rows, some number]; and which of them belong to the nucleus, booleans.

    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
    """
    probability = logits.softmax(dim=-1)
    for count in LIKELIEST:
        likeliest, order = probability.topk(min(count, logits.shape[-1]))
        if (likeliest.sum(dim=-1, keepdim=True) >= top_p).all():
            break
    else:
        likeliest, order = probability.sort(dim=-1, descending=True)
    before = likeliest.cumsum(dim=-1) - likeliest  # the first token has nothing before it: one is always kept
    return order, before < top_p


def _tempered(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    return logits / _column([draw.sampling.temperature for draw in draws], logits.device)


def _uniform(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    """A number in [0, 1) for every token of every row, each row's from its own generator."""
    uniform = torch.empty_like(logits, dtype=torch.float64)  # fine enough for tokens of any probability
    for row, draw in zip(uniform, draws, strict=True):
        row.uniform_(generator=draw.noise)
    return uniform


def _gumbel(uniform: torch.Tensor) -> torch.Tensor:
    return uniform.log_().neg_().float().log_().neg_()  # quicker than exponential_()


def _trace(token: int, logprobs: torch.Tensor, count: int) -> TokenTrace:
    """``logprobs`` [vocabulary]: log probabilities of which ``token`` was drawn."""
    top = logprobs.topk(min(count, len(logprobs)))
    return TokenTrace(token, float(logprobs[token]), list(zip(top.indices.tolist(), top.values.tolist(), strict=True)))


def _column(values: list[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)
