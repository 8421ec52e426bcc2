"""AutoIF, step 4: what instruction a model reads out of each verification function."""

import json
import re

from evolvent.evolution.autoif.functions import is_text

_FENCED = re.compile(r"```[a-zA-Z]*\s*(.*?)\s*```", re.DOTALL)


def back_translations(reply: str, count: int) -> tuple[str, ...] | None:
    """The instructions in a reply, one for each function in their order; None if it does not hold them.

    Args:
        reply: the model's reply: a JSON list of texts, with or without a fence around it.
        count: how many functions were shown.
    """
    fenced = _FENCED.search(reply)
    for text in (reply.strip(), fenced[1] if fenced else ""):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not isinstance(content, list) or len(content) != count:
            continue
        found = tuple(item.strip() for item in content if is_text(item) and item.strip())
        if len(found) == count:
            return found
    return None
