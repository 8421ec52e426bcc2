"""AutoIF, step 1: the new instructions in a model's reply, and when two instructions are the same."""

import re

# A list's marker: "- ", "* ", "3. ", "3) ", also in bold. A rule ("---") or bold text ("**so**") has no blank after it.
_MARKED = re.compile(r"(?P<indent>[^\S\n]*)(?:[-*+•–—]|\*{0,2}\d{1,4}[.)]\*{0,2})[^\S\n]+(?P<text>\S.*)")
_WRAPPED = (("**", "**"), ('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"), ("`", "`"), ("«", "»"))


def new_instructions(reply: str) -> list[str]:
    """The instructions in a reply: its list items, without marker and without quotes or bold around the whole.

    The prompt asks for lines that begin with "- "; other markers and numbers are read alike. Lines without a marker
    are the model's talk, and items indented deeper than the first one are notes on an item: neither is an instruction.
    So it is under every profile: that paper 1's code takes blank lines and "Here are 50…" for instructions is no
    choice of the method.
    """
    found: list[str] = []
    depth: int | None = None
    for line in reply.splitlines():
        item = _MARKED.fullmatch(line.expandtabs(4).rstrip())
        if item is None:
            continue
        depth = len(item["indent"]) if depth is None else depth
        text = _unwrapped(item["text"])
        if text and len(item["indent"]) <= depth:
            found.append(text)
    return found


def same(instruction: str) -> str:
    """The key under which two instructions are duplicates: case, blanks and final punctuation make no difference."""
    return " ".join(instruction.casefold().split()).rstrip(" .,;:!?…。！？")


def _unwrapped(text: str) -> str:
    """A text without pairs of marks around the whole of it; marks that also stand within it are its own."""
    text = text.strip()
    for opening, closing in _WRAPPED:
        within = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and opening not in within and closing not in within:
            return _unwrapped(within)
    return text
