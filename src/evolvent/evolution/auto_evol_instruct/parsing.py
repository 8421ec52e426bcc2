"""A reply to an evolving method, taken apart by the method's own headings.

The papers parse by one fixed string, and lose every reply as soon as the method's last heading evolves. Here the last
heading of the method that was used decides; ``paper_instruction`` is what paper 1's code does.

Notes that a model writes under an instruction to tell how it rewrote it are cut off. An instruction may hold a note of
its own ("Note: use SI units."), so only a note that speaks of the rewriting is one.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from evolvent.evolution.auto_evol_instruct.method import NUMBER, Method, headings

_MARK = r"(?:[^\w\n]|_)*+"
_MARKS = re.compile(r"[*_`]+")
_CLOSED_MARK = re.compile(r"[ \t]*[*_`]+[ \t]*[:：]?|[ \t]*[:：][ \t]*[*_`]+|[ \t]*[:：]")
# No letter and no digit: what stands there belongs to the heading.
_REST_OF_LINE = re.compile(rf"{_MARK}(?=\n|\Z)")
_COLON = re.compile(r"[ \t]*[)\]\\#]*[ \t]*[:：]")

_RULE = re.compile(r"^[ \t]*(?:-{3,}|\*{3,}|_{3,})[ \t]*$", re.MULTILINE)
_FENCED = re.compile(r"\A(`{3,})[ \t]*(?:|text|markdown|md|plaintext)[ \t]*\n(?P<text>.*)\n[ \t]*\1\Z", re.DOTALL)
_QUOTES = (("**", "**"), ('"', '"'), ("“", "”"), ("«", "»"), ("'", "'"))


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
            return _unwrapped(text, parent)
        end = start
    return None


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


def _unwrapped(text: str, parent: str) -> str:
    """The text without a horizontal rule above or below it, and without a fence, bold or quotes around all of it."""
    rules = list(_RULE.finditer(text))
    if len(rules) == 1 and not _RULE.search(parent):
        above, below = text[: rules[0].start()].strip(), text[rules[0].end() :].strip()
        if not (above and below):
            text = above or below or text
    fenced = _FENCED.match(text)
    if fenced and "```" not in fenced["text"] and not parent.startswith("```"):
        return fenced["text"].strip() or text
    for left, right in _QUOTES:
        inner = text[len(left) : -len(right)]
        if text == left + inner + right and inner.strip() and not parent.startswith(left):
            return inner.strip() if left not in inner and right not in inner else text
    return text


_REWRITTEN = (
    r"(?:(?:rewritten|revised|evolved|original|new|final) +(?:instruction|prompt)|(?:rewritten|revised) +version"
    r"|added +(?:only +)?\d+ +(?:\w+ +)?words|\d+ +words +(?:were +|have +been +)?added)\b"
)
# These words count after a label and in brackets only: an instruction may itself tell what somebody added.
_CHANGED = (
    r"(?:(?:I|I['’]ve|we|version|rewrite|rewriting) +(?:have +|has +|only +)?"
    r"(?:added|adds|kept|keeps|introduced|introduces|changed|changes|rewrote|rewritten|made|makes|increased|increases)"
    r"|increas(?:e|es|ed|ing) +(?:the +|its +)?complexity|more +complex +than|changes +made)\b"
)
_LABEL = (
    r"(?:(?:key|main|revision) +)?(?:explanation +of +(?:the +)?)?(?:notes?|explanations?|rationale|justification"
    r"|reasoning|comments?|what +changed|modifications?(?: +made)?|changes(?: +made)?)"
)
_NOTE = re.compile(
    # "**Note:** I added a limit." "Changes:" with the first of them on the next line.
    rf"^[ \t>*_#(\[-]*+{_LABEL}\b[ \t*_#]*+[:：][ \t*_#]*+(?:\n\s*+)?+"
    rf"(?=[^\n]*?\b(?:{_REWRITTEN}|{_CHANGED})|[\W\d]*+(?:added|adds|kept|introduced|introduces)\b)"
    # "(I added 12 words.)" "[Added a limit]"
    rf"|^[ \t*_]*+[(\[](?=added\b|[^\n]*?\b(?:{_REWRITTEN}|{_CHANGED}))[^\n]*[)\]][ \t*_.]*$"
    # A paragraph: "This rewritten instruction asks for more."
    rf"|(?<=\n\n)[ \t*_]*+(?:I|I['’]ve|we|this|the)\b(?=[^\n]*?\b{_REWRITTEN})"
    # "No changes were made, as the rewritten instruction is reasonable." It would be a leak if it stayed.
    r"|(?<=\n\n)(?=[^\n]*?\brewritten +instruction\b)",
    re.IGNORECASE | re.MULTILINE,
)
# A horizontal rule above the note goes with it.
_RULE_AT_THE_END = re.compile(r"\n[ \t]*(?:-{3,}|\*{3,}|_{3,})\s*\Z")


def without_note(text: str, parent: str = "") -> str:
    """The text up to the first note about the rewriting; what stands in the first line is none.

    Where the parent has such a note itself, it belongs to the instruction, and nothing is cut.

    A note begins at a line and is one of these, together with all that follows it:

    - a label (Note, Explanation, Changes made and the like) and a colon, and on the same line, or the next if nothing
      else stands there, words about the rewriting: "the original instruction", "I added", "12 words were added";
    - a line in brackets with such words;
    - a paragraph that begins with I, We, This or The and speaks of the rewritten, revised, evolved, original, new or
      final instruction or prompt, or of a number of words added; or any that speaks of the rewritten instruction.
    """
    if parent and without_note(parent) != parent:
        return text
    begun = len(text) - len(text.lstrip())
    note = _NOTE.search(text, begun + 1)
    return _RULE_AT_THE_END.sub("", text[: note.start()]) if note else text
