"""Questions of the embedded models' made-up world: sums, and answers of a form that a function checks.

Their data ship with evolvent, so a student of these models can be evaluated anywhere. No training text of the embedded
models holds one of these prompts, nor one of these wordings of a form.
"""

import re

from evolvent.evaluation.task import Document, Measure, NoVerdict, Task, Tools
from evolvent.records import Score


async def judge(document: Document, reply: str, tools: Tools) -> dict[str, Score]:
    """Whether the last number of a reply is the right one, or whether the reply has the form that is asked for.

    Raises:
        NoVerdict: the function that checks the form has none.
    """
    if document["check"] is None:
        return {"sums": float(re.findall(r"-?\d+", reply)[-1:] == [document["answer"]])}
    if not reply.strip():
        return {"form": 0.0}
    assert tools.sandbox is not None
    [found] = await tools.sandbox.evaluate([document["check"]], [reply])
    [verdict] = found.verdicts
    if verdict.value is None:
        raise NoVerdict(found.problem or verdict.reason)
    return {"form": float(verdict.value)}


EMBEDDED = Task(
    "embedded",
    "100 sums and 100 forms of the embedded models' made-up world, whose data ship; zero-shot",
    (Measure("sums", "sums"), Measure("form", "form")),
    judge,
    runs_code=True,
)
