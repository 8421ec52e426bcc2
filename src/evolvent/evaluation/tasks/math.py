"""MATH's verdicts: math-verify parses the boxed answer and compares it as mathematics.

A model may write what takes for ever to simplify, so this runs as a process of its own (``apart``); math-verify gives
up after five seconds by an alarm, which only a process's first thread can set.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from evolvent.evaluation.task import Document, Measure, Task, Tools
from evolvent.records import Column, Score


def process_results(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The verdict as the harness asks for it."""
    return {"math_verify": float(equal(document["answer"], results[0]))}


def equal(answer: str, reply: str) -> bool:
    """Whether a reply's answer is the right one."""
    from math_verify import parse, verify

    return bool(verify(parse(f"\\boxed{{{answer}}}"), parse(reply)))


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
    apart=__name__,
)

if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(equal(*json.loads(line))), flush=True)  # noqa: T201
