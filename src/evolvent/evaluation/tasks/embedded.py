"""Questions of the embedded models' made-up world: sums, and answers of a form that a function checks.

Their data ship with evolvent, so a student of these models can be evaluated anywhere. No training text of the embedded
models holds one of these sums, nor one of these wordings of a form.
"""

import re

from evolvent.evaluation.task import Document, Measure, NoVerdict, Task, Tools
from evolvent.records import Score

MEASURES = (Measure("right", "right"),)


async def judge_sum(document: Document, reply: str, _: Tools) -> dict[str, Score]:
    """Whether the last number of a reply is the right one."""
    return {"right": float(re.findall(r"-?\d+", reply)[-1:] == [document["answer"]])}


async def judge_form(document: Document, reply: str, tools: Tools) -> dict[str, Score]:
    """Whether a reply has the form that is asked for.

    Raises:
        NoVerdict: the function that checks it has none.
    """
    if not reply.strip():
        return {"right": 0.0}
    assert tools.sandbox is not None
    [found] = await tools.sandbox.evaluate([document["check"]], [reply])
    [verdict] = found.verdicts
    if verdict.value is None:
        raise NoVerdict(found.problem or verdict.reason or "the function says nothing")
    return {"right": float(verdict.value)}


EMBEDDED_SUMS = Task(
    "embedded_sums", "100 sums of the embedded models' made-up world, whose data ship; zero-shot", MEASURES, judge_sum
)
EMBEDDED_FORMS = Task(
    "embedded_forms",
    "100 answers of a form in the embedded models' made-up world, whose data ship; zero-shot",
    MEASURES,
    judge_form,
    runs_code=True,
)
