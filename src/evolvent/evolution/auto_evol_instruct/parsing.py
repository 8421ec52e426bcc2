"""A reply to an evolving method, taken apart by the method's own headings.

The papers parse by one fixed string, and lose every reply as soon as the method's last heading evolves. Here the last
heading of the method that was used decides; ``paper_instruction`` is what paper 1's code does.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from evolvent.evolution.auto_evol_instruct.method import NUMBER, Method, headings
from evolvent.evolution.salvage import unwrapped, without_note

_MARK = r"(?:[^\w\n]|_)*+"
_MARKS = re.compile(r"[*_`]+")
_CLOSED_MARK = re.compile(r"[ \t]*[*_`]+[ \t]*[:：]?|[ \t]*[:：][ \t]*[*_`]+|[ \t]*[:：]")
# No letter and no digit: what stands there belongs to the heading.
_REST_OF_LINE = re.compile(rf"{_MARK}(?=\n|\Z)")
_RESULT = re.compile(r"\b(?:rewritten|evolved)\b.*\binstruction\b", re.IGNORECASE)
_COLON = re.compile(r"[ \t]*[)\]\\#]*[ \t]*[:：]")


def final_instruction(reply: str, method: Method, parent: str = "") -> str | None:
    """The evolved instruction in a reply: what stands after the last line that is the method's last heading.

    Such a line may have or lack its number ("Step 4", "4.", "Schritt 4"), hashes and other marks, colon and newline;
    letter case does not count, nor does Final for Finally. Of several lines the last with text after it counts. A
    trailing note about the rewriting is cut off, and a horizontal rule above or below the instruction, quotes, bold or
    a fence around the whole of it are taken away, unless the parent stands in such.

    Args:
        reply: the evolver's reply.
        method: the method it was asked with.
        parent: the instruction that was evolved.

    Returns:
        The instruction without surrounding blanks, whatever it holds; None if the reply cannot be parsed.
    """
    end = len(reply)
    for start, begin in reversed(_heading_lines(reply, method.final_heading)):
        text = without_note(reply[begin:end], parent).strip()
        if text:
            return unwrapped(text, parent)
        end = start
    return None


def without_last_step(reply: str, method: Method, parent: str = "") -> str | None:
    """The instruction in a reply that ends before the last step: what stands under a heading such as Rewritten
    Instruction, if no heading of the method comes after it; None if there is none."""
    names = headings(method.text)[:-1]
    lines = [(start, begin, name) for name in names for start, begin in _heading_lines(reply, name)]
    _, begin, name = max(lines, default=(0, 0, ""))
    if not _RESULT.search(name):
        return None
    text = without_note(reply[begin:], parent).strip()
    return unwrapped(text, parent) if text else None


def paper_instruction(reply: str, method: Method) -> str | None:
    """What paper 1's code takes: all after the first ``#Finally Rewritten Instruction#:`` and its newline.

    The text is not stripped again. Paper 1 uses the initial method only; of another one its last heading is taken.

    Returns:
        The text; None if the marker or its newline is missing.
    """
    _, marker, text = reply.strip().partition(f"#{method.final_heading}#:\n")
    return text if marker else None


def methods_list(reply: str, method: Method) -> str | None:
    """The list of ways in a reply, from its heading to the next heading of the method; None if there is none."""
    if method.methods_heading is None:
        return None
    others = [name for name in headings(method.text) if name != method.methods_heading]
    ends = sorted(start for name in set(others) for start, _ in _heading_lines(reply, name))
    for _, begin in _heading_lines(reply, method.methods_heading):
        following = bisect_left(ends, begin)
        text = reply[begin : ends[following] if following < len(ends) else len(reply)].strip()
        if text:
            return text
    return None


def _heading_lines(reply: str, name: str) -> Sequence[tuple[int, int]]:
    """Where the lines that are this heading begin, and where the text after each begins."""
    lines = []
    for match in _naming(name).finditer(reply):
        opened = _is_marked(match["before"])
        after = (_CLOSED_MARK if opened else _COLON).match(reply, match.end())
        begin = after.end() if after else match.end()
        alone = _REST_OF_LINE.match(reply, begin)
        if alone or after or match["hash"]:
            lines.append((match.start(), alone.end() if alone else begin))
    return lines


@lru_cache(maxsize=64)
def _naming(name: str) -> re.Pattern[str]:
    """What finds lines that begin with a heading's name, marks and a number before it allowed."""
    words = (r"final(?:ly)?" if word.casefold() in ("final", "finally") else re.escape(word) for word in name.split())
    spelt = r"[ \t]+".join(words)
    return re.compile(
        rf"""^(?P<before>{_MARK}(?:{NUMBER}{_MARK})?){spelt}(?![^\W_])[ \t]*(?P<hash>[:：]?#+)?["”']?""",
        re.IGNORECASE | re.MULTILINE,
    )


def _is_marked(before: str) -> bool:
    """Whether a bold, italic or code mark is open where a heading's name begins (a bullet is none)."""
    opened = False
    for mark in _MARKS.finditer(before):
        after_text = mark.start() > 0 and not before[mark.start() - 1].isspace()
        before_text = mark.end() == len(before) or not before[mark.end()].isspace()
        opened = not after_text if opened else before_text
    return opened
