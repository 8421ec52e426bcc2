"""Ways to make an instruction more complex, as a method's replies list them, and the keywords that name them."""

import re
import unicodedata

_ITEM = re.compile(
    r"(?P<indent> *)[*_]{0,2}(?:(?P<number>\(?\d{1,3}[.):]+(?!\d)|\(?[A-Za-z]\))|[-*+•–—](?= ))[*_]{0,2} *"
    r"(?P<text>\S.*)"
)
_LABEL = re.compile(r"\A\W*(?:the |short )*(?:key ?words?|key ?phrases?|phrase|name|answer|way|method) *[:：]", re.I)
_ARTICLES = {"a", "an", "the"}

# A reply with more words than this is no phrase.
PHRASE_WORDS = 10


def ways(methods_list: str) -> list[str]:
    """The ways of a list, in its order.

    A numbered or bulleted line begins a way; which of the two, and how deep, the first such line says. What follows it
    is part of it: lines without a marker, deeper items, items with a marker of the other kind. After a blank line only
    what is indented deeper still is. Lines before the first item and after the last are the model's talk. A list
    without any marker has a way in each line. Blank lines, and lines of marks alone, are none.

    Args:
        methods_list: the text of the list.

    Returns:
        The ways on one line each, without markers and bold.
    """
    lines = [line.expandtabs(4).rstrip() for line in methods_list.splitlines()]
    first = next((item for line in lines if (item := _ITEM.fullmatch(line))), None)
    if first is None:
        return [way for line in lines if (way := _plain(line))]
    depth, numbered = len(first["indent"]), bool(first["number"])
    found: list[list[str]] = []
    blank = False
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item and len(item["indent"]) <= depth and bool(item["number"]) == numbered:
            found += [[text] for text in _on_one_line(item)]
        elif found and line and (not blank or len(line) - len(line.lstrip()) > depth):
            found[-1].append(item["text"] if item else line)
        blank = not line
    return [way for parts in found if (way := _plain(" ".join(parts)))]


def same_way(way: str) -> str:
    """The key under which two ways are one: letter case, blanks and final punctuation make no difference."""
    return " ".join(way.casefold().split()).rstrip(" .,;:!?…")


def keyword(reply: str) -> str:
    """The keyword in a model's reply, normalised, so that equal ones can be counted; empty if there is none.

    It stands in the first line with text. A label before it ("Keyword:") is dropped; letters are casefolded; all that
    is no letter or digit is a blank, except an apostrophe, which is dropped; English articles are dropped, and so is
    the plural's s of each word ("ies" becomes "y"; words in ss, us and is keep theirs). Words are neither stemmed
    further nor reordered: "adding constraints" and "add constraint" are two keywords.
    """
    line = next((line for line in reply.splitlines() if any(map(str.isalnum, line))), "")
    text = unicodedata.normalize("NFKC", _LABEL.sub("", line)).casefold().replace("'", "").replace("’", "")
    words = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in text).split()
    return " ".join(_singular(word) for word in words if word not in _ARTICLES)


def _on_one_line(item: re.Match[str]) -> list[str]:
    """The ways of one line: several where the numbers go on within it ("1. Add a limit. 2. Ask why.")."""
    found, rest = [], str(item["text"])
    number = re.search(r"\d+", item["number"] or "")
    while number:
        next = int(number[0]) + 1
        following = re.search(rf"(?:(?<=[.,;!?]) *{next}[.)]| \(?{next}\)) +(?=\S)", rest)
        if following is None:
            break
        found.append(rest[: following.start()].rstrip(" ,;"))
        rest, number = rest[following.end() :], re.search(r"\d+", following[0])
    return [*found, rest]


def _plain(text: str) -> str:
    """A text on one line without bold, code marks and quotes around it; empty if no letter is in it."""
    text = " ".join(re.sub(r"\*\*|__|`", "", text).split()).strip('*_"“”')
    return text.strip() if any(map(str.isalpha, text)) else ""


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word
