"""Elimination by the response: WizardLM's rules R2 and R3 (arXiv 2304.12244, §3.2) as exact predicates.

============  ==============================================================================================
``filtered``  a content filter of the server cut or withheld it
``refused``   the teacher gave a refusal in the field that its server has for it, and no text
``empty``     the teacher gave no text; where it only thought: ``only reasoning``, ``cut inside its reasoning``
``sorry``     R2: the response holds "sorry" and has fewer than 80 words
``no words``  R3: nothing is left of it without punctuation and stop words
============  ==============================================================================================

R2 and R3 are rules for English. A response in another language is never eliminated by them; it is counted.
"""

from evolvent.call_store.ask import why_unusable
from evolvent.models.protocols import Reply
from evolvent.words import STOP_WORDS, other_language, words

SHORT = 80


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
    if STOP_WORDS.issuperset(words(response)):
        return "no words"
    return None
