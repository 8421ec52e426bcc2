"""What of a reply is the instruction: preambles, notes, fences, quotes and sections around it are taken away.

An instruction may hold such things itself ("Note: use SI units."), so only a note that speaks of the rewriting is one,
and what the parent has belongs to the instruction.
"""

import re

from evolvent.records import Record

_MARKER = re.compile(
    r"^[\s#*_`]*(?:the\s+)?(?P<which>given|original|rewritten|revised|created|new|evolved)\s+(?:prompt|instruction)"
    r"[ \t#*_`]*(?::[ \t*_`]*|$)",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(r"\A#{1,6}[^\S\n]+[^\n]{1,60}\n\s*(?=\S)")
_ASSENT = r"(?:sure(?: thing)?|certainly|of course|okay|ok|absolutely|great|alright)"
_PREAMBLE = re.compile(
    rf"\A(?:{_ASSENT}\b[^\n:]{{0,20}}?[,.!]*\s+)?(?:(?:here(?:['’]s| is| are)|below is|this is|i(?:['’]ve| have))\b"
    r"[^\n:]{0,120}|(?:the\s+)?(?:rewritten|revised|evolved|new)\b[^\n:]{0,40})"
    r"\b(?:prompt|instruction|version|task|question|problem|one)\b[^\n:]{0,60}:\s*(?=\S)",
    re.IGNORECASE,
)
_ASSENT_LINE = re.compile(rf"\A{_ASSENT}[!.,][^\n]{{0,80}}\n+(?=\S)", re.IGNORECASE)
_SECTION = re.compile(
    r"^[ \t#*_`]*(?:input|output|answer|response|solution|explanation)[ \t#*_`]*:", re.IGNORECASE | re.MULTILINE
)
_RULE = re.compile(r"^[ \t]*(?:-{3,}|\*{3,}|_{3,})[ \t]*$", re.MULTILINE)
_FENCED = re.compile(r"\A(`{3,})[ \t]*(?:|text|markdown|md|plaintext)[ \t]*\n(?P<text>.*)\n[ \t]*\1\Z", re.DOTALL)
_QUOTES = (("**", "**"), ('"', '"'), ("“", "”"), ("«", "»"), ("'", "'"))


def salvage(text: str, parent: Record) -> str:
    """The instruction in a reply, which may hold more; "" if there is none.

    Args:
        text: the reply.
        parent: what the evolver was to evolve; what its instruction has itself is left.
    """
    own = parent.instruction
    text = _after_marker(text.strip(), own)
    for pattern in (_PREAMBLE, _ASSENT_LINE, *(() if own.startswith("#") else (_HEADING,))):
        if not pattern.match(own):
            text = pattern.sub("", text, count=1).strip()
    text = unwrapped(without_note(text, own).strip(), own)
    section = _SECTION.search(text, 1)
    if section and not _SECTION.search(parent.question):
        text = text[: section.start()].strip()
    if parent.input.strip() and text.endswith(parent.input.strip()):  # it stands in the record already
        text = text.removesuffix(parent.input.strip()).strip() or text
    return text


def _after_marker(text: str, parent: str) -> str:
    """What stands after the last marker of a new instruction; one with no text after it is cut off."""
    if _MARKER.search(parent):
        return text
    markers = list(_MARKER.finditer(text))
    if not markers:
        return text
    ends = [*(marker.start() for marker in markers[1:]), len(text)]
    for marker, end in zip(reversed(markers), reversed(ends), strict=True):
        found = text[marker.end() : end].strip()
        if found and marker["which"].casefold() not in ("given", "original"):
            return found
    return text[: markers[0].start()].strip()


def unwrapped(text: str, parent: str) -> str:
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
