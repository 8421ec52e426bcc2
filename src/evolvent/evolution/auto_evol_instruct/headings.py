"""Headings of the steps in an evolving method: replies are parsed by them, also when the method has evolved."""

import re
from functools import lru_cache

SLOT = "{instruction}"

# Possessive throughout: a model may repeat a mark a thousand times, and that must not take a minute to read.
# "Step 4", "4", "Schritt 4", "步骤4".
# What may stand before a heading's name: a quote, a list or markdown heading, bold, the step's number.
NUMBER = r"(?:(?:[^\W\d_]{1,12}[^\S\n]*+)?\d{1,2}\b|Step\b)"
BEFORE = rf"[ \t>(*_`-]*+(?:#{{1,6}}[ \t]++)?+[ \t*_`]*+(?:{NUMBER}[ \t.:：)*_`–—-]*+)?"
# What may stand between a heading's name and the text: the end of a bold, a colon.
AFTER = r"[ \t*_`]*+(?P<colon>[:：]?+)[ \t*_`]*+"

_HASHED = r"#[ \t]*+(?P<name>[^#\n]{1,80}?)[ \t]*+#"
_PLACEHOLDER = r"(?P<rest>\[[^\n]*\]|<[^\n]*>|\([^\n]*\)|\{[^\n]*\}|\.{2,}+|…)?+[ \t.*_`]*+$"
_KINDS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        # "Step 4 #Finally Rewritten Instruction#:", alone on its line: the headings in the format of the reply.
        rf"^{BEFORE}{_HASHED}{AFTER}{_PLACEHOLDER}",
        # "Step 4: #Finally Rewritten Instruction#: mend what is unreasonable": the step's text follows.
        rf"^{BEFORE}{_HASHED}[ \t*_`]*+[:：](?P<rest>[^\n]*+)$",
        # "### Step 4: Finally Rewritten Instruction", "**Finally Rewritten Instruction**:"
        rf"^[ \t>-]*+(?=#{{1,6}}[ \t]|\*\*|__){BEFORE}(?P<name>\w[^#*_:：\n]{{0,79}}?)[ \t#]*+{AFTER}{_PLACEHOLDER}",
        # "Step 4: Finally Rewritten Instruction:"
        r"^[ \t]*+(?:Step[ \t]*+)?\d{1,2}[ \t.:)-]++(?P<name>[^\W\d][^#*_:：.\n]{0,59}?)[ \t]*+[:：][ \t]*+"
        + _PLACEHOLDER,
    )
)

_ALONE, _WITH_TEXT = _KINDS[:2]

_RESULT = re.compile(r"final|rewritten|evolved", re.IGNORECASE)
_TO_THE_SLOT = re.compile(r"[ \t\n\"'`<>\[\]*_]*+" + re.escape(SLOT))


@lru_cache(maxsize=64)
def headings(method: str) -> tuple[str, ...]:
    """The names of a method's headings, in their order, without numbers and marks.

    A heading between hashes, alone on its line (or followed by a bracketed placeholder), counts first, and below two
    of these also a numbered one of another name whose text follows; a method that has fewer than two is read by the
    headings that its steps begin with, then by markdown headings and bold lines, then by numbered lines that end in a
    colon. The slot's own heading, ``#Instruction#:``, is none of them.

    Returns:
        The names; none at all if there are not two.
    """
    for kind in _KINDS:
        found = _found(kind, method)
        if len(found) > 1:
            names = [_name(heading) for heading in found]
            if kind is _ALONE:
                # The format of the reply may say what goes under its last heading: "Step 4 #Final Version#: only this".
                below = [heading for heading in _found(_WITH_TEXT, method) if heading.start() > found[-1].start()]
                names += [_name(one) for one in below if _is_numbered(one) and _name(one) not in names]
            return tuple(names)
    return ()


def _found(kind: re.Pattern[str], method: str) -> list[re.Match[str]]:
    return [heading for heading in kind.finditer(method) if not _of_the_slot(heading)]


def _name(heading: re.Match[str]) -> str:
    return " ".join(heading["name"].split())


def _is_numbered(heading: re.Match[str]) -> bool:
    return bool(re.search(r"\d", heading.string[heading.start() : heading.start("name")]))


def _of_the_slot(heading: re.Match[str]) -> bool:
    """Whether a heading says that the instruction follows, and not what a step's result is called.

    It stands in the slot's line or right above it (blanks and marks apart) and has neither a step's number nor a name
    like Finally Rewritten Instruction: an evolved method may have lost the slot's own heading.
    """
    if SLOT in (heading["rest"] or ""):
        return True
    above = _TO_THE_SLOT.match(heading.string, heading.end())
    return bool(above and not _is_numbered(heading) and not _RESULT.search(heading["name"]))
