"""What AutoIF's steps after the first take at the most: a formula, as what they work on are replies yet to come.

A dry run rehearses step 1 alone. How many instructions are verified, and how many answers come to the judge, nobody
knows before the replies are there; here every one of them does.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod

from evolvent.evolution.autoif.rules import Rules
from evolvent.evolution.autoif.settings import AutoIF
from evolvent.runs.stage import Formula

# What the number of a step's calls is the product of, each factor with its name.
Factors = Sequence[tuple[int, str]]


def instructions_at_most(seeds: int, rules: Rules) -> int:
    """How many instructions step 1 leaves, if every prompt brings as many as it asks for and no two are alike."""
    return seeds + rules.prompts * rules.instructions_per_prompt


def evolve_formula(how: AutoIF, instructions: int, *, known: bool) -> Formula:
    """The calls of steps 2 and 4.

    Args:
        how: what is called, and how often.
        instructions: how many there are, or the most that there can be.
        known: whether they are there.
    """
    each = (instructions, "instructions")
    steps: dict[str, tuple[str, Factors]] = {"2 functions": (how.model, [each, (how.rules.samples, "samples")])}
    if how.rules.back_translated:
        steps["4 back-translation"] = (how.model, [each])
    return _formula(how, instructions, steps, "" if known else _NOT_YET)


def respond_formula(how: AutoIF, asked: Factors, *, known: bool) -> Formula:
    """The calls of steps 7 and 8.

    Args:
        how: what is called, and how often.
        asked: instructions with their queries, or the most that there can be.
        known: whether they are there.
    """
    answers = [*asked, (how.rules.responses, "answers")]
    steps = {"7 answers": (how.teacher, answers)}
    if how.judge is not None:
        steps["8 quality"] = (how.judge, answers)
    rests = ["every answer passes its functions"] if how.judge is not None else []
    if not known:
        rests = [_NOT_YET, "every instruction is verified", *rests]
    return _formula(how, prod(number for number, _ in asked), steps, ", ".join(rests))


_NOT_YET = "every prompt of step 1 brings as many instructions as it asks for, no two alike"


def _formula(how: AutoIF, records: int, steps: Mapping[str, tuple[str, Factors]], rests: str) -> Formula:
    calls: Counter[str] = Counter()
    lines = [f"at most: if {rests}"] if rests else []
    for step, (model, factors) in steps.items():
        count = prod(number for number, _ in factors)
        calls[model] += count
        terms = " x ".join(f"{number:,} {name}" for number, name in factors)
        lines.append(f"step {step}: {terms} = {count:,} calls of {model}")
    return Formula(records, calls, how.sampling.max_tokens, tuple(lines))
