"""Reasoning told apart from the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.models.reasoning import split_generated, split_reasoning


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


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("<thinking>six</thinking>\n42", "42", "six"),
        ("<reasoning>\nsix\n</reasoning>\n\n42", "42", "six"),
        ("<thought>six</thought> 42", "42", "six"),
        ("[THINK]six[/THINK]42", "42", "six"),
        ("[THINK]six by", "", "six by"),
        ("<seed:think>six</seed:think>42", "42", "six"),
        ("six\n</seed:think>42", "42", "six"),
        ("◁think▷six◁/think▷42", "42", "six"),
        ("<|START_THINKING|>six<|END_THINKING|><|START_RESPONSE|>42<|END_RESPONSE|>", "42", "six"),
        ("<|begin_of_thought|>\nsix\n<|end_of_thought|>\n<|begin_of_solution|>\n42\n<|end_of_solution|>", "42", "six"),
        (
            "<|channel|>analysis<|message|>six<|end|><|start|>assistant<|channel|>final<|message|>42<|return|>",
            "42",
            "six",
        ),
        ("<|channel|>analysis<|message|>six", "", "six"),
        ("<|channel|>final<|message|>42", "42", None),
        ("analysisThe user asks.assistantfinal42", "42", "The user asks."),
    ],
)
def test_other_tags(text: str, answer: str, reasoning: str | None) -> None:
    assert split_reasoning(text) == (answer, reasoning)


@pytest.mark.parametrize(
    "text",
    [
        "<reasoning>six</reasoning><answer>42</answer>",
        "<thought>A poem in a tag</thought>",
        "<thinking>\n  <step>1</step>\n",
        "Wrap it in <thinking>…</thinking> tags.",
        "```xml\n<reasoning>six</reasoning>\n```\n42",
        "`<thinking>` opens it",
        "A model writes [THINK]six[/THINK] and then 42.",
        "analysis of the data",
        "Analysis: assistantfinal is a word of harmony.",
        "The <|channel|>final marker",
        "<html><body>[/THINK]</body></html>",
    ],
)
def test_answers_that_speak_of_other_tags_are_unchanged(text: str) -> None:
    assert split_reasoning(text) == (text, None)


def test_what_was_cut_inside_a_tag_that_an_answer_may_begin_with() -> None:
    assert split_reasoning("<thinking>six by", cut=True) == ("", "six by")
    assert split_reasoning("analysisThe user", cut=True) == ("", "The user")
    assert split_generated("six by", "<|assistant|>[THINK]\n") == ("", "six by")


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
