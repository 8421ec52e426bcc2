"""Headings of the steps in an evolving method: replies are parsed by them, also when the method has evolved."""

import re
from functools import lru_cache

SLOT = "{instruction}"

# Possessive throughout: a model may repeat a mark a thousand times, and that must not take a minute to read.
# What may stand before a heading's name: a quote, a list or markdown heading, bold, the step's number.
BEFORE = r"[ \t>(*_`-]*+(?:#{1,6}[ \t]++)?+[ \t*_`]*+(?:(?:Step[ \t]*+)?\d{1,2}\b|Step\b)?+[ \t.:)*_`–—-]*+"
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

_RESULT = re.compile(r"final|rewritten|evolved", re.IGNORECASE)


@lru_cache(maxsize=64)
def headings(method: str) -> tuple[str, ...]:
    """The names of a method's headings, in their order, without numbers and marks.

    A heading between hashes, alone on its line (or followed by a bracketed placeholder), counts first; a method that
    has fewer than two of these is read by the headings that its steps begin with, then by markdown headings and bold
    lines, then by numbered lines that end in a colon. The slot's own heading, ``#Instruction#:``, is none of them.

    Returns:
        The names; none at all if there are not two.
    """
    for kind in _KINDS:
        found = [match for match in kind.finditer(method) if not _of_the_slot(method, match)]
        if len(found) > 1:
            return tuple(" ".join(match["name"].split()) for match in found)
    return ()


def _of_the_slot(method: str, heading: re.Match[str]) -> bool:
    """Whether a heading says that the instruction follows, and not what a step's result is called.

    It stands in the slot's line or right above it (blanks and marks apart) and has neither a step's number nor a name
    like Finally Rewritten Instruction: an evolved method may have lost the slot's own heading.
    """
    if SLOT in (heading["rest"] or ""):
        return True
    between, slot, _ = method[heading.end() :].partition(SLOT)
    numbered = re.search(r"\d", method[heading.start() : heading.start("name")])
    return bool(slot and not between.strip(" \t\n\"'`<>[]*_") and not numbered and not _RESULT.search(heading["name"]))
