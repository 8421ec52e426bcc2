"""The figures that candidates are ranked by: what each is made of, and which way is good."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
        lacking: why a candidate has none, if it has all that it is made of.
    """

    name: str
    columns: Sequence[str]
    of: OfMeans
    lower: bool = False
    lacking: str = "too few of its rows have it, or it is not a finite number"


# Scores of which a mean says something about a candidate. Of answers those of the instruction alone say nothing, and
# the others of the base model's losses say what these say.
OF_ANSWERS = ("ifd", "ic_ifd", "grape", "reward", "judge_score")
OF_EVOLUTIONS = (KEPT, "difficulty_score", "evolution_reward", "mnd", "ic_ifd", "ifd", "top1", "entropy")
# What is likely to the base model is good by these.
OF_LIKELIHOOD = ("ifd", "ic_ifd", "grape", "rsr", "car(reward)", "car(judge_score)")
# A broad output space is what makes small models good evolvers (arXiv 2412.11231, section 4).
LOWER = ("top1",)
NEGATIVE = (
    "its mean reward is below 0, or may be: a higher loss would raise its CAR; --shift-rewards shifts all rewards"
)
NO_SHIFTS: Mapping[str, float] = {}


def figures(
    columns: Iterable[str], beta: float, *, evolved: bool, shifts: Mapping[str, float] = NO_SHIFTS
) -> list[RankedBy]:
    """The figures that candidates' scores give, RSR and CAR as their papers have them, of means.

    Args:
        columns: the names of the scores that there are.
        beta: how much the loss counts in CAR.
        evolved: whether the candidates are evolvers; else they gave the answers.
        shifts: by column of rewards what CAR adds to each.
    """
    there = set(columns)
    wanted = OF_EVOLUTIONS if evolved else OF_ANSWERS
    found = [RankedBy(name, (name,), itself, lower=name in LOWER) for name in wanted if name in there]
    if evolved or "response_loss" not in there:
        return found
    if "response_rank" in there:
        found.append(RankedBy("rsr", ("response_rank", "response_loss"), lambda rank, loss: rank / loss, lower=True))
    rewards = [name for name in ("reward", "judge_score") if name in there]
    cars = ((one, _car(beta, shifts.get(one, 0.0))) for one in rewards)
    return [*found, *(RankedBy(f"car({one})", (one, "response_loss"), of, lacking=NEGATIVE) for one, of in cars)]


def itself(mean: Any) -> Any:
    """The figure that is a column's mean."""
    return mean


def _car(beta: float, shift: float) -> OfMeans:
    """CAR, which does not exist where the mean reward is below 0: a higher loss would raise it."""
    return lambda reward, loss: np.where(reward + shift < 0, np.nan, reward + shift) / (1 + beta * loss)
