"""Notes that a model writes under an instruction to tell how it rewrote it.

An instruction may hold a note of its own ("Note: use SI units."), so only a note that speaks of the rewriting is one.
"""

import re

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
_RULE = re.compile(r"\n[ \t]*(?:-{3,}|\*{3,}|_{3,})\s*\Z")


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
    return _RULE.sub("", text[: note.start()]) if note else text
