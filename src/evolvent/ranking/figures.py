"""The figures that candidates are ranked by: what each is made of, and which way is good."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolvent.metrics.all_metrics import columns_by_name

# A function of the means of columns; arrays of any shape, a candidate in the last place.
OfMeans = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class RankedBy:
    """A figure.

    Attributes:
        name: what it is called.
        columns: the scores whose means it is made of.
        of: the figure of these means.
        lower: whether low is good.
    """

    name: str
    columns: Sequence[str]
    of: OfMeans
    lower: bool = False


def figures(columns: Iterable[str], beta: float) -> list[RankedBy]:
    """The figures that scored rows give.

    Of each score of which one side is kept its mean; RSR and CAR as their papers have them, of means.

    Args:
        columns: the names of the scores that there are, with the model's name behind an @ or without.
        beta: how much the loss counts in CAR.
    """
    there, known, found = list(columns), columns_by_name(), list[RankedBy]()
    for column in there:
        plain, at, model = column.partition("@")
        kept = known[plain].better if plain in known else None
        if plain == "response_rank":
            means = (column, f"response_loss{at}{model}")
            found.append(RankedBy(f"rsr of the set{at}{model}", means, lambda rank, loss: rank / loss, lower=True))
        if kept is not None and plain not in ("rsr", "response_loss", "instruction_tokens"):
            found.append(RankedBy(column, (column,), lambda mean: mean, lower=kept == "lower"))
        if plain == "response_loss":
            found += [
                RankedBy(f"car({reward}){at}{model}", (reward, column), _car(beta))
                for reward in there
                if reward.partition("@")[0] in ("reward", "judge_score")
            ]
    return found


def _car(beta: float) -> OfMeans:
    """CAR, which does not exist where the mean reward is below 0: a higher loss would raise it."""
    return lambda reward, loss: np.where(reward < 0, np.nan, reward) / (1 + beta * loss)
