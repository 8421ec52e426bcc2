"""An evolving method (arXiv 2406.00770): a prompt that is itself rewritten, with one slot for the instruction."""

import hashlib
import re
from dataclasses import dataclass

from evolvent.evolution.auto_evol_instruct.headings import SLOT as SLOT
from evolvent.evolution.auto_evol_instruct.headings import headings
from evolvent.evolution.templates import load_prompt
from evolvent.records import Record

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
