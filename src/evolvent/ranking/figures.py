"""The figures that candidates are ranked by: what each is made of, and which way is good."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Whether an evolution was kept: a figure that is no score.
KEPT = "kept"

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


# Scores of which a mean says something about a candidate. Of answers those of the instruction alone say nothing, and
# the others of the base model's losses say what these say.
OF_ANSWERS = ("ifd", "ic_ifd", "grape", "reward", "judge_score")
OF_EVOLUTIONS = (KEPT, "difficulty_score", "evolution_reward", "mnd", "ic_ifd", "ifd", "top1", "entropy")
# A broad output space is what makes small models good evolvers (arXiv 2412.11231, section 4).
LOWER = ("top1",)


def figures(columns: Iterable[str], beta: float, *, evolved: bool) -> list[RankedBy]:
    """The figures that candidates' scores give, RSR and CAR as their papers have them, of means.

    Args:
        columns: the names of the scores that there are.
        beta: how much the loss counts in CAR.
        evolved: whether the candidates are evolvers; else they gave the answers.
    """
    there = set(columns)
    wanted = OF_EVOLUTIONS if evolved else OF_ANSWERS
    found = [RankedBy(name, (name,), _mean, lower=name in LOWER) for name in wanted if name in there]
    if evolved or not {"response_rank", "response_loss"} <= there:
        return found
    found.append(RankedBy("rsr", ("response_rank", "response_loss"), lambda rank, loss: rank / loss, lower=True))
    rewards = [name for name in ("reward", "judge_score") if name in there]
    return [*found, *(RankedBy(f"car({one})", (one, "response_loss"), _car(beta)) for one in rewards)]


def _mean(mean: Any) -> Any:
    return mean


def _car(beta: float) -> OfMeans:
    """CAR, which does not exist where the mean reward is below 0: a higher loss would raise it."""
    return lambda reward, loss: np.where(reward < 0, np.nan, reward) / (1 + beta * loss)
