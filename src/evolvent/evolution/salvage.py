"""The instruction inside an evolver's reply: what stands around it is taken away before anything is eliminated.

Models write more than they are asked for: "Sure! Here is a harder version:", the prompt's headings again, a fence or
quotes around the instruction, a note on what they changed, the input once more. Text may also belong to the instruction
(code in a fence, headings of a document, a quotation, a list), so only what speaks of the rewriting is taken away, and
what the parent has itself stays.
"""

import re
from itertools import islice

from evolvent.evolution.requests import asks
from evolvent.records import Record

_KIND = r"(?:prompt|instruction|question|task|request|query|problem|version|rewrite|rewriting|variant|option|candidate)"
_NEW = (
    r"(?:re-?written|re-?worded|rephrased|revised|evolved|created|new|modified|updated|improved|enhanced|refined"
    r"|adapted|expanded|final(?:ly)?|harder|complex|challenging|difficult|specific|detailed|better|brand-new)"
)
_SAYS_NEW = re.compile(rf"\b{_NEW}\b", re.IGNORECASE)
_OLD = r"(?:given|original|initial|old|first|source|previous)"

# A line, or its beginning, that is a heading of the prompt: "#Rewritten Prompt#:", "**New instruction 2:**".
_MARKER = re.compile(
    rf"^[ \t>]*(?:[#*_`]+[ \t]*)?(?:the[ \t]+|my[ \t]+)?"
    rf"(?:(?P<old>{_OLD})|(?P<final>final(?:ly)?[ \t]+)?(?:more[ \t]+)?{_NEW})(?:[ \t]+|-)"
    rf"(?:prompt|instruction|question|task|request|query|version)(?:[ \t]*\#?\d+)?"
    rf"(?:[ \t]*[*_`#]+[ \t]*[:：]?[ \t*_`]*|[ \t]*[:：][ \t]*[#*_`]*[ \t]*|[ \t]*(?=\n|\Z))",
    re.IGNORECASE | re.MULTILINE,
)
_LABEL = re.compile(
    r"\A[ \t]*[*_#]*(?:task|prompt|instruction|question|query|request|version|option|rewrite)"
    r"(?:[ \t]*\#?\d+)?[*_#]*[ \t]*[:：][ \t*_#]*",
    re.IGNORECASE,
)
_HEADING = re.compile(r"\A#{1,6}[^\S\n]+[^\n]{1,60}\n\s*(?=\S)")
_AGREEMENT = re.compile(
    r"\A\W*(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|all right|great|got it|understood|gladly"
    r"|no problem|definitely|with pleasure|yes|i understand)\b"
    r"(?:[,!.]? *(?:i['’]?d be|i['’]?ll|i can|i will|i would|i am|let me"
    r"|let['’]s|happy to|glad to)\b[^\n.!:]*)?[!.,:][ \t]*\n*[ \t]*(?=\S)",
    re.IGNORECASE,
)
# What follows an agreement, and is no instruction either.
_OPENING = re.compile(r"(?:I|let['’]?s?|we|that|this|here)\b[^\n:]{0,120}[.!][ \t]*\n\s*(?=\S)", re.IGNORECASE)
# A sentence before the instruction that speaks of the rewriting, and ends with a colon.
_PREAMBLE = re.compile(
    rf"\A\W*(?:(?:so|now|then|well|ok(?:ay)?|sure|certainly)\W+)?"
    rf"(?:here|below|this|the|my|an?|i|we|you|one|to|as|for|how|try|let|{_NEW})\b"
    rf"(?=[^\n:]{{0,160}}\b(?:re-?writ\w*|re-?phras\w*|re-?word\w*|rewrote|evolved|versions?|prompts?"
    rf"|instructions?|variants?|attempt|{_NEW} (?:and \w+ )?(?:question|task|problem|request|one)s?"
    rf"|(?:could|can|might|would) (?:ask|be)|how about|try)\b)"
    rf"[^\n:.!?]{{0,200}}[:：][ \t*_]*",
    re.IGNORECASE,
)
# What such a sentence says where the instruction follows in the same line.
_NAMES_REWRITING = re.compile(
    rf"\bhere(?: is| are|['’]s)\b.*\b(?:versions?|instructions?|prompts?)\b|\bmy version\b"
    rf"|\b{_NEW}\b.*\b{_KIND}s?\b|\b(?:re-?(?:written|worded|phrased)|evolved)\b|\brewrite (?:it|this|that)\b"
    rf"|\byou (?:could|can|might) ask\b|\btry(?: this| asking)?:",
    re.IGNORECASE | re.DOTALL,
)
_SUGGESTS = re.compile(
    r"\W*(?:\w+\W+)?(?:how about|let me|let['’]s|try (?:this|it|the|a|asking)|you (?:could|can|might))\b"
    r"|.*\btry(?: this| asking)?:",
    re.IGNORECASE,
)
# Where what follows is a text and a task on it, it belongs to the task.
_OWN_TEXT = re.compile(
    r"\W*(?:(?:i|we) have (?:an?|the|these|this|some|several|two|three|\d)|(?:this|here)(?: is|['’]s) my"
    r"|(?:these|here) are (?:my|the|some|several|two|three|\d))\b",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    rf"\b(?:some|several|a few|two|three|four|five|\d)\b[^\n]{{0,60}}\b{_KIND[:-1]}|ways|suggestions|examples)s?\b",
    re.I,
)
_OR = re.compile(r"^[^\w\n]*or\b[^\w\n]*$", re.IGNORECASE | re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(?:\d+[.)]|[-*•])[ \t]+", re.MULTILINE)

_RULE = re.compile(r"^[ \t]*(?:-{3,}|\*{3,}|_{3,})[ \t]*$", re.MULTILINE)
_FENCED = re.compile(
    r"\A(`{3,})[ \t]*(?:|text|markdown|md|plaintext|txt|prompt)[ \t]*\n(?P<text>.*)\n[ \t]*\1\Z", re.DOTALL
)
_FENCED_FIRST = re.compile(
    r"\A(`{3,})[ \t]*(?:|text|markdown|md|plaintext|txt|prompt)[ \t]*\n(?P<text>.*?)\n[ \t]*\1[ \t]*(?:\n|\Z)",
    re.DOTALL,
)
_QUOTED_FIRST = re.compile(r"\A(?:\"(?P<straight>[^\"\n]+)\"|“(?P<curly>[^”\n]+)”)[ \t]*(?:\n|\Z)")
_QUOTES = (
    ("**", "**"),
    ('"', '"'),
    ("“", "”"),
    ("«", "»"),
    ("„", "“"),
    ("「", "」"),
    ("'", "'"),
    ("‘", "’"),
    ("`", "`"),
)

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
_NOTE_LABEL = (
    r"(?:(?:key|main|revision) +)?(?:explanation +of +(?:the +)?)?(?:notes?|explanations?|rationale|justification"
    r"|reasoning|comments?|what +changed|modifications?(?: +made)?|changes(?: +made)?)"
)
_NOTE = re.compile(
    # "**Note:** I added a limit." "Changes:" with the first of them on the next line.
    rf"^[ \t>*_#(\[-]*+{_NOTE_LABEL}\b[ \t*_#]*+[:：][ \t*_#]*+(?:\n\s*+)?+"
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
# A paragraph behind the instruction that says what was done to it, in words that may also stand in one; it is such
# where nothing is asked for any more.
_REMARK = re.compile(
    r"(?<=\n\n)[ \t>*_(\[]*+(?:"
    r"(?:this|the|these|that|my|our|in this|by|it|note that|note this)\b"
    r"(?=[^\n]{0,160}?\b(?:version|rewrite|rewriting|prompts?|instructions?|code|constraints?|requirements?"
    r"|complexity|complex|challenging|harder|difficult\w*|specific|added|adding|adds|changes?)\b)"
    r"|(?:I|we)(?:['’]ve|['’]ll|['’]d)? +(?:have +|also +|only +|just +|then +|hope\b|tried +to +|can +)*"
    r"(?:added|kept|introduced|changed|rewrote|rewritten|made|increased|modified|revised|included|this)\b"
    r"|this (?:will|code|function|program|script|query|approach|solution|would|should|can|could|may)\b"
    r"|(?:let me know|feel free|hope this|i hope|would you like|do you want|is there anything)\b"
    r"|(?:notes?|explanations?|rationale|reasoning|justification|changes|why this works|what changed)[ \t*_]*[:：])",
    re.IGNORECASE,
)
# What follows may be a text that is to be worked on.
_DATA = re.compile(
    r"[:：][ \t]*\n|\b(?:this|following|given|below)\s+(?:text|passage|paragraph|article|email|story)\b", re.IGNORECASE
)
# A paragraph that sets conditions, and so is none.
_CONDITION = re.compile(r"\b(?:should|must|ha(?:s|ve) to|needs? to|may not)\b", re.IGNORECASE)
# So many paragraphs that begin as remarks do are looked at.
_REMARKS = 50
_OFFER = re.compile(
    r"\W*(?:let me know|feel free|(?:i )?hope|would you like|do you want|is there anything)\b", re.IGNORECASE
)

_INPUT = re.compile(
    r"^[ \t]*[#*_]*(?:the )?(?:given |original )?inputs?[#*_]*[ \t]*[:：][ \t#*_]*", re.IGNORECASE | re.MULTILINE
)
_OUTPUT = re.compile(
    r"\n[ \t]*(?:\n[ \t]*[#*_]*|[#*_]+)(?:\w{1,10} )?"
    r"(?:outputs?|answers?|responses?|solutions?|reply|result)[#*_]*[ \t]*[:：]",
    re.IGNORECASE,
)
# Before a form that the answer is to have, and before examples, an output is no answer.
# A heading before words on the form that an answer is to have is no answer either.
_SPECIFIED = re.compile(
    r"[\W_]*(?:[\w'’-]+\W+){0,5}?(?:words?|lines?|sentences?|paragraphs?|tables?|columns?|rows?|lists?|bullets?|json|csv"
    r"|xml|yaml|html|markdown|numbers?|integers?|strings?|digits?|letters?|labels?|only|must|should|either)\b"
    r"(?! (?:is|are|was|were|has|have)\b)",
    re.IGNORECASE,
)
_FORM = re.compile(r"\bexamples?\b|\bformat|\bform\b|\btemplate|\bfollow\w*\b|[:：]\s*\Z", re.IGNORECASE)


def salvage(text: str, parent: Record, *, breadth: bool = False) -> str:
    """The instruction inside a reply.

    Args:
        text: the reply.
        parent: what was to be evolved: what it has itself is not taken away.
        breadth: whether the new instruction stands beside its parent, whose input does not go with it.

    Returns:
        The instruction without surrounding blanks; empty if there is none.
    """
    own = parent.instruction
    text = _of_the_markers(text.strip(), own)
    text = without_note(_without_preamble(text, own), own).strip()
    text = unwrapped(text, own)
    return _without_sections(text, parent, breadth=breadth)


def _of_the_markers(text: str, parent: str) -> str:
    """Of what stands before, between and behind headings of the prompt the first candidate, or the one called final."""
    markers = list(_MARKER.finditer(text))
    if not markers or _MARKER.search(parent):
        return text
    before = text[: markers[0].start()].strip()
    ends = [*(marker.start() for marker in markers[1:]), len(text)]
    parts = [(marker, text[marker.end() : end].strip()) for marker, end in zip(markers, ends, strict=True)]
    found = [(marker, part) for marker, part in parts if part and not marker["old"] and _bare(part) != _bare(parent)]
    if before and not _is_talk(before, parent):
        return before
    for marker, part in reversed(found):
        if marker["final"]:
            return part
    return found[0][1] if found else next((part for _, part in parts if part), before)


def _is_talk(before: str, parent: str) -> bool:
    """Whether what stands before the first heading is no instruction: the parent again, or words about rewriting."""
    return (
        _bare(before) == _bare(parent)
        or bool(re.search(rf"\b(?:{_KIND}|re-?writ\w+|harder|complex)\b", before, re.IGNORECASE))
        or _without_preamble(before + "\nx", parent) == "x"
        or before.endswith((":", "："))
        or bool(re.match(r"\W*(?:sure|certainly|of course|okay|step|let|i)\b", before, re.IGNORECASE))
        or not re.search(r"\w", before)
    )


def _without_preamble(text: str, parent: str) -> str:
    """The text without what is said before the instruction, and of several candidates the first."""
    begun, several, whole = False, False, text
    for pattern in (_AGREEMENT, _PREAMBLE, _AGREEMENT, _PREAMBLE, _LABEL):
        match = pattern.match(text)
        if match and text[match.end() :].strip() and not pattern.match(parent):
            if pattern is _PREAMBLE and not _speaks_of_the_rewriting(match[0], text[match.end() :]):
                continue
            if pattern is _AGREEMENT and (opening := _OPENING.match(text, match.end())):
                match = opening
            begun |= pattern is not _AGREEMENT
            several |= bool(_SEVERAL.search(match[0]))
            text = text[match.end() :].strip()
    heading = _HEADING.match(text)
    if heading and not parent.startswith("#") and not re.search(r"^#{1,6} ", text[heading.end() :], re.MULTILINE):
        text = text[heading.end() :].strip()
    if begun:  # what is wrapped behind "Here is the new version:" is all that belongs to it
        wrapped = _FENCED_FIRST.match(text) or _QUOTED_FIRST.match(text)
        if wrapped and not parent.startswith(("```", '"', "“")):
            behind = without_note(text)[wrapped.end() :].strip()
            if not _SAYS_NEW.search(whole.removesuffix(text)) and _works_on_it(wrapped[0], behind):
                return whole
            return str(next(filter(None, wrapped.groupdict().values()))).strip()
    if several and len(items := [part.strip() for part in _ITEM.split(text) if part.strip()]) > 1:
        return items[0]
    if (either := _OR.search(text)) and not _OR.search(parent):
        other = text[either.end() :].strip()
        if asks(other) and not other[:1].islower():
            return text[: either.start()].strip() or text
    return text


def _speaks_of_the_rewriting(preamble: str, behind: str) -> bool:
    """Whether a sentence with a colon is said of the instruction behind it, and does not belong to it itself."""
    if asks(preamble) and not _SUGGESTS.match(preamble):
        return False
    given, _, then = behind.strip().partition("\n")
    if _OWN_TEXT.match(preamble) and not _SAYS_NEW.search(preamble) and asks(then) and not asks(given):
        return False
    return behind.lstrip(" \t*_")[:1] in tuple("\n\"“`'‘«„") or bool(_NAMES_REWRITING.search(preamble))


def _works_on_it(wrapped: str, behind: str) -> bool:
    """Whether a text in quotes or a fence is for a task behind it: "Here is a prompt: “Hello” Translate it."."""
    if _OFFER.match(behind) or not asks(behind):
        return False
    return not re.match(r"[\"“`]|\W*or\b", behind, re.IGNORECASE) or not asks(wrapped)


def _without_sections(text: str, parent: Record, *, breadth: bool) -> str:
    """The text without an answer behind it, and without the parent's input, which the record holds."""
    output = _OUTPUT.search(text)
    if (
        output
        and not _OUTPUT.search(f"\n{parent.question}")
        and not _FORM.search(text[: output.start()])
        and not _SPECIFIED.match(text[output.end() :].lstrip("*_# \n").partition("\n")[0])
    ):
        text = text[: output.start()].strip()
    given = parent.input.strip()
    if breadth or not given:
        return text
    for section in list(_INPUT.finditer(text))[-3:]:
        if section.start() and _bare(text[section.end() :]) in (_bare(given), ""):
            return text[: section.start()].strip()
    before = text.removesuffix(given)
    return before.strip() if before.strip() and before.endswith("\n") else text


def unwrapped(text: str, parent: str) -> str:
    """The text without a horizontal rule above or below it, and without a fence, bold or quotes around all of it.

    What the parent stands in stays.
    """
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


def without_note(text: str, parent: str = "") -> str:
    """The text up to the first note about the rewriting; what stands in the first line is none.

    Where the parent has such a note itself, it belongs to the instruction, and nothing is cut.

    A note begins at a line and is one of these, together with all that follows it:

    - a label (Note, Explanation, Changes made and the like) and a colon, and on the same line, or the next if nothing
      else stands there, words about the rewriting: "the original instruction", "I added", "12 words were added";
    - a line in brackets with such words;
    - a paragraph that begins with I, We, This or The and speaks of the rewritten, revised, evolved, original, new or
      final instruction or prompt, or of a number of words added; or any that speaks of the rewritten instruction;
    - a paragraph that begins as such remarks do ("This adds …", "I kept …", "Explanation:"), where neither it nor what
      follows asks for anything and it sets no condition ("must", "should"), or an offer ("Let me know if …").
    """
    if parent and without_note(parent) != parent:
        return text
    begun = len(text) - len(text.lstrip())
    note = _NOTE.search(text, begun + 1)
    data = _DATA.search(text)
    remarks = (
        one.start()
        for one in islice(_REMARK.finditer(text, begun + 1), _REMARKS)
        if _OFFER.match(one[0])
        or not (
            (data and data.end() <= one.start())
            or _CONDITION.search(text[one.start() :].lstrip().partition("\n\n")[0])
            or asks(text[one.start() :])
        )
    )
    starts = [*islice(remarks, 1), *([note.start()] if note else [])]
    start = min(starts, default=None)
    return text if start is None else _RULE_AT_THE_END.sub("", text[:start])


def _bare(text: str) -> str:
    """The text casefolded, its letters and digits only."""
    return "".join(filter(str.isalnum, text.casefold()))
