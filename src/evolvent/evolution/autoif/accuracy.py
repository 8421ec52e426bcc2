"""How an answer does before an instruction's verification functions: the share of them that say it follows."""

from collections.abc import Sequence
from typing import NamedTuple

from evolvent.sandbox.sandbox import Sandbox


class Accuracy(NamedTuple):
    """The verdicts on one answer.

    Attributes:
        share: of the functions that gave a verdict, the share that said True; None if none gave one.
        verdicts: how many functions gave a verdict. One that raises, takes too long or returns no bool gives none.
    """

    share: float | None
    verdicts: int


async def accuracies(sandbox: Sandbox, functions: Sequence[str], answers: Sequence[str]) -> list[Accuracy]:
    """The accuracy of each answer.

    Args:
        sandbox: where the functions run.
        functions: their sources.
        answers: the answers, each evaluated once however often it occurs.
    """
    distinct = list(dict.fromkeys(answers))
    if not distinct:
        return []
    evaluations = await sandbox.evaluate(functions, distinct)
    of = {
        answer: _accuracy([evaluation.verdicts[index].value for evaluation in evaluations])
        for index, answer in enumerate(distinct)
    }
    return [of[answer] for answer in answers]


def _accuracy(values: Sequence[bool | None]) -> Accuracy:
    given = [value for value in values if value is not None]
    return Accuracy(sum(given) / len(given) if given else None, len(given))
