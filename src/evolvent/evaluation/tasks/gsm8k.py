"""GSM8K's verdicts: the harness' two extractors, for the form that is asked for and for any last number."""

from evolvent.evaluation.harness import filtered
from evolvent.evaluation.task import Document, Measure, Task, Tools
from evolvent.records import Score


async def judge(document: Document, reply: str, _: Tools) -> dict[str, Score]:
    """Whether the number at the end of a reply is the right one."""
    found = filtered("gsm8k", document, reply)
    return {
        "strict_match": float(found["strict-match"]["exact_match"]),
        "flexible_extract": float(found["flexible-extract"]["exact_match"]),
    }


GSM8K = Task(
    "gsm8k",
    "grade school problems; zero-shot, the reply is to end with “The final answer is …”",
    (Measure("strict match", "strict_match"), Measure("flexible extract", "flexible_extract")),
    judge,
)
