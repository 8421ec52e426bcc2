"""The judge: what it says, and whether it is to be relied on."""

import asyncio
from collections import Counter

import pytest

from evolvent.errors import CallError, InputError
from evolvent.evolution.judging import QUESTIONS, judged_equal, try_judge
from evolvent.evolution.templates import load_prompt
from evolvent.models.protocols import Reply, Sampling
from tests.scripted import Scripted, knows


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Equal", True),
        ("equal.", True),
        ("Not Equal", False),
        ("NOT  EQUAL", False),
        ("They are not\nequal", False),
        ("**Equal**", True),
        ("Unequal", None),
        ("equality", None),
        ("", None),
        ("I cannot say", None),
        ("Equal? No: Not Equal", False),
        ("**Not** Equal", False),
        ("Not-Equal", False),
        ("They aren't equal", False),
        ("not exactly equal", False),
    ],
)
def test_judged_equal(reply: str, verdict: bool | None) -> None:
    assert judged_equal(Reply(reply, "stop")) is verdict


def test_a_verdict_that_was_cut_is_none() -> None:
    assert judged_equal(Reply("The constraints are equal in the first part, but", "length")) is None


def tried(judge: Scripted) -> None:
    asyncio.run(try_judge(judge, load_prompt("equality"), max_tokens=8, seed=0))


def test_a_judge_that_knows_passes() -> None:
    judge = Scripted(lambda prompt, _: knows(prompt) or "?")
    tried(judge)
    assert len({prompt for prompt, _ in judge.asked}) == len(judge.asked) == len(QUESTIONS) == 16
    assert {(sampling.temperature, sampling.max_tokens) for _, sampling in judge.asked} == {(0.0, 8)}
    assert Counter(equal for _, _, equal in QUESTIONS) == {True: 8, False: 8}
    assert {(second, first, equal) for first, second, equal in QUESTIONS} == set(QUESTIONS)  # both orders


@pytest.mark.parametrize(
    ("says", "figures"),
    [
        ("Equal", "8 of 8 that ask for the same and on 0 of 8 that do not"),
        ("Not Equal", "0 of 8 that ask for the same and on 8 of 8 that do not"),
        ("I cannot say", "0 of 8 that ask for the same and on 0 of 8 that do not"),
    ],
)
def test_a_judge_that_says_one_thing_only_is_refused_with_its_figures(says: str, figures: str) -> None:
    with pytest.raises(InputError, match=f"scripted cannot be the judge: .*{figures}"):
        tried(Scripted(lambda *_: says))


def test_a_judge_may_be_wrong_now_and_then() -> None:
    wrong = {first for first, second, equal in QUESTIONS if equal and first != second}

    def half(prompt: str, _: Sampling) -> str:
        return (
            "Not Equal"
            if any(f"The First Prompt:\n{first}\n" in prompt for first in list(wrong)[:3])
            else str(knows(prompt))
        )

    tried(Scripted(half))


def test_calls_that_fail_are_no_verdict_unless_all_do() -> None:
    def fails(prompt: str, _: Sampling) -> str:
        if "rainbow" in prompt:
            raise CallError("server said no")
        return str(knows(prompt))

    tried(Scripted(fails))

    def never(*_: object) -> str:
        raise CallError("server said no")

    with pytest.raises(CallError, match="server said no"):
        tried(Scripted(never))
