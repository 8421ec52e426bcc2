"""Elimination of failed evolutions: WizardLM's rules (arXiv 2304.12244, §3.2) as exact predicates on the instruction.

The rules on the response (R2, R3) are applied where responses are made. The reasons written into records:

=============  ======================================================================================
``empty``      the evolver gave no text
``truncated``  its reply was cut at the token limit
``filtered``   a content filter of the server cut or withheld it
``refused``    the evolver gave a refusal and no text
``unchanged``  equal to the parent after casefolding and dropping punctuation and spaces
``leak``       it holds words of the prompt's scaffold that the parent does not hold (R4)
``equal``      the judge found no information gain over the parent (R1)
=============  ======================================================================================
"""

import re
import unicodedata
from collections.abc import Collection

from evolvent.call_store.ask import why_cut
from evolvent.models.protocols import Reply

# Words of the prompts' scaffold. "#Given Prompt#" and the like hold them too.
LEAKS = ("given prompt", "rewritten prompt", "created prompt", "#input#")

_LEADING_MARKER = re.compile(
    r"\A[\s#*_`]*(?:the\s+)?(?:given|rewritten|created|new|evolved)\s+(?:prompt|instruction)[\s#*_`]*(?::[\s*_`]*|\n\s*)",
    re.IGNORECASE,
)
_DROPPED = bytes(code for code in range(128) if unicodedata.category(chr(code))[0] in "PZC")
_HEADING = re.compile(r"\A#{1,6}[^\S\n]+[^\n]{1,60}\n\s*(?=\S)")


def strip_marker(text: str, parent: str = "") -> str:
    """The evolved instruction without surrounding blanks and without one leading marker or heading line.

    A heading stays if the parent begins with one: it belongs to the instruction (code, a document).
    """
    text = text.strip()
    for pattern in (_LEADING_MARKER,) if parent.startswith("#") else (_LEADING_MARKER, _HEADING):
        stripped = pattern.sub("", text, count=1)
        if stripped != text:
            return stripped.strip()
    return text


def eliminate(parent: str, evolved: str, reply: Reply, scaffold: Collection[str] = LEAKS) -> str | None:
    """Why an evolution fails without asking anybody, or None if it passes.

    Args:
        parent: the instruction it was evolved from.
        evolved: the new instruction, stripped.
        reply: the evolver's reply that it stands in.
        scaffold: words of the prompt that must not leak into it, casefolded.
    """
    reason = why_cut(reply)
    if reason is not None:
        return reason
    if not evolved:
        return "empty"
    if _bare(evolved) == _bare(parent):
        return "unchanged"
    if leaks(parent, evolved, scaffold):
        return "leak"
    return None


def leaks(parent: str, evolved: str, scaffold: Collection[str] = LEAKS) -> bool:
    """R4: whether ``evolved`` holds a scaffold phrase that ``parent`` does not hold."""
    before, after = parent.casefold(), evolved.casefold()
    return any(phrase in after and phrase not in before for phrase in scaffold)


def judged_equal(reply: Reply) -> bool | None:
    """R1: the judge's verdict; None if the reply holds none ("Equal" is part of "Not Equal", hence the order)."""
    if reply.finish_reason == "length":
        return None
    if re.search(r"(?:\bnot|n['’]t)\W+(?:\w+\W+){0,2}equal\b", reply.text, re.IGNORECASE):
        return False
    if re.search(r"\bequal\b", reply.text, re.IGNORECASE):
        return True
    return None


def _bare(text: str) -> str:
    """The text casefolded, without punctuation and blanks; all of it if nothing else is left."""
    return _kept(text.casefold()) or "".join(text.split())


def _kept(text: str) -> str:
    """The text without punctuation, blanks and control characters."""
    if text.isascii():
        return text.encode().translate(None, _DROPPED).decode()
    return "".join(char for char in text if unicodedata.category(char)[0] not in "PZC")
