"""What a judge's reply says, in the forms that judges use."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.judges.replies import read_label, read_number, read_rating, why_no_verdict
from evolvent.metrics.difficulty import LEVELS
from evolvent.models.protocols import Reply


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("70", 70),
        ("80/100", 80),
        ("8/10", 80),
        ("8 out of 10.", 80),
        ("**Score: 65**", 65),
        ("Score: 7.5/10", 75),
        ("I would say 40.", 40),
        ("It has 3 parts.\nScore: 55", 55),
        ("The difficulty is 30", 30),
        ("12,5", 12.5),
        ("Difficulty score (0-100): 75", 75),
        ("Difficulty score (0–100): 75", 75),
        ("Score: -5", None),
        ("Score: 4/5", None),
        ("Score: 8 out of 20", None),
        ("8 out of 20", None),
        ("Score: 70-80", None),
        ("Score: 1e2", None),
        ("Score: 1,000", None),
        ("1,000", None),
        ("2/10 steps fail. Score: 85", 85),
        ("Score: 85. It has 3 steps.", 85),
        ("Score: 20\nNo, that is wrong.\nScore: 60", 60),
        ("40%", None),
        ("30 or 40", None),
        ("150", None),
        ("-5", None),
        ("nan", None),
        ("", None),
        ("GPT4 says no", None),
        ("٧٠", 70),
        ("x" * 100_000, None),
    ],
)
def test_numbers(text: str, value: float | None) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Rating: 7", 7),
        ("It is right.\n**Rating: 8.5**\n", 8.5),
        ("[[10]]", 10),
        ("9/10", 9),
        ("The score is 3 out of 10.", None),  # a sentence
        ("Score is 3 out of 10.", 3),
        ("Rating: 7\nThank you.", None),
        ("Rating: 0", None),
        ("Rating: 11", None),
        ("Rating: 80/100", None),
        ("Rating: -3", None),
        ("Rating: 7-8", None),
        ("Rating: NUMBER", None),
        ("", None),
    ],
)
def test_ratings(text: str, value: float | None) -> None:
    assert read_rating(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("70", 70), (" 1e1\n", 10), ("150", 150), ("80/100", None), ("nan", None), ("inf", None)]
)
def test_numbers_as_published(text: str, value: float | None) -> None:
    assert read_number(text, strict=True) == value


@given(st.text(alphabet="0123456789/.,- outfscre:\n", max_size=60))
def test_a_number_is_within_its_bounds_or_none(text: str) -> None:
    value = read_number(text)
    assert value is None or (math.isfinite(value) and 0 <= value <= 100)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("easy", "easy"),
        ("Very Easy", "very easy"),
        ("hard.", "hard"),
        ("**Medium**", "medium"),
        ("very-hard", "very hard"),
        ("It looks easy at first.\nDifficulty: hard", "hard"),
        ("hard\n\nThe author wants a proof.", "hard"),
        ("not easy", None),
        ("It isn't easy", None),
        ("not at all easy", None),
        ("**Very** hard", "very hard"),
        ("Difficulty: very hard\nIt is easy to misread.", "very hard"),
        ("easy\nhard", None),
        ("easy or medium", None),
        ("uneasy", None),
        ("", None),
    ],
)
def test_labels(text: str, label: str | None) -> None:
    assert read_label(text, LEVELS) == label


def test_labels_as_published() -> None:
    replies = ["easy", "Easy", "hard.", "very hard\n"]
    assert [read_label(text, LEVELS, strict=True) for text in replies] == ["easy", None, None, "very hard"]


def test_a_reply_that_is_cut_or_empty_holds_no_verdict() -> None:
    assert why_no_verdict(Reply("70", "stop")) is None
    assert why_no_verdict(Reply("Well, 70", "length")) == "the judge's reply is truncated"
    assert why_no_verdict(Reply("", "stop")) == "the judge's reply is empty"
