"""AutoIF, steps 4 and 5: the instructions that a model reads out of the functions, and whether they contradict it."""

import re
from collections.abc import Sequence
from typing import Any

from evolvent.evolution.autoif.functions import FENCE, is_text, leading_json
from evolvent.models.protocols import PairClassifier

CONTRADICTION = "contradiction"

_OPENING = re.compile(f"{FENCE}[a-zA-Z]*")


def back_translations(reply: str, count: int) -> tuple[str, ...] | None:
    """The instructions in a reply, one for each function in their order; None if it does not hold them.

    Args:
        reply: the model's reply: a JSON list of texts, with or without a fence around it.
        count: how many functions were shown.
    """
    opening = _OPENING.search(reply)
    for content in (_json(reply, ""), _json(reply[opening.end() :], FENCE) if opening else None):
        if isinstance(content, list) and len(content) == count:
            found = tuple(item.strip() for item in content if is_text(item) and item.strip())
            if len(found) == count:
                return found
    return None


def contradicted(instruction: str, back_translations: Sequence[str], nli: PairClassifier) -> bool:
    """Whether any of the instructions that were read out of the functions contradicts the one they were written for.

    The original is the premise, the back-translation the hypothesis. One contradiction is enough, as in AutoIF's code.
    """
    return CONTRADICTION in nli.relations([(instruction, translated) for translated in back_translations])


def _json(text: str, end: str) -> Any:
    """The JSON value that a text begins with, if ``end`` follows it (nothing may, where that is empty); else None.

    A fence ends where its value ends: an instruction may speak of fences, and then the list holds one.
    """
    try:
        content, rest = leading_json(text)
    except (ValueError, RecursionError):
        return None
    return content if (rest.startswith(end) if end else not rest) else None
