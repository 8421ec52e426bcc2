"""Plain words by kind (``words.txt``), invented words, numbers, and small rules of English spelling."""

import random
import re
from pathlib import Path

_ENDINGS = ["", "", "", "s", "ed", "ing", "er", "ly", "tion", "ness", "al", "ment", "ous", "ist", "ity", "able", "ize"]
_DOUBLING = {"chop", "cut", "get", "grip", "knit", "mop", "plan", "pot", "put", "repot", "set", "sit", "skip", "split",
             "spot", "stop", "swim", "trim", "win", "run", "begin", "let", "tip"}  # fmt: skip


def _read(path: Path) -> dict[str, list[str]]:
    """Sections of ``words.txt``; a section with semicolons holds phrases."""
    kinds: dict[str, list[str]] = {}
    for section in path.read_text(encoding="utf-8").split("\n## ")[1:]:
        kind, _, body = section.partition("\n")
        kinds[kind] = [word.strip() for word in body.split(";")] if ";" in body else body.split()
    return kinds


KINDS = _read(Path(__file__).with_name("words.txt"))
NOUNS, VERBS, ADJECTIVES = KINDS["nouns"], KINDS["verbs"], KINDS["adjectives"]
NUMBER_WORDS = KINDS["numbers"]
_ONSETS, _NUCLEI = KINDS["onsets"], KINDS["nuclei"]
_CODAS = [coda.strip("-") for coda in KINDS["codas"]]
NAMES, PLACES, PEOPLE, GROUPS = KINDS["names"], KINDS["places"], KINDS["people"], KINDS["groups"]
SETTINGS, AUDIENCES = KINDS["settings"], KINDS["audiences"]


def invented(rng: random.Random) -> str:
    """A word that does not exist, of one to four syllables."""
    syllables = rng.choices([1, 2, 3, 4], [3, 5, 3, 1])[0]
    word = "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(syllables)) + rng.choice(_CODAS)
    return word + rng.choice(_ENDINGS) if rng.random() < 0.5 else word


def inflected(rng: random.Random) -> str:
    """A plain word, sometimes with a prefix or an ending, right or not."""
    word = rng.choice(rng.choices([NOUNS, VERBS, ADJECTIVES], [4, 2, 2])[0])
    if rng.random() < 0.3:
        word = (word[:-1] if word.endswith("e") else word) + rng.choice(
            ["s", "es", "ed", "ing", "er", "ly", "able", "ist"]
        )
    if rng.random() < 0.06:
        word = rng.choice(["un", "re", "anti", "over", "micro", "inter", "pre", "mis"]) + word
    return word


def gerund(phrase: str) -> str:
    """The -ing form of a phrase that begins with a verb: "bake bread" gives "baking bread"."""
    verb, _, rest = phrase.partition(" ")
    if verb.endswith("ie"):
        verb = verb[:-2] + "y"
    elif verb in _DOUBLING:
        verb += verb[-1]
    elif verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")):
        verb = verb[:-1]
    return f"{verb}ing {rest}".strip()


def lower_first(text: str) -> str:
    """The text with a small first letter, unless its first word is a name, "I" or all capitals."""
    first = text.split(" ", 1)[0].strip(",.:;")
    if not text or first in ("I", "I'm") or first in NAMES or (len(first) > 1 and first[1:] != first[1:].lower()):
        return text
    return text[0].lower() + text[1:]


def upper_first(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def joined(items: list[str]) -> str:
    """ "a, b and c"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def number_word(number: int) -> str:
    """A number up to twelve as a word, a larger one in digits."""
    return NUMBER_WORDS[number] if number < len(NUMBER_WORDS) else str(number)


def with_articles(text: str) -> str:
    """The text with "an" for "a" where a vowel follows."""
    return re.sub(r"\b([Aa]) (?=[aeio]|u(?!s|ni[^mn]))", r"\1n ", text)


def plural(noun: str) -> str:
    """The regular plural of a noun."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")
