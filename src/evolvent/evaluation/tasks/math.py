"""MATH's verdicts: math-verify parses the boxed answer and compares it as mathematics."""

from collections.abc import Mapping, Sequence
from typing import Any

from evolvent.evaluation import math_answers
from evolvent.evaluation.task import Document, Measure, Task, Tools
from evolvent.records import Column, Score


def process_results(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The verdict as the harness asks for it."""
    return {"math_verify": float(math_answers.equal(document["answer"], results[0]))}


async def judge(document: Document, reply: str, tools: Tools) -> dict[str, Score]:
    """Whether a reply's answer is the right one; what cannot be compared in time is not."""
    assert tools.apart is not None
    found = await tools.apart([document["answer"], reply])
    return {"math_verify": float(found or 0), "undecided": "time limit" if found is None else None}


MATH = Task(
    "math",
    "MATH-500; zero-shot, the answer is to stand in \\boxed{}",
    (Measure("math-verify", "math_verify"),),
    judge,
    (Column("undecided", "string"),),
    apart=math_answers.__name__,
)
