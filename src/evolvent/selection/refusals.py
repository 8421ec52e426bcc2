"""Refusals: answers whose first sentence says that the writer cannot or will not do what is asked. Rules for English.

A first sentence is a refusal if, after openers such as "I'm sorry, but" or "As an AI language model,", it says
"I cannot", "I'm unable to", "I won't", "I must decline" or "I don't have access". Without an opener only certain verbs
count behind "I cannot": an answer may well begin "I cannot wait". It is none if this sentence or the next goes on with
what the writer does instead ("However, I can …"), nor where the instruction itself asks for an apology, a refusal, a
letter, a story or a translation.
"""

import re

from evolvent.records import Record

_SORRY = (
    r"no[,.]?|sorry[,.]?|unfortunately,?|i apologi[sz]e|my apologies"
    r"|i(?:'m| am) (?:(?:so|very|really|truly) )?(?:sorry|afraid)"
)
_MODEL = (
    r"(?:as|i(?:'m| am)) (?:an? )?(?:(?:ai |large |text-based )*language model|ai|artificial intelligence|"
    r"(?:virtual|digital) assistant)\b(?: (?:created|developed|trained|made|built)\b[^,.;!?]{0,40}?)?"
)
_OPENER = rf"(?:{_SORRY}|{_MODEL})(?:,? (?:but|and|that|so|therefore)\b|,)?"
_CANNOT = (
    r"(?:i|we)(?: (?:can(?:no|'| no)t|will not|won't|could not|couldn't)|(?:'m| am|'re| are) (?:unable to|not able to))"
)
_DECLINES = (
    r"(?:i|we) (?:must|have to|will have to|respectfully)? ?(?:decline|refuse)"
    r"|(?:i|we) (?:do not|don't) have (?:\S+ ){0,2}?(?:access|the ability|the capability|enough information)"
)
_VERBS = (
    r"(?: directly| currently| definitively)?(?: and will not| or)? "
    r"(?:(?:help|assist) (?:you|with|in)|provide|answer|fulfil|comply|complete|create|write|generate|access|browse"
    r"|perform|offer|give|share|discuss|engage|do (?:that|this)|support|find any|produce|continue)"
)
_REFUSAL = re.compile(rf"(?:{_OPENER} )+(?:{_CANNOT}|{_DECLINES})\b|{_CANNOT}{_VERBS}|(?:{_DECLINES})\b")
_INSTEAD = re.compile(r"\b(?:but|however,?) (?:i|we)(?: can(?!not|'t)| could| will| would|'ll|'d| do\b)")
_ASKED_FOR = re.compile(
    r"\b(?:apolog|sorry|refus|declin|reject|turn(?:ing)? down|say(?:ing)? no|e-?mail|letter|tweet|dialog|"
    r"conversation|script|story|poem|song|lyric|quote|translat|rewrite|rephrase|paraphrase|role)"
)
_SENTENCE = re.compile(r"(?<=[.!?])\s|\n")


def refuses(record: Record) -> bool:
    """Whether a record's answer refuses what its instruction asks for."""
    first, *rest = _SENTENCE.split(_plain(record.output), maxsplit=2)
    if not _REFUSAL.match(first.lstrip("*#>- \"'")) or _INSTEAD.search(" ".join([first, *rest[:1]])):
        return False
    return not _ASKED_FOR.search(_plain(record.question))


def _plain(text: str) -> str:
    """A text in lower case, its apostrophes straight."""
    return text.strip().replace("’", "'").casefold()
