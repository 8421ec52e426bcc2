"""The instructions that a model reads out of functions, and that one contradiction of them is enough."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.autoif.back_translation import back_translations, contradicted
from evolvent.evolution.templates import load_prompt

TWO = '["Use no commas", "Answer in 12 words "]'


class Relations:
    """A PairClassifier that says what a test wrote down, and keeps what it was asked."""

    uri = "written"
    identity = "{}"

    def __init__(self, *said: str) -> None:
        self.said = list(said)
        self.asked: list[tuple[str, str]] = []

    def relations(self, pairs: list[tuple[str, str]]) -> list[str]:
        self.asked += pairs
        return self.said[: len(pairs)]


@pytest.mark.parametrize(
    "reply", [TWO, f" {TWO}\n", f"```json\n{TWO}\n```", f"```\n{TWO}```", f"Here they are:\n```json\n{TWO}\n```\nGood?"]
)
def test_a_list_of_as_many_as_there_are_functions(reply: str) -> None:
    assert back_translations(reply, 2) == ("Use no commas", "Answer in 12 words")


@pytest.mark.parametrize("reply", ['["Open with ```", "b"]', '[Two]\n```json\n["Open with ```", "b"]\n```'])
def test_an_instruction_may_speak_of_fences(reply: str) -> None:
    assert back_translations(reply, 2) == ("Open with ```", "b")


def test_a_fence_of_blanks_takes_no_longer_than_reading_it() -> None:
    """A small model that repeats itself writes such replies; a regular expression took the cube of their length."""
    assert back_translations(f"```json\n{' ' * 200_000}", 2) is None


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Use no commas",
        "[]",
        '["Use no commas"]',
        '["a", "b", "c"]',
        '["a", ""]',
        '["a", 3]',
        '["a", ["b"]]',
        r'["a", "\ud800"]',
        '{"0": "a", "1": "b"}',
        '["a", "b"',
        "[" * 100_000,
    ],
)
def test_anything_else_is_none(reply: str) -> None:
    assert back_translations(reply, 2) is None


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), min_size=1, max_size=3)
)
def test_what_can_be_written_is_read(instructions: list[str]) -> None:
    assert back_translations(json.dumps(instructions), len(instructions)) == tuple(map(str.strip, instructions))


def test_the_prompt_shows_every_function_and_how_many_to_return() -> None:
    prompt = load_prompt("autoif/back_translation").render(functions=["def evaluate(response): return {}", "second"])
    assert "Function 1:\ndef evaluate(response): return {}" in prompt
    assert "Function 2:\nsecond" in prompt
    assert "JSON list of 2 strings" in prompt


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["entailment", "entailment", "entailment"], False),
        (["neutral", "neutral", "neutral"], False),
        (["entailment", "neutral", "contradiction"], True),
        (["contradiction"], True),
        ([], False),
    ],
)
def test_any_contradiction_counts(said: list[str], expected: bool) -> None:
    nli = Relations(*said)
    assert contradicted("Use no commas", [f"read {number}" for number in range(len(said))], nli) is expected
    assert nli.asked == [("Use no commas", f"read {number}") for number in range(len(said))]
