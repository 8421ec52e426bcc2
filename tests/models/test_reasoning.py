"""Reasoning told apart from the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.models.reasoning import split_reasoning


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("42", "42", None),
        ("", "", None),
        (" 42\n", " 42\n", None),
        ("<think>six</think>42", "42", "six"),
        ("\n<think>\nsix\n</think>\n\n42\n", "42\n", "six"),
        ("<think>\n\n</think>\n\n42", "42", None),
        ("six\n</think>\n\n42", "42", "six"),
        ("</think>\n\n42", "42", None),
        ("<think>six by", "", "six by"),
        ("<think>", "", None),
        ("<think>six</think>", "", "six"),
        ("<think>six</think><think>seven</think>42", "42", "six\n\nseven"),
        ("<think>I end with `</think>` now</think>42", "42", "I end with `</think>` now"),
        ("Parse <think>x</think> tags.", "Parse <think>x</think> tags.", None),
        ("Close it with `</think>`.", "Close it with `</think>`.", None),
        ("Open it with <think>.", "Open it with <think>.", None),
        ("A model ends it with </think> and answers.", "A model ends it with </think> and answers.", None),
        ("six</think>\n42", "42", "six"),
        ("The tag </think> is spoken of.\n</think>42", "42", "The tag </think> is spoken of."),
    ],
)
def test_split(text: str, answer: str, reasoning: str | None) -> None:
    assert split_reasoning(text) == (answer, reasoning)


def test_reasoning_that_came_beside_leaves_none_without_its_opening_tag() -> None:
    assert split_reasoning("six\n</think>\n42", unopened=False) == ("six\n</think>\n42", None)
    assert split_reasoning("<think>six</think>42", unopened=False) == ("42", "six")


pieces = st.lists(st.sampled_from(["<think>", "</think>", "`", " ", "\n", "a", "think>"])).map("".join)


@given(pieces)
def test_nothing_is_lost_and_no_answer_begins_with_reasoning(text: str) -> None:
    answer, reasoning = split_reasoning(text)
    letters = text.count("a")
    assert answer.count("a") + (reasoning or "").count("a") == letters
    assert text.endswith(answer)
    assert not answer.lstrip().startswith("<think>")
