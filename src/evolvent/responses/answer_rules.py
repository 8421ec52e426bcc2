"""Elimination by the response: WizardLM's rules R2 and R3 (arXiv 2304.12244, §3.2) as exact predicates.

============  ==============================================================================================
``filtered``  a content filter of the server cut or withheld it
``refused``   the teacher gave a refusal in the field that its server has for it, and no text
``empty``     the teacher gave no text
``sorry``     R2: the response holds "sorry" and has fewer than 80 words
``no words``  R3: nothing is left of it without punctuation and stop words
============  ==============================================================================================

R2 and R3 are rules for English. A response in another language is never eliminated by them; it is counted.
"""

import re
import unicodedata

from evolvent.call_store.ask import why_unusable
from evolvent.models.protocols import Reply

SHORT = 80

STOP_WORDS = frozenset(
    """
    a about above after again against all am an and any are as at be because been before being below between both
    but by can could did do does doing down during each few for from further had has have having he her here hers
    herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off on
    once only or other our ours ourselves out over own same she should so some such than that the their theirs
    them themselves then there these they this those through to too under until up very was we were what when
    where which while who whom why will with would you your yours yourself yourselves
    """.split()  # noqa: SIM905 (a list of words reads better as words)
)

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def eliminate_response(reply: Reply) -> str | None:
    """Why a response eliminates its instruction, or None if it passes."""
    response = reply.text
    reason = why_unusable(reply)
    if reason is not None:
        return reason
    if other_language(response):
        return None
    if "sorry" in response.lower() and len(response.split()) < SHORT:
        return "sorry"
    if all(word in STOP_WORDS for word in _WORD.findall(response.casefold())):
        return "no words"
    return None


def other_language(text: str) -> bool:
    """Whether a text is plainly not English: most letters are not Latin, or some are accented and no word is English.

    Of ten words or more of English prose some are stop words. Code and formulas are taken for English.
    """
    if text.isascii():
        return False
    letters = [char for char in text if char.isalpha()]
    latin = sum("LATIN" in unicodedata.name(char, "") for char in letters)
    if latin * 2 < len(letters):
        return True
    words = _WORD.findall(text.casefold())
    accented = not "".join(letters).isascii()
    return accented and len(words) >= 10 and STOP_WORDS.isdisjoint(words)
