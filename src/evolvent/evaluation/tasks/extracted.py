"""Answers that the harness' filters take out of a reply and compare: strictly in the form asked for, or flexibly."""

from evolvent.evaluation.harness import filtered
from evolvent.evaluation.task import Document, Judge, Measure, Tools
from evolvent.records import Score

MEASURES = (Measure("strict match", "strict_match"), Measure("flexible extract", "flexible_extract"))


def judging(name: str) -> Judge:
    """How replies to a task's items are judged: by the filters of its file."""

    async def judge(document: Document, reply: str, _: Tools) -> dict[str, Score]:
        found = filtered(name, document, reply)
        return {
            "strict_match": float(found["strict-match"]["exact_match"]),
            "flexible_extract": float(found["flexible-extract"]["exact_match"]),
        }

    return judge
