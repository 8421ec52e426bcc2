"""Two answers compared in both orders, by judges who are honest, biased and silent."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from evolvent.judges.pairwise import UNREAD, Compared, compare, read_better
from evolvent.models.protocols import Reply
from evolvent.records import Message


def compared(says: Callable[[str], str | Reply], ours: str, theirs: str) -> Compared | str:
    async def ask(turns: Sequence[Message], _: str) -> Reply:
        reply = says(turns[-1]["content"])
        return reply if isinstance(reply, Reply) else Reply(reply, "stop")

    return asyncio.run(compare(ask, "Mend a sock.", ours, theirs))


def longer(prompt: str) -> str:
    first, second = (prompt.split(f"answer of assistant {n}]\n")[1].split("\n[")[0] for n in (1, 2))
    return f"So.\nAssistant {1 + (len(second) > len(first))} is better"


def test_who_is_compared_with_whom_changes_nothing_but_the_sign() -> None:
    assert compared(longer, "By hand, slowly.", "By hand.") == Compared(1.0, "win, win")
    assert compared(longer, "By hand.", "By hand, slowly.") == Compared(0.0, "lose, lose")


def test_a_judge_who_takes_a_place_finds_a_tie() -> None:
    assert compared(lambda _: "Assistant 1 is better", "a", "b") == Compared(0.5, "win, lose")


def test_a_win_and_a_tie_is_a_win() -> None:
    def says(prompt: str) -> str:
        return "Equal" if "answer of assistant 1]\nb" in prompt else "Assistant 1 is better"

    assert compared(says, "a", "b") == Compared(1.0, "win, tie")
    assert compared(says, "b", "a") == Compared(0.0, "tie, lose")


def test_the_same_text_needs_no_judge() -> None:
    def says(_: str) -> str:
        raise AssertionError("nobody has to be asked")

    assert compared(says, "a ", "a") == Compared(0.5, "same text")


@pytest.mark.parametrize(
    ("reply", "why"),
    [("I like both.", UNREAD), (Reply("Assistant 1", "length"), "the judge's reply is truncated")],
)
def test_what_is_no_verdict_is_none(reply: str | Reply, why: str) -> None:
    assert compared(lambda _: reply, "a", "b") == why


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ("Assistant 1 is better", 1),
        ("so\n**Assistant 2 is better.**\n", 2),
        ("Verdict: Assistant 1 is better than Assistant 2", 1),
        ("Equal", 0),
        ("Assistant 3 is better", None),
        ("Assistant 1 is better, or Assistant 2 is better", None),
        ("", None),
    ],
)
def test_the_last_line(text: str, better: int | None) -> None:
    assert read_better(text) == better
