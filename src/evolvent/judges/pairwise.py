"""Two answers to one request, compared by a judge who sees both orders.

Source: arXiv 2412.11231, App. (figures 6 and 7), after Cherry LLM, arXiv 2308.12032, whose rule of two orders is
taken: a win is two wins, or a win and a tie; a tie two ties, or a win and a loss. The published code asks once, takes a
verdict from anywhere in the reply, and what it cannot read for a tie; here the last line alone counts, and what it does
not say is no verdict.
"""

import hashlib
import re
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import NamedTuple

from evolvent.concurrency import together
from evolvent.judges.replies import why_no_verdict
from evolvent.models.protocols import Reply
from evolvent.prompts import load_prompt
from evolvent.records import Message, conversation

PROMPT = load_prompt("win", [Path(__file__).parent / "prompts"])


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
VERSIONS = (PROMPT.version, hashlib.sha256(str(SHOWN).encode()).hexdigest()[:8])

UNREAD = "the last line of the judge's reply is no verdict"
VERDICT = re.compile(
    r"\W*(?:verdict\W+)?(?:assistant\s*([12])\s+is\s+better(?:\s+than\s+assistant\s*[12])?|equal)\W*", re.IGNORECASE
)

# Asks the judge: given the conversation, and whether our answer stands first or second in it.
Ask = Callable[[Sequence[Message], str], Coroutine[None, None, Reply]]


class Compared(NamedTuple):
    """What a comparison came to.

    Attributes:
        win: 1 for a win, 0.5 for a tie, 0 for a loss.
        verdicts: the judge's two, ours first and ours second; or what made them needless.
    """

    win: float
    verdicts: str


async def compare(ask: Ask, question: str, ours: str, theirs: str) -> Compared | str:
    """Compare our answer with another's, in both orders; a text says why there is no verdict."""
    if ours.strip() == theirs.strip():
        return Compared(0.5, "same text")
    verdicts = await together(_verdict(ask, question, ours, theirs, order) for order in ("first", "second"))
    for verdict in verdicts:
        if verdict not in ("win", "tie", "lose"):
            return verdict
    points = sum({"win": 1, "tie": 0, "lose": -1}[verdict] for verdict in verdicts)
    return Compared(1.0 if points > 0 else 0.0 if points < 0 else 0.5, ", ".join(verdicts))


async def _verdict(ask: Ask, question: str, ours: str, theirs: str, order: str) -> str:
    """win, tie or lose where our answer stands first or second; else why there is no verdict."""
    first, second = (ours, theirs) if order == "first" else (theirs, ours)
    # No answer can hold the mark that it is set off with.
    mark = hashlib.sha256(f"{question}\0{first}\0{second}".encode()).hexdigest()[:12]
    reply = await ask(conversation(asked(mark, question, first, second), shown=SHOWN), order)
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
