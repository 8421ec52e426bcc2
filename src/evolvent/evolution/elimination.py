"""Elimination of failed evolutions: exact predicates on what the evolver wrote; nobody is asked.

WizardLM's rules (arXiv 2304.12244, §3.2) are R1, which a judge decides, and R4; those on the response (R2, R3) are
applied where responses are made. The others are ours: what small models give back instead of a new instruction. The
reasons written into records, in the order in which they are looked for:

================  ==============================================================================================
``empty``         the evolver gave no text; where it only thought: ``only reasoning``, ``cut inside its reasoning``
``truncated``     its reply was cut at the token limit
``filtered``      a content filter of the server cut or withheld it
``refused``       the evolver gave a refusal and no text
``unchanged``     equal to the parent after casefolding and dropping punctuation and spaces
``leak``          it holds words of the prompt's scaffold that the parent does not hold (R4)
``equals_input``  equal to the parent's input or output
``loop``          a line or a run of words comes again and again, or its reply was ended in a loop
``prompt_echo``   a run of words comes from our own prompt or from a demonstration, and not from the parent
``meta``          it speaks of the prompt, of its rewriting or of an AI; the parent does not
``answered``      a reply to the parent instead of an instruction
``paraphrase``    it asks for nothing that the parent does not ask for
``lost``          most numbers of the parent are missing, or all of its subject (not in breadth)
``missing_input`` it refers to an input that is not there
``language``      another language than the parent's
``equal``         the judge found no information gain over the parent (R1)
================  ==============================================================================================

From ``prompt_echo`` on they are rules on English words; where the parent is plainly in another language they are silent
apart from ``lost`` and ``language``.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from evolvent.call_store.ask import CUT, why_cut
from evolvent.datasets.language import language
from evolvent.errors import InputError
from evolvent.models.protocols import Reply
from evolvent.records import Message, Record
from evolvent.words import STOP_WORDS, content_stems, other_language, runs, words

# Words of the prompts' scaffold. "#Given Prompt#" and the like hold them too.
LEAKS = ("given prompt", "rewritten prompt", "created prompt", "#input#")

# The rules that can be switched off.
RULES = (
    "unchanged",
    "leak",
    "equals_input",
    "loop",
    "prompt_echo",
    "meta",
    "answered",
    "paraphrase",
    "lost",
    "missing_input",
    "language",
)

# A run of so many words, of which at least so many are no stop words, is no accident.
ECHO_WORDS, ECHO_CONTENT = 5, 3
# A line that comes so often makes a loop; so does a run of so many words that comes so often and makes up such a share.
LOOP_LINES, LOOP_RUN, LOOP_RUNS, LOOP_SHARE = 3, 4, 4, 0.3
# New content words that a rewritten instruction has at least, and an added sentence; their share of all it has.
NEW_WORDS, NEW_WORDS_ADDED, NEW_SHARE = 3, 2, 0.25
# The share of the parent's numbers that may go: strong models change some on purpose.
LOST_NUMBERS = 0.5
# In breadth: the share of content words that two different tasks have in common at the most.
SHARED_IN_BREADTH = 0.6
# An added sentence with more sentences than this has gone on to answer.
SENTENCES_ADDED = 2

_DROPPED = bytes(code for code in range(128) if unicodedata.category(chr(code))[0] in "PZC")
_META = re.compile(
    r"\b(?:the|this|a|your|my)\s+(?:\w+\s+)?(?:prompt|instruction)s?\b|\bre-?(?:word|write|writ)(?:ten|ing)?\b[^.\n]*\b"
    r"(?:prompt|instruction|task)\b|\bas an ai\b|\ba language model\b|\bthe (?:user|task) (?:asks|wants|is)\b"
    r"|\bnew task\b|\bhow to rewrite\b",
    re.IGNORECASE,
)
_RESULT = re.compile(
    r"=\s*[$€£]?\s*\d[\d,.]*\s*(?:$|[.\n;)])|\bthe answer is\b|\bhere(?: is|'s|’s| are)\b", re.IGNORECASE
)
_REQUESTS = frozenset(
    """
    add adjust analyze analyse answer apply argue arrange assess assign assume brainstorm build calculate categorize
    change characterize check choose cite clarify classify combine come compare compile complete compose compute
    conclude condense consider construct contrast convert correct count craft create critique decide deduce define
    demonstrate derive describe design detect determine develop devise differentiate discuss display distinguish divide
    do draft draw edit elaborate eliminate estimate evaluate examine expand explain explore express extract fill find
    fix form format formulate generate give group guess highlight hypothesize identify illustrate imagine implement
    improve include indicate infer insert interpret introduce invent investigate join judge justify label let list
    locate look make mark match measure mention merge modify multiply name note offer order organize outline paraphrase
    perform pick plan plot predict prepare present print produce program prompt proofread propose prove provide put
    question rank rate read rearrange recite recommend record reduce refactor refer reflect reformulate rename reorder
    repeat rephrase replace report represent research respond restate retrieve return reverse review revise reword
    rewrite round say search select sequence set share shorten show simplify simulate sketch solve sort specify spell
    split start state structure subtract suggest sum summarize summarise suppose take tell test think trace transcribe
    transform translate turn update use using utilize verify visualize weigh work write
    """.split()  # noqa: SIM905
)
_CODE_LINE = re.compile(
    r"\A(?:def |import |from \w+ import |class |public |#include|function \w*\(|const |let \w+ = |var |<\w+|SELECT )"
)
_ASKING = re.compile(
    r"\?|\b(?:you (?:must|should|have to|need to|are (?:to|asked))|your (?:task|job|answer)|can you)\b", re.I
)
_BEFORE_A_REQUEST = frozenset("please then also now first next finally and or to lastly afterwards kindly".split())  # noqa: SIM905
_CLAUSE = re.compile(r"[.!?;:,\n()]+")
_SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z])")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?!\w)")
_THINGS = (
    "text|passage|article|paragraph|sentences?|table|list|code|snippet|data(?:set)?|poem|story|email|letter|image|"
    "picture|graph|numbers?|words?|input|equation|statement|conversation|dialogue|review|quote|function|string|array"
)
_REFERENCE = re.compile(
    rf"\b(?:following|given|provided|attached)\s+(?:\w+\s+)?(?:{_THINGS})\b|\b(?:{_THINGS})\s+(?:below|above|provided)\b"
    r"|\b(?:shown|given|listed) (?:below|above)\b",
    re.IGNORECASE,
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
        "equals_input": lambda: _bare(new) in {_bare(text) for text in (parent.input, parent.output) if text},
        "loop": lambda: loops(new),
        "prompt_echo": lambda: english and echoes(parent.question, new, asked),
        "meta": lambda: english and not _META.search(parent.question) and _META.search(new),
        "answered": lambda: english and answers(parent, evolved if own is None else own, added=own is not None),
        "paraphrase": lambda: english and paraphrases(parent, new, added=added, breadth=breadth),
        "lost": lambda: not breadth and loses(parent, evolved, english=english),
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
    return evolved[len(before) :].strip() if evolved.casefold().startswith(before.casefold()) else ""


def leaks(parent: str, evolved: str, scaffold: Collection[str] = LEAKS) -> bool:
    """R4: whether ``evolved`` holds a scaffold phrase that ``parent`` does not hold."""
    before, after = parent.casefold(), evolved.casefold()
    return any(phrase in after and phrase not in before for phrase in scaffold)


def loops(text: str) -> bool:
    """Whether a line, or a run of words, comes again and again."""
    lines = Counter(line.strip() for line in text.splitlines() if len(line.strip()) > 1)
    if max(lines.values(), default=0) >= LOOP_LINES:
        return True
    often = max(Counter(runs(text, LOOP_RUN)).values(), default=0)
    return often >= LOOP_RUNS and often * LOOP_RUN >= LOOP_SHARE * len(words(text))


def echoes(parent: str, new: str, asked: Sequence[Message]) -> bool:
    """Whether a run of words comes from what the evolver was sent, and not from the parent."""
    shown = set().union(*(runs(turn["content"], ECHO_WORDS) for turn in asked)) if asked else set()
    known = set(runs(parent, ECHO_WORDS))
    return any(
        run in shown and run not in known and sum(word not in STOP_WORDS for word in run) >= ECHO_CONTENT
        for run in runs(new, ECHO_WORDS)
    )


def answers(parent: Record, new: str, *, added: bool) -> bool:
    """Whether a text is a reply to the parent: it asks for nothing, states a result, or brings code along.

    A parent that asks for nothing itself is no measure. What was added begins as it was told to, so only what follows
    can be a reply.
    """
    if _RESULT.search(new) and not _RESULT.search(parent.question):
        return True
    if ("```" in new and "```" not in parent.question) or (
        _CODE_LINE.match(new) and not _CODE_LINE.match(parent.question)
    ):
        return True
    if added:
        return len(_SENTENCE_END.findall(new)) >= SENTENCES_ADDED or new.rstrip().endswith(":")
    return asks(parent.instruction) and not asks(new)


def asks(text: str) -> bool:
    """Whether a text asks for something: a question, a word of request that begins a clause, or words to the reader."""
    if _ASKING.search(text):
        return True
    for clause in _CLAUSE.split(text.casefold()):
        begun = [word for word in words(clause)[:3] if word not in _BEFORE_A_REQUEST]
        if begun and begun[0] in _REQUESTS:
            return True
    return False


def paraphrases(parent: Record, new: str, *, added: bool, breadth: bool) -> bool:
    """Whether a text asks for nothing new, by the content words that the parent lacks."""
    old, stems = content_stems(parent.question), content_stems(new)
    if breadth:
        return len(stems & old) >= SHARED_IN_BREADTH * min(len(stems), len(old)) and len(stems - old) < NEW_WORDS + 1
    short = max(1, len(content_stems(parent.instruction)) // 2)  # "Bake bread" takes one more word
    enough = min(NEW_WORDS_ADDED if added else NEW_WORDS, short)
    return len(stems - old) < enough or (added and len(stems - old) < NEW_SHARE * len(stems))


def loses(parent: Record, evolved: str, *, english: bool) -> bool:
    """Whether most numbers of the parent's instruction, or all of its subject, are gone."""
    numbers, subject = set(_NUMBER.findall(parent.instruction)), content_stems(parent.question)
    gone = numbers - set(_NUMBER.findall(f"{evolved}\n{parent.input}"))
    return (len(numbers) > 1 and len(gone) > LOST_NUMBERS * len(numbers)) or (
        english and bool(subject) and subject.isdisjoint(content_stems(evolved))
    )


def misses_input(parent: Record, evolved: str, *, breadth: bool) -> bool:
    """Whether a text refers to an input that neither it nor its record holds."""
    if not _REFERENCE.search(evolved) or ("" if breadth else parent.input):
        return False
    if ":" in evolved or "\n" in evolved or '"' in evolved:  # it may hold the input itself
        return False
    return breadth or not _REFERENCE.search(parent.instruction)


def speaks_another(parent: Record, new: str) -> bool:
    """Whether a text is in another language than the parent's instruction, where both can be told."""
    before, after = language(parent.instruction), language(new)
    return before is not None and after is not None and before != after


def judged_equal(reply: Reply) -> bool | None:
    """R1: the judge's verdict; None if the reply holds none ("Equal" is part of "Not Equal", hence the order)."""
    if reply.finish_reason in CUT:
        return None
    if re.search(r"(?:\bnot|n['’]t)\W+(?:\w+\W+){0,2}equal\b", reply.text, re.IGNORECASE):
        return False
    if re.search(r"\bequal\b", reply.text, re.IGNORECASE):
        return True
    return None


def _bare(text: str) -> str:
    """The text casefolded, without punctuation and blanks; all of it if nothing else is left."""
    return _kept(text.casefold()) or "".join(text.split())


def _kept(text: str) -> str:
    """The text without punctuation, blanks and control characters."""
    if text.isascii():
        return text.encode().translate(None, _DROPPED).decode()
    return "".join(char for char in text if unicodedata.category(char)[0] not in "PZC")
