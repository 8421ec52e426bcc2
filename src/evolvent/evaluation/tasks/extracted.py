"""Answers that the harness' filters take out of a reply and compare: strictly in the form asked for, or flexibly."""

from evolvent.evaluation.harness import matches
from evolvent.evaluation.task import Document, Judge, Measure, Tools
from evolvent.records import Score

MEASURES = (Measure("strict match", "strict_match"), Measure("flexible extract", "flexible_extract"))


def judging(name: str) -> Judge:
    """How replies to a task's items are judged: by the filters of its file."""

    async def judge(document: Document, reply: str, _: Tools) -> dict[str, Score]:
        found = matches(name, document, reply)
        return {"strict_match": found["strict-match"], "flexible_extract": found["flexible-extract"]}

    return judge
