"""Elimination of failed evolutions: exact predicates on what the evolver wrote; nobody is asked.

WizardLM's rules (arXiv 2304.12244, §3.2) are R1, which a judge decides, and R4; those on the response (R2, R3) are
applied where responses are made. The others are ours: what small models give back instead of a new instruction. What
is written into records, and what it means, is in ``REASONS``, in the order in which it is looked for.

From ``prompt_echo`` on they are rules on English words; where the parent is plainly in another language they are silent
apart from ``code``, ``lost`` and ``language``.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from evolvent.call_store.ask import why_cut
from evolvent.datasets.language import language
from evolvent.errors import InputError
from evolvent.evolution.requests import REQUESTS, asks
from evolvent.models.protocols import Reply
from evolvent.records import Message, Record
from evolvent.words import STEM, STOP_WORDS, content_stems, other_language, runs, words

# Words of the prompts' scaffold. "#Given Prompt#" and the like hold them too.
LEAKS = ("given prompt", "rewritten prompt", "created prompt", "#input#")

# Why an evolution is eliminated.
REASONS = {
    "empty": "the evolver gave no text",
    "only reasoning": "the evolver only thought",
    "cut inside its reasoning": "the evolver was still thinking at the token limit",
    "truncated": "the reply was cut at the token limit",
    "filtered": "a content filter of the server cut or withheld the reply",
    "refused": "the evolver gave a refusal and no text",
    "unparsed": "no instruction is found in the reply",
    "unchanged": "equal to the parent after casefolding and dropping punctuation and spaces",
    "leak": "it holds words of the prompt's scaffold that the parent does not hold (R4)",
    "equals_input": "equal to the parent's input or output",
    # Where the reply was ended in a loop it is cut like one at the token limit, which cannot be switched off.
    "loop": "a line or a run of words comes again and again, or the reply was ended in a loop",
    "prompt_echo": "a run of words comes from our own prompt or from a demonstration, and not from the parent",
    "meta": "it speaks of the prompt, of its rewriting or of an AI; the parent does not",
    "code": "it is code, or goes on with a fence of code, and the parent does not",
    "answered": "a reply to the parent instead of an instruction",
    "paraphrase": "it asks for nothing that the parent does not ask for",
    "lost": "most data or most of the subject of the parent is missing (not in breadth)",
    "missing_input": "it refers to an input that is not there",
    "language": "another language than the parent's",
    "equal": "the judge found no information gain over the parent (R1)",
}

# The rules that can be switched off.
RULES = (
    "unchanged",
    "leak",
    "equals_input",
    "loop",
    "prompt_echo",
    "meta",
    "code",
    "answered",
    "paraphrase",
    "lost",
    "missing_input",
    "language",
)

# A run of so many words, of which at least so many say something, is no accident.
ECHO_WORDS, ECHO_CONTENT = 5, 3
# A line of so many words that comes so often makes a loop; so does a run of so many words that comes so often and makes
# up such a share.
LOOP_WORDS, LOOP_LINES, LOOP_RUN, LOOP_RUNS, LOOP_SHARE = 3, 3, 4, 5, 0.3
# New content words that a rewritten instruction has at least (one is enough if it is so many words longer), and an
# added sentence; their share of all it has.
NEW_WORDS, LONGER, NEW_WORDS_ADDED, NEW_SHARE = 3, 6, 1, 0.25
# The share of the parent's numbers, and of its quotations, that may go; the share of its subject's words that stays.
LOST_DATA, KEPT_SUBJECT = 0.5, 0.2
# In breadth: the share of content words that two different tasks have in common at the most.
SHARED_IN_BREADTH = 0.6
# An added sentence with more sentences than this has gone on to answer.
SENTENCES_ADDED = 2
# Shorter texts are in no language for sure.
LANGUAGE_LETTERS = 40

# Words that tasks share by chance.
_COMMON = frozenset(
    """
    given following example way ways list lists number numbers function python code string strings program takes
    returns argument arguments text sentence sentences word words task question answer input output value values
    people
    """.split()  # noqa: SIM905
)
_DROPPED = bytes(code for code in range(128) if unicodedata.category(chr(code))[0] in "PZC")
_OF_OURS = r"(?:original|given|rewritten|created|new|revised|evolved|modified|previous|initial|above|current|user['’]s)"
_META = re.compile(
    # "the shell prompt" and "the original instructions for assembly" are things of the world
    rf"\b(?:(?:the|this|your|my)\s+(?:{_OF_OURS}\s+)?|{_OF_OURS}\s+)prompts?\b(?! engineering)"
    r"|\b(?:this|original|given|the new|your) instruction\b(?! sets?\b)"
    r"|\b(?:rewritten|revised|evolved) (?:instruction|task|question)s?\b"
    r"|\bthe instruction (?:asks|is (?:to|now|more|too|clear)|should|must|needs)\b"
    r"|\bre-?(?:word|writ|phras)(?:e|ten|ing|ed)?\b[^.\n]{0,80}?"
    r"\b(?:the|this|that|your|my) (?:\w+ )?(?:prompt|instruction|task|question)\b"
    r"|\bmak(?:e|es|ing) (?:it|this|that|the (?:question|task|problem)) (?:\w+ )?(?:harder|difficult|challenging)\b"
    r"(?! (?:to|for)\b)"
    r"|\bconstraint or requirement\b|\bas an ai\b|\bas a language model\b|\A\W*the user (?:asks|wants|is)\b"
    r"|\A\W*(?:(?:the|a|my|your|here is a) )?new task\b|\bnew task:|\b\d+ (?:\w+ )?words? (?:were |are )?added\b"
    r"|\A\W*(?:to answer )?(?:this|the) (?:question|task|problem|prompt|request)\b",
    re.IGNORECASE,
)
_AMOUNT = r"[$€£]?\d[\d.,]{0,30}+(?:\s?%|\s(?!x\b)[a-z]{1,12}){0,2}+\)?"
_RESULT = re.compile(
    # "4 + 2 = 6", "5 packs * 18 = 90": a sum of numbers that is worked out, or the end of one
    rf"(?<![\w^{{}}\\.])(?<!\d,)\(?{_AMOUNT}\s*+[-+*/x×÷−]\s*+\(?{_AMOUNT}\s*+=\s*+[$€£]?\d"
    r"|(?:\A|[.!?\n])[^\S\n]*+(?:(?:so|thus|therefore|hence)?,? ?)the (?:final |correct )?answer is\b"
    r"(?![^\n]{0,300}\?)",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(r"\bexamples?\b|\be\.g\.", re.IGNORECASE)
# How replies begin, and no tasks do.
_BEGINS_A_REPLY = re.compile(
    r"\W*(?:here(?: is|['’]s| are) (?:a|an|some|the|one|two|three|four|five|my|your|how|what)\b[^\n]*:\s*\n"
    r"|(?:1[.)]|[-*•]) |(?:step|day) 1\b|dear \w+|(?:title|subject):|verse\b|once upon a time|yes,|no,"
    r"|as an ai\b|i['’]m sorry|sorry,|this code\b|in this (?:code|example)\b"
    r"|(?:the )?(?:answer|output|result|solution)s?\b\W*(?::|is\b|would be\b|will be\b))",
    re.IGNORECASE,
)
# How code begins, behind comments.
_CODE = re.compile(
    r"(?:\s*+(?:#(?!include)|//|--|/\*|\"\"\").*\n)*+\s*+(?:(?:async )?def \w+\(|class \w+\W|from [\w.]+ import "
    r"|(?:import|package) (?:static )?[\w.*]+(?: as \w+)?(?:, *[\w.]+(?: as \w+)?)*[ \t]*(?:[;#]|$)"
    r"|import [^\n]{0,200}(?:from )?['\"]|return [\w.]+$"
    r"|#include\b|using namespace|(?:public|private|static|return|const) [^\n]{0,200}[;{}()=+*\[]|struct \w+"
    r"|(?:function|func|fn) \w*\(|let \w+ =|var \w+|@\w+|[{}^]|<[!?/\w]|[.#]?[\w-]+ *\{ *$"
    r"|[\w.\[\]]+ = |[\w.]+\(.*\);?$|(?:for|while|if) ?\(|for \w+(?:, *\w+)* in [^\n]{1,200}:$"
    r"|(?:while|if) (?:[^,\n]{1,200}|[^\n]{0,200}[=<>()\[\]][^\n]{0,200}):$"
    r"|SELECT (?:[\d*'\"@(]|[^;]{1,2000}?\bFROM\b)|INSERT INTO \S|UPDATE \S+\s+SET\b|DELETE FROM\b"
    r"|(?:CREATE|ALTER) TABLE (?:IF (?:NOT )?EXISTS )?\S+?\s*(?:\(|\s(?:AS|ADD|DROP|ALTER|RENAME|MODIFY)\b))",
    re.MULTILINE,
)
_SHOWS_CODE = re.compile(r"\b(?:this|these|following|below|given|provided|attached|here is|my)\b|:\s*\Z", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z])")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?!\w)")
_THINGS = (
    "texts?|passages?|articles?|paragraphs?|sentences?|tables?|code|snippets?|data(?:set)?|poems?|story|stories|emails?"
    "|letter|images?|picture|graph|diagram|equations?|statements?|conversation|dialogue|reviews?|quotes?|tweets?"
    "|recipe|documents?"
    "|lists?|numbers?|words?|strings?|arrays?|input|function|json|inputs"
)
_REFERENCE = re.compile(
    rf"\bfollowing\s+(?:[\w-]+\s+){{0,3}}(?:{_THINGS})\b"
    rf"|\b(?:the|this|these|my|your)\s+(?:given|provided|attached|above)\s+(?:[\w-]+\s+){{0,2}}(?:{_THINGS})\b"
    rf"|\b(?:{_THINGS})\s+(?:below|above|provided|attached|given)\b(?! that| by| in| to)"
    r"|\b(?:shown|given|listed|provided|described) (?:below|above)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"([^\"\n]{2,60})\"|“([^”\n]{2,60})”|(?<!\w)'([^'\n]{2,40})'(?!\w)")
_NUMBER_WORDS = frozenset(
    """
    one two three four five six seven eight nine ten eleven twelve half twice double third quarter dozen thirds
    fourth fifth sixth seventh eighth ninth tenth twenty hundred thousand
    """.split()  # noqa: SIM905
)


def eliminate(
    parent: Record,
    evolved: str,
    reply: Reply,
    asked: Sequence[Message] = (),
    *,
    own: str | None = None,
    scaffold: Collection[str] = LEAKS,
    breadth: bool = False,
    without: Collection[str] = (),
) -> str | None:
    """Why an evolution fails without asking anybody, or None if it passes.

    Args:
        parent: what it was evolved from.
        evolved: the new instruction, stripped.
        reply: the evolver's reply that it stands in.
        asked: what the evolver was sent, demonstrations included.
        own: what of the new instruction the evolver made up, where it only added to the parent's; None for all of it.
        scaffold: words of the prompt that must not leak into it, casefolded.
        breadth: whether it is a new instruction beside the parent, and no harder one of it.
        without: names of rules that are switched off.
    """
    reason = why_cut(reply) or (None if evolved else "empty")
    if reason is not None:
        return reason
    added, new = own is not None, evolved if own is None else own
    if own is None and not breadth and (further := _further(parent.instruction, evolved)):
        added, new = True, further
    english = language(parent.question) in (None, "en") and not other_language(parent.question)
    rules: dict[str, Callable[[], object]] = {
        "unchanged": lambda: _bare(evolved) == _bare(parent.instruction),
        "leak": lambda: leaks(parent.instruction, evolved, scaffold),
        "equals_input": lambda: _bare(evolved) in {_bare(text) for text in (parent.input, parent.output) if text},
        "loop": lambda: loops(new),
        "prompt_echo": lambda: english and echoes(parent.question, new, asked),
        "meta": lambda: english and not _META.search(parent.question) and _META.search(new),
        "code": lambda: brings_code(parent, evolved if own is None else own),
        "answered": lambda: english and answers(parent, evolved if own is None else own, added=own is not None),
        "paraphrase": lambda: english and paraphrases(parent, new, added=added, breadth=breadth),
        "lost": lambda: not (added or breadth) and loses(parent, evolved, english=english),
        "missing_input": lambda: english and misses_input(parent, evolved, breadth=breadth),
        "language": lambda: speaks_another(parent, new),
    }
    return next((name for name, holds in rules.items() if name not in without and holds()), None)


def check_rules(names: Collection[str]) -> None:
    """Check the names of rules that are to be switched off.

    Raises:
        InputError: an unknown one.
    """
    unknown = sorted(set(names) - set(RULES))
    if unknown:
        raise InputError(f"no rule of elimination is named {', '.join(unknown)}", fix=f"Rules: {', '.join(RULES)}.")


def _further(parent: str, evolved: str) -> str:
    """What stands behind the parent's own words, where an evolution begins with all of them."""
    before = parent.strip().rstrip(".?!:;")
    if not words(before) or not evolved.casefold().startswith(before.casefold()):
        return ""
    further = evolved[len(before) :]
    return "" if re.match(r"\w", further) else further.strip()  # "Write a storyboard" adds nothing to "Write a story"


def leaks(parent: str, evolved: str, scaffold: Collection[str] = LEAKS) -> bool:
    """R4: whether ``evolved`` holds a scaffold phrase that ``parent`` does not hold."""
    before, after = parent.casefold(), evolved.casefold()
    return any(phrase in after and phrase not in before for phrase in scaffold)


def loops(text: str) -> bool:
    """Whether a line of words, or a run of words, comes again and again."""
    lines = Counter(line.strip().casefold() for line in text.splitlines() if len(words(line)) >= LOOP_WORDS)
    if max(lines.values(), default=0) >= LOOP_LINES:
        return True
    often = max(Counter(runs(text, LOOP_RUN)).values(), default=0)
    return often >= LOOP_RUNS and often * LOOP_RUN >= LOOP_SHARE * len(words(text))


def echoes(parent: str, new: str, asked: Sequence[Message]) -> bool:
    """Whether a run of words comes from what the evolver was sent, and not from the parent."""
    shown = set().union(*(runs(turn["content"], ECHO_WORDS) for turn in asked)) if asked else set()
    known = set(runs(parent, ECHO_WORDS))
    return any(
        run in shown and run not in known and len(set(run) - STOP_WORDS - REQUESTS - _COMMON) >= ECHO_CONTENT
        for run in runs(new, ECHO_WORDS)
    )


def answers(parent: Record, new: str, *, added: bool) -> bool:
    """Whether a text is a reply to the parent: it begins as replies do, states a result, or asks for nothing.

    A parent that asks for nothing itself is no measure. What was added begins as it was told to, so only what follows
    can be a reply.
    """
    asked = parent.question
    if _RESULT.search(new) and not _RESULT.search(asked) and not _EXAMPLE.search(new):
        return True
    if _BEGINS_A_REPLY.match(new) and not _BEGINS_A_REPLY.match(asked):
        return True
    if added:
        return len(_SENTENCE_END.findall(new)) >= SENTENCES_ADDED or new.rstrip().endswith(":")
    return asks(parent.instruction) and not asks(new)


def brings_code(parent: Record, new: str) -> bool:
    """Whether a text is code or goes on with a fence of it, where the parent has none and nothing refers to it."""
    if _CODE.match(new) and not _CODE.match(parent.instruction):
        return True
    before, fence, _ = new.partition("```")
    return bool(fence) and "```" not in parent.question and not _SHOWS_CODE.search(before)


def paraphrases(parent: Record, new: str, *, added: bool, breadth: bool) -> bool:
    """Whether a text asks for nothing new, by the content words that the parent lacks; an exchanged number is none."""
    old, stems = content_stems(parent.question), content_stems(new)
    if breadth:
        return len(stems & old) >= SHARED_IN_BREADTH * min(len(stems), len(old)) and len(stems - old) < NEW_WORDS + 1
    short = max(1, len(content_stems(parent.instruction)) // 2)  # "Bake bread" takes one more word
    numbers = {stem for stem in stems - old if stem[0].isdigit()}
    exchanged = min(len(numbers), sum(stem[0].isdigit() for stem in old - stems)) if not added else 0
    fresh, longer = len(stems - old) - exchanged, len(words(new)) - len(words(parent.instruction))
    if added:
        return fresh < min(NEW_WORDS_ADDED, short) or fresh < NEW_SHARE * len(stems)
    enough = 1 if longer >= LONGER else NEW_WORDS
    return fresh < min(enough, short)


def loses(parent: Record, evolved: str, *, english: bool) -> bool:
    """Whether most data of the parent's instruction (numbers, quotations, code) or most of its subject is gone.

    Numbers may be exchanged for as many others: strong models change some on purpose.
    """
    told = f"{evolved}\n{parent.input}"
    if "```" in parent.instruction and "```" not in told:
        return True
    numbers, now = set(_NUMBER.findall(parent.instruction)), set(_NUMBER.findall(told))
    if len(numbers - now) > LOST_DATA * len(numbers):
        spelt = len(_NUMBER_WORDS.intersection(words(told))) - len(_NUMBER_WORDS.intersection(words(parent.question)))
        if len(now) + max(0, spelt) < len(numbers):
            return True
    quoted = [next(filter(None, found)).casefold() for found in _QUOTED.findall(parent.instruction)]
    if sum(one not in told.casefold() for one in quoted) > LOST_DATA * len(quoted):
        return True
    subject = content_stems(parent.question) - {word[:STEM] for word in REQUESTS | _COMMON}
    return english and len(subject & content_stems(evolved)) < KEPT_SUBJECT * len(subject)


def misses_input(parent: Record, evolved: str, *, breadth: bool) -> bool:
    """Whether a text refers to an input that neither it nor its record holds."""
    if not (reference := _REFERENCE.search(evolved)) or ("" if breadth else parent.input):
        return False
    if re.search(r"[:\n\"“”]", evolved):  # it may hold the input itself
        return False
    if re.search(
        r"\b(?:function|program|script|query|method|algorithm|code to|class)\b", evolved[: reference.start()], re.I
    ):
        return False  # its argument
    return breadth or not _REFERENCE.search(parent.instruction)


def speaks_another(parent: Record, new: str) -> bool:
    """Whether a text is in another language than the parent's instruction, where both are long enough to tell."""
    if min(len(parent.instruction), len(new)) < LANGUAGE_LETTERS:
        return False
    before, after = language(parent.instruction), language(new)
    return before is not None and after is not None and before != after


def _bare(text: str) -> str:
    """The text casefolded, without punctuation and blanks; all of it if nothing else is left."""
    return _kept(text.casefold()) or "".join(text.split())


def _kept(text: str) -> str:
    """The text without punctuation, blanks and control characters."""
    if text.isascii():
        return text.encode().translate(None, _DROPPED).decode()
    return "".join(char for char in text if unicodedata.category(char)[0] not in "PZC")
