"""An evolving method (arXiv 2406.00770): a prompt that is itself rewritten, with one slot for the instruction.

Replies are parsed by the headings of its steps, also when the method has evolved.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from evolvent.evolution.templates import load_prompt
from evolvent.records import Record

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

INPUT = "\n\n#Input# (it belongs to the instruction: refer to it, do not copy it):\n"

_OPENING = re.compile(r"^[ \t]*`{3,}[ \t]*(?:\n[ \t]*)?[*_#]*Optimi[sz]ed[ \t]+Method[*_#]*[ \t]*:?", re.I | re.M)
_FENCE = re.compile(r"`{3,}(?P<rest>[^\n]*)")
# Fences that may be tried as a method's end: each is a reading of the whole text.
_ENDS = 20
_LIST = re.compile(r"\b(?:methods?|ways?|list)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Method:
    """A usable evolving method.

    Attributes:
        text: the whole prompt; the slot ``{instruction}`` stands in it once.

    Raises:
        ValueError: the text is no usable method (see ``problem_of``).
    """

    text: str

    def __post_init__(self) -> None:
        if problem := problem_of(self.text):
            raise ValueError(f"this is no evolving method: {problem}")

    @property
    def version(self) -> str:
        """A hash of the text, 8 hex digits: the ``prompt_version`` of what is made with it."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    @property
    def final_heading(self) -> str:
        """The last heading of the method, under which the evolved instruction stands in a reply."""
        return headings(self.text)[-1]

    @property
    def methods_heading(self) -> str | None:
        """The heading of the list of ways: the first that names a method, a way or a list; None if none does."""
        return next((heading for heading in headings(self.text)[:-1] if _LIST.search(heading)), None)

    def render(self, record: Record, show_input: bool) -> str:
        """The prompt for one instruction.

        Args:
            record: what is to be evolved; its text goes into the slot as it is, whatever it holds.
            show_input: whether its input, if there is one, goes under it.
        """
        shown = record.instruction + (INPUT + record.input if show_input and record.input else "")
        return self.text.replace(SLOT, shown)


def initial_method() -> Method:
    """The initial method of the paper (its Fig. 2), in words of this project."""
    return Method(load_prompt("auto_evol_instruct/initial_method").render())


def problem_of(text: str) -> str | None:
    """Why a text is no usable method, or None if it is one.

    A method has the slot ``{instruction}`` exactly once, in single braces, and two headings or more, the last of
    which says where the evolved instruction stands.
    """
    if not text.strip():
        return "it is empty"
    if "{" + SLOT + "}" in text:
        return f"it has lost the slot {SLOT}: its braces are doubled"
    slots = text.count(SLOT)
    if not slots:
        return f"it has lost the slot {SLOT}"
    if slots > 1:
        return f"it has the slot {SLOT} {slots} times"
    if not headings(text):
        return "it has lost the headings of its steps"
    return None


def candidate_of(reply: str) -> tuple[Method | None, str | None]:
    """The method in an optimizer's reply, or why there is none.

    It stands in a fence that begins with three backticks or more and ``Optimized Method`` (on the same line or the
    next), and ends with three or more at the end of a line. A method may hold fences of its own, in pairs: of the first
    20 fences that can end it, the first one that leaves a usable method does; if none leaves one, the last.

    Returns:
        The method and None, or None and the reason, in words.
    """
    opening = _OPENING.search(reply)
    if opening is None:
        return None, "it is not in a fence that begins with ```Optimized Method"
    fences = list(_FENCE.finditer(reply, opening.end()))
    ends = [fence.start() for inside, fence in enumerate(fences) if inside % 2 == 0 and not fence["rest"].strip()]
    if not ends:
        return None, "its fence is not closed"
    for end in ends[:_ENDS]:
        text = reply[opening.end() : end].strip()
        problem = problem_of(text)
        if problem is None:
            return Method(text), None
    return None, problem


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
