"""Win, tie or lose against another's answers to the same instructions, by a judge who sees both orders.

Source: arXiv 2412.11231, App. (figures 6 and 7), after Cherry LLM, arXiv 2308.12032, whose rule of two orders is
taken: a win is two wins, or a win and a tie; a tie two ties, or a win and a loss. The published code asks once, takes a
verdict from anywhere in the reply, and what it cannot read for a tie; here the last line alone counts, and what it does
not say is no verdict.
"""

import asyncio
import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial

from evolvent.call_store.ask import ask
from evolvent.concurrency import together
from evolvent.metrics.difficulty import PROMPTS
from evolvent.metrics.metric import Metric, Values, Whole, Window
from evolvent.metrics.verdicts import why_no_verdict
from evolvent.models.protocols import Sampling
from evolvent.prompts import load_prompt
from evolvent.records import Column, Record, conversation

PROMPT = load_prompt("win", [PROMPTS])


def asked(mark: str, question: str, first: str, second: str) -> str:
    """What the judge is asked; ``mark`` sets the texts off."""
    return PROMPT.render(mark=mark, question=question, first=first, second=second)


# Comparisons that are shown first: small models else end with a sentence of their own, and not with a verdict.
SHOWN = (
    (
        asked(
            "90d3b6118e25", "What is the capital of Norway?", "Oslo.", "Norway has fjords, and its capital is Bergen."
        ),
        "Assistant 1 is right and to the point. Assistant 2 says more than was asked for, and is wrong.\n"
        "Assistant 1 is better",
    ),
    (
        asked("4f1e02b7c9aa", "Name two uses of vinegar in a kitchen.", "Vinegar is sour.", "Dressings, and pickling."),
        "Assistant 1 says what vinegar is like and names no use. Assistant 2 names two, shortly and rightly.\n"
        "Assistant 2 is better",
    ),
)

# An answer of at least so many characters that is given to at least so many instructions, all of them different,
# answers none of them, whatever a judge says: case, digits and punctuation make no other answer.
CONSTANT_LENGTH, CONSTANT_TIMES = 40, 5

UNREAD = "the last line of the judge's reply is no verdict"
VERDICT = re.compile(
    r"\W*(?:verdict\W+)?(?:assistant\s*([12])\s+is\s+better(?:\s+than\s+assistant\s*[12])?|equal)\W*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Opposed:
    """What the other answered.

    Attributes:
        answers: by request, its answers in their order.
        asked: how many records before a record ask the same, by the record's id.
        constant: answers, of either side, that are given to many different instructions.
    """

    answers: dict[bytes, list[str]]
    asked: dict[str, int]
    constant: set[bytes]


async def prepare(whole: Whole) -> Opposed:
    """Read the other's answers and find, for each record, which of them is to be compared."""
    return await asyncio.to_thread(_opposed, whole)


def _opposed(whole: Whole) -> Opposed:
    assert whole.against is not None  # the option is checked
    answers: dict[bytes, list[str]] = defaultdict(list)
    asked: dict[str, int] = {}
    seen: Counter[tuple[bytes, str | None]] = Counter()  # of each teacher
    given: dict[bytes, set[bytes]] = defaultdict(set)
    for record in whole.against:
        answers[_mark(record.question)].append(record.output)
        _note(given, record)
    for record in whole.records:
        question = _mark(record.question)
        asked[record.id] = seen[question, record.teacher]
        seen[question, record.teacher] += 1
        _note(given, record)
    return Opposed(dict(answers), asked, {answer for answer, to in given.items() if len(to) >= CONSTANT_TIMES})


def _note(given: dict[bytes, set[bytes]], record: Record) -> None:
    answer = record.output.strip()
    if len(answer) >= CONSTANT_LENGTH and len(to := given[_gist(answer)]) < CONSTANT_TIMES:
        to.add(_mark(record.question))


def _gist(text: str) -> bytes:
    return _mark(re.sub(r"[\W\d_]+", " ", text.casefold()).strip())


def _mark(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


async def compute(window: Window, other: Opposed) -> list[Values]:
    """Ask the judge twice a record."""
    return await window.of_each(partial(_compare, window, other))


async def _compare(window: Window, other: Opposed, record: Record) -> Values | str:
    answers = other.answers.get(_mark(record.question), [])
    place = other.asked[record.id] if len(answers) > 1 else 0
    if place >= len(answers):
        return "no other answer to this instruction"
    against = answers[place]
    if not record.output.strip() or not against.strip():
        return "empty output" if not record.output.strip() else "the other's output is empty"
    length = {"length_difference": len(record.output) - len(against)}
    if record.output.strip() == against.strip():
        return {**_columns(0.5, "same text"), **length}
    constant, other_constant = (_gist(answer.strip()) in other.constant for answer in (record.output, against))
    if constant and other_constant:
        return f"both answers are given to {CONSTANT_TIMES} or more different instructions"
    if constant or other_constant:
        return {**_columns(float(other_constant), "constant" if constant else "the other is constant"), **length}
    verdicts = await together(_verdict(window, record, against, order) for order in ("first", "second"))
    for verdict in verdicts:
        if verdict not in ("win", "tie", "lose"):
            return verdict
    points = sum({"win": 1, "tie": 0, "lose": -1}[verdict] for verdict in verdicts)
    value = 1.0 if points > 0 else 0.0 if points < 0 else 0.5
    return {**_columns(value, ", ".join(verdicts)), **length}


async def _verdict(window: Window, record: Record, against: str, order: str) -> str:
    """win, tie or lose where the record's answer stands first or second; else why there is no verdict."""
    first, second = (record.output, against) if order == "first" else (against, record.output)
    # No answer can hold the mark that it is set off with.
    mark = hashlib.sha256(f"{record.question}\0{first}\0{second}".encode()).hexdigest()[:12]
    turns = conversation(asked(mark, record.question, first, second), shown=SHOWN)
    greedy = Sampling(temperature=0.0, max_tokens=window.how.max_tokens)
    reply = await ask(window.judge, turns, greedy, run_seed=0, record_id=record.id, stage=f"win {order}")
    if reason := why_no_verdict(reply):
        return reason
    better = read_better(reply.text)
    if better is None:
        return UNREAD
    return "tie" if better == 0 else "win" if (better == 1) == (order == "first") else "lose"


def read_better(text: str) -> int | None:
    """Which assistant the last line of a reply finds better, 1 or 2; 0 if they are equal; None if it says neither."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = VERDICT.fullmatch(lines[-1]) if lines else None
    if found is None:
        return None
    return int(found[1]) if found[1] else 0


def _columns(value: float, verdicts: str) -> dict[str, float | str]:
    return {"win": value, "verdicts": verdicts}


WIN = Metric(
    "win",
    ("chat",),
    (
        Column("win", "double", "1 win, 0.5 tie, 0 loss", "higher"),
        Column("verdicts", "string", "verdict"),
        Column("length_difference", "int64", "characters"),
    ),
    compute,
    prepare=prepare,
    versions=(PROMPT.version, _mark(str(SHOWN)).hex()[:8]),
    against=True,
    calls=2,
    reply_tokens=150,
)
