"""Words of English texts: nouns behind a number, stop words, content words, and runs of words that two texts share."""

import re
import unicodedata
from collections.abc import Iterable

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

# What is counted in messages.
NOUNS = frozenset(
    """
    calls duplicates epochs evolutions files functions instructions items near-duplicates pairs records refusals rows
    seeds steps students tokens
    """.split()  # noqa: SIM905
)

# Forms of a word ("wash", "washing", "washes") share so many first letters.
STEM = 5

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def number_of(count: int, what: str) -> str:
    """A count with what is counted, which begins with the plural of a noun: ``1 row left out``, ``1,204 rows``."""
    noun, blank, rest = what.partition(" ")
    return f"{count:,} {noun[:-1] if count == 1 and noun in NOUNS else noun}{blank}{rest}"


def words(text: str) -> list[str]:
    """The words and numbers of a text, casefolded."""
    return _WORD.findall(text.casefold())


def content_stems(text: str) -> set[str]:
    """The stems of the words that are no stop words."""
    return {word[:STEM] for word in words(text) if word not in STOP_WORDS}


def runs(text: str, length: int) -> Iterable[tuple[str, ...]]:
    """All runs of so many words."""
    found = words(text)
    return (tuple(found[start : start + length]) for start in range(len(found) - length + 1))


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
    accented = not "".join(letters).isascii()
    return accented and len(found := words(text)) >= 10 and STOP_WORDS.isdisjoint(found)
