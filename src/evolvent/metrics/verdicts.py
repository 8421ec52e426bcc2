"""What a judge's reply says: a number, one of some labels. Read tolerantly, or exactly as published code reads it."""

import math
import re
from collections.abc import Sequence

from evolvent.call_store.ask import why_cut
from evolvent.models.protocols import Reply

NUMBER = r"[-+]?\d+(?:[.,]\d+)?"
# A number out of something: 80/100, 8 out of 10.
OUT_OF = re.compile(rf"(?<![\w.])({NUMBER})\s*(?:/|out\s+of)\s*(10|100)(?![\w.]*\d)", re.IGNORECASE)
NAMED = re.compile(
    rf"\b(?:score|rating|difficulty|quality)\b\W{{0,12}}(?:is\b|of\b)?\W{{0,6}}({NUMBER})", re.IGNORECASE
)
ALONE = re.compile(rf"(?<![\w.])({NUMBER})(?!\w)")


def why_no_verdict(reply: Reply) -> str | None:
    """Why a judge's reply cannot hold a verdict, or None: it is empty, cut, filtered or a loop."""
    reason = why_cut(reply)
    return f"the judge's reply is {reason}" if reason else None


def read_number(text: str, *, strict: bool = False) -> float | None:
    """The number between 0 and 100 that a reply gives, or None.

    Tolerant: the last that is given out of 10 or 100 ("8/10" is 80), else the last that is named a score, else the only
    number there is. A number outside of 0 to 100 is none, nor is one of two.

    Args:
        text: the reply.
        strict: the whole reply is a number, or there is none; any that is finite passes, as published.
    """
    if strict:
        try:
            value = float(text)
        except ValueError:
            return None
        return value if math.isfinite(value) else None
    out_of = OUT_OF.findall(text)
    named = NAMED.findall(text)
    if out_of:
        value = _number(out_of[-1][0]) * 100 / int(out_of[-1][1])
    elif named:
        value = _number(named[-1])
    else:
        alone = {_number(found) for found in ALONE.findall(text)}
        if len(alone) != 1:
            return None
        value = alone.pop()
    return value if 0 <= value <= 100 else None


def read_label(text: str, labels: Sequence[str], *, strict: bool = False) -> str | None:
    """The label that a reply gives, or None.

    Tolerant: the reply is a label but for case, marks and punctuation; else its last line names one and no other; else
    the whole reply does. One behind a "not" is not given.

    Args:
        text: the reply.
        labels: in small letters; a longer one may hold a shorter one.
        strict: the reply is a label to the letter, or there is none, as published.
    """
    if strict:
        return text.strip() if text.strip() in labels else None
    words = "|".join(re.escape(label).replace(r"\ ", r"[\s_-]+") for label in sorted(labels, key=len, reverse=True))
    lines = [line for line in text.splitlines() if line.strip()]
    for part in (lines[-1] if lines else "", text):
        named = re.findall(rf"(?<!\w)(not\s+)?({words})(?!\w)", part, re.IGNORECASE)
        given = {re.sub(r"[\s_-]+", " ", label.casefold()) for denied, label in named if not denied}
        if len(given) == 1:
            return given.pop()
    return None


def _number(text: str) -> float:
    return float(text.replace(",", "."))
