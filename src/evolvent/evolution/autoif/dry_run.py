"""What AutoIF's steps after the first take at the most: a formula, as their input depends on replies yet to come.

A dry run rehearses step 1 alone. How many instructions are verified, and how many answers come to the judge, nobody
knows before the replies are there; here every one of them does.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from evolvent.evolution.autoif.rules import Rules
from evolvent.models.protocols import Sampling


@dataclass(frozen=True, slots=True)
class StepCalls:
    """The calls of one step, at the most.

    Attributes:
        step: its number and name.
        stage: the stage that it belongs to.
        model: the model that is called.
        factors: what the number of calls is the product of, each with its name.
    """

    step: str
    stage: str
    model: str
    factors: tuple[tuple[int, str], ...]

    @property
    def calls(self) -> int:
        return prod(number for number, _ in self.factors)

    def __str__(self) -> str:
        terms = " x ".join(f"{number:,} {name}" for number, name in self.factors)
        return f"{self.step}: {terms} = {self.calls:,} calls of {self.model}"


def instructions_at_most(seeds: int, rules: Rules) -> int:
    """How many instructions step 1 leaves, if every prompt brings as many as it asks for and no two are alike."""
    return seeds + rules.prompts * rules.instructions_per_prompt


def step_calls(
    rules: Rules,
    *,
    instructions: int,
    queries: int,
    pairs: int | None = None,
    model: str,
    teacher: str,
    judge: str,
) -> list[StepCalls]:
    """The calls of steps 2 to 8 that call a model, in order.

    Args:
        rules: how much each step asks for.
        instructions: distinct instructions, or the most that there can be.
        queries: queries of the right length.
        pairs: instructions with a query, where steps 2 to 6 are done and they are known.
        model, teacher, judge: the models' URIs.
    """
    found = []
    if pairs is None:
        found.append(
            StepCalls("2 functions", "evolve", model, ((instructions, "instructions"), (rules.samples, "samples")))
        )
        if rules.back_translated:
            found.append(StepCalls("4 back-translation", "evolve", model, ((instructions, "instructions"),)))
        asked: tuple[tuple[int, str], ...] = (
            (instructions, "instructions"),
            (min(rules.queries, queries), "queries"),
        )
    else:
        asked = ((pairs, "instructions with a query"),)
    answers = (*asked, (rules.responses, "answers"))
    found.append(StepCalls("7 answers", "respond", teacher, answers))
    if rules.quality is not None:
        found.append(StepCalls("8 quality", "respond", judge, answers))
    return found


def by_model(steps: Iterable[StepCalls]) -> Counter[str]:
    """Calls of each model, at the most."""
    calls: Counter[str] = Counter()
    for step in steps:
        calls[step.model] += step.calls
    return calls


def formula(steps: Sequence[StepCalls], sampling: Sampling) -> tuple[str, ...]:
    """The steps' calls, and what they can bring, as lines of text.

    Args:
        steps: the steps (``step_calls``).
        sampling: how replies are drawn; it says how long they are at the most.
    """
    return (
        "steps 2 to 8 work on what replies yet to come will hold: at the most, if every instruction is verified and "
        "every answer passes its functions",
        *(f"  {step}" for step in steps),
        *(
            f"  {model}: {calls:,} calls, {calls * sampling.max_tokens:,} tokens out"
            for model, calls in by_model(steps).items()
        ),
    )
