"""Failed evolutions told by the answers to them (arXiv 2406.00770, App. A and Table 5), as exact predicates.

An answer fails in one of three kinds; the first that holds is counted:

================  ==========================================================================================
``stagnant``      begins with Understood, Thank you, What, That is correct or Great, and ends with a question mark
``insufficient``  begins with Sure, and ends with a question mark
``loss``          holds "please provide" anywhere
================  ==========================================================================================

Letter case does not matter, runs of blanks and line ends count as one blank, and blanks, quotes and markdown marks
before the first word and after the last sign are ignored. "Begins with" means whole words: "Whatever …?" and
"Surely …?" do not count, "What's …?" does.

The paper says *begins with* in its appendix and *contains* in its §3.3; the appendix is followed, whose Table 5 shows
the cases. An answer that is empty, refused or cut fails in none of the kinds. No rule of the paper sees these; they
are told apart by ``set_apart``, so that they are counted and seen.
"""

import re
from typing import Literal

from evolvent.models.protocols import Reply

Kind = Literal["stagnant", "insufficient", "loss"]
KINDS: tuple[Kind, ...] = ("stagnant", "insufficient", "loss")

Apart = Literal["filtered", "refused", "empty", "truncated"]
APART: tuple[Apart, ...] = ("filtered", "refused", "empty", "truncated")

# A refusal in words: rule R2 of WizardLM (arXiv 2304.12244).
SORRY, SHORT = "sorry", 80

_STAGNANT = re.compile(r"(?:understood|thank you|what|that is correct|great)\b", re.IGNORECASE)
_INSUFFICIENT = re.compile(r"sure\b", re.IGNORECASE)
_LOSS = re.compile(r"please provide\b", re.IGNORECASE)

_QUOTES = "\"'`“”„‘’«»"
_BEFORE = _QUOTES + "*_#>~- "
_AFTER = _QUOTES + "*_~ "


def failure_of(answer: str) -> Kind | None:
    """The kind of failure that an answer to an evolved instruction shows, or None if it shows none."""
    said = " ".join(answer.split()).lstrip(_BEFORE).rstrip(_AFTER)
    asks = said.endswith("?")
    if asks and _STAGNANT.match(said):
        return "stagnant"
    if asks and _INSUFFICIENT.match(said):
        return "insufficient"
    if _LOSS.search(said):
        return "loss"
    return None


def set_apart(reply: Reply) -> Apart | None:
    """What the paper's rules do not see in an answer that shows no failure, or None if there is nothing.

    ``filtered``: a content filter of the server cut or withheld it. ``refused``: the server gave a refusal and no
    text, or the text holds "sorry" and has fewer than 80 words. ``empty``: there is no text. ``truncated``: it was cut
    at the token limit.
    """
    if reply.finish_reason == "content_filter":
        return "filtered"
    if not reply.text.strip():
        return "refused" if reply.refusal else "empty"
    if SORRY in reply.text.lower() and len(reply.text.split()) < SHORT:
        return "refused"
    if reply.finish_reason == "length":
        return "truncated"
    return None
