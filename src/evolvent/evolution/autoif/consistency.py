"""AutoIF, step 5: whether functions check what their instruction says, by natural language inference."""

from collections.abc import Sequence

from evolvent.models.protocols import PairClassifier

CONTRADICTION = "contradiction"


def contradicted(instruction: str, back_translations: Sequence[str], nli: PairClassifier) -> bool:
    """Whether any of the instructions that were read out of the functions contradicts the one they were written for.

    The original is the premise, the back-translation the hypothesis. One contradiction is enough, as in AutoIF's code.
    """
    return CONTRADICTION in nli.relations([(instruction, translated) for translated in back_translations])
