"""AutoIF, step 4: what instruction a model reads out of each verification function."""

import re
from typing import Any

from evolvent.evolution.autoif.functions import FENCE, is_text, leading_json

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


def _json(text: str, end: str) -> Any:
    """The JSON value that a text begins with, if ``end`` follows it (nothing may, where that is empty); else None.

    A fence ends where its value ends: an instruction may speak of fences, and then the list holds one.
    """
    try:
        content, rest = leading_json(text)
    except (ValueError, RecursionError):
        return None
    return content if (rest.startswith(end) if end else not rest) else None
