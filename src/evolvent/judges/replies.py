"""What a judge's reply says: a number, one of some labels. Read tolerantly, or exactly as published code reads it."""

import math
import re
from collections.abc import Sequence

from evolvent.call_store.ask import why_cut
from evolvent.models.protocols import Reply

# A number that is not a part of another, of a word, of a range or of a fraction; or one out of 10 or 100: 8/10.
OUT_OF = r"\s*(?:/|out\s+of)\s*"
VALUE = (
    rf"(?<![\w.,+\-–/])([-+]?\d+(?:\.\d+|,\d{{1,2}}(?!\d))?)(?:{OUT_OF}(100|10)(?![\d]|[.,]\d))?"
    rf"(?!\w|%|[.,]\d|\s*[-–—]\s*\d|{OUT_OF}\d)"
)
NAMED = re.compile(
    rf"\b(?:score|rating|difficulty|quality)\b[^\w+\-\n]{{0,12}}(?:is\b|of\b)?[^\w+\-\n]{{0,6}}{VALUE}", re.IGNORECASE
)
ALONE = re.compile(VALUE, re.IGNORECASE)
FRACTION = re.compile(rf"\d{OUT_OF}\d|\d\s*[-–—]\s*\d", re.IGNORECASE)
SCALE = re.compile(r"\(\s*0\s*(?:[-–—]|to)\s*100\s*\)", re.IGNORECASE)  # of which the judge speaks
RATING = re.compile(
    rf"[^\w+\-–]*(?:(?:score|rating)\b[^\w+\-–]*(?:is\b[^\w+\-–]*)?)?(\d+(?:\.\d+)?)(?:{OUT_OF}10)?\W*", re.IGNORECASE
)
MARKS = re.compile(r"[*_`\"]")
DENIED = r"(?:\bnot|\bnever|n['’]t)(?:\s+(?:at\s+all|that|so|very|really|too))?\s+"


def why_no_verdict(reply: Reply) -> str | None:
    """Why a judge's reply cannot hold a verdict, or None: it is empty, cut, filtered or a loop."""
    reason = why_cut(reply)
    return f"the judge's reply is {reason}" if reason else None


def read_number(text: str, *, strict: bool = False) -> float | None:
    """The number between 0 and 100 that a reply gives, or None.

    Tolerant: what the last line, else the whole reply, names a score; else what it gives out of 10 or 100 ("8/10" is
    80); else the only number there is. A number outside of 0 to 100 is none, nor is one of two, of a range, or out of
    anything else.

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
    text = SCALE.sub("", MARKS.sub("", text))
    for part in (_last_line(text), text):
        named = NAMED.findall(part)
        out_of = [(value, whole) for value, whole in ALONE.findall(part) if whole]
        if named or out_of:
            value, whole = (named or out_of)[-1]
            return _within(_number(value) * 100 / int(whole or 100))
    alone = {_number(value) for value, _ in ALONE.findall(text)}
    return _within(alone.pop()) if len(alone) == 1 and not FRACTION.search(text) else None


def read_rating(text: str) -> float | None:
    """The rating from 1 to 10 that the last line of a reply is, or None: "Rating: 7", "7/10", "[[7]]"."""
    found = RATING.fullmatch(MARKS.sub("", _last_line(text)))
    return float(found[1]) if found is not None and 1 <= float(found[1]) <= 10 else None


def read_label(text: str, labels: Sequence[str], *, strict: bool = False) -> str | None:
    """The label that a reply gives, or None.

    Tolerant: a line is a label but for case, marks and punctuation, and no other line is another; else the last line
    names one and no other; else the whole reply does. One behind a "not" or an "n't" is not given.

    Args:
        text: the reply.
        labels: in small letters; a longer one may hold a shorter one.
        strict: the reply is a label to the letter, or there is none, as published.
    """
    if strict:
        return text.strip() if text.strip() in labels else None
    text = MARKS.sub("", text)
    words = "|".join(re.escape(label).replace(r"\ ", r"[\s-]+") for label in sorted(labels, key=len, reverse=True))
    line = re.compile(rf"\W*(?:(?:difficulty|level|rating)\W+(?:level\W+|is\s+)?)?({words})\W*", re.IGNORECASE)
    lines = {_plain(found[1]) for one in text.splitlines() if (found := line.fullmatch(one))}
    if lines:
        return lines.pop() if len(lines) == 1 else None
    for part in (_last_line(text), text):
        named = re.findall(rf"({DENIED})?(?<!\w)({words})(?!\w)", part, re.IGNORECASE)
        given = {_plain(label) for denied, label in named if not denied}
        if len(given) == 1:
            return given.pop()
    return None


def _plain(label: str) -> str:
    return re.sub(r"[\s-]+", " ", label.casefold())


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _within(value: float) -> float | None:
    return value if 0 <= value <= 100 else None


def _number(text: str) -> float:
    return float(text.replace(",", "."))
