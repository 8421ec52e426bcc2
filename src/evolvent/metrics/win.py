"""Win, tie or lose against another's answers to the same instructions, by a judge who sees both orders.

Source: see ``judges.pairwise``.
"""

import asyncio
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from evolvent.call_store.ask import ask
from evolvent.judges.pairwise import VERSIONS, compare
from evolvent.metrics.metric import Metric, Values, Whole, Window
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Column, Message, Record

# An answer of at least so many characters that is given to at least so many instructions, all of them different,
# answers none of them, whatever a judge says: case, digits and punctuation make no other answer.
CONSTANT_LENGTH, CONSTANT_TIMES = 40, 5


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
    constant, other_constant = (_gist(answer.strip()) in other.constant for answer in (record.output, against))
    if constant != other_constant:
        return {"win": float(other_constant), "verdicts": "constant" if constant else "the other is constant", **length}
    if constant and record.output.strip() != against.strip():
        return f"both answers are given to {CONSTANT_TIMES} or more different instructions"
    found = await compare(partial(_ask, window, record), record.question, record.output, against)
    return found if isinstance(found, str) else {**found._asdict(), **length}


async def _ask(window: Window, record: Record, turns: Sequence[Message], order: str) -> Reply:
    greedy = Sampling(temperature=0.0, max_tokens=window.how.max_tokens)
    return await ask(window.judge, turns, greedy, run_seed=0, record_id=record.id, stage=f"win {order}")


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
    versions=VERSIONS,
    against=True,
    calls=2,
    reply_tokens=150,
)
