"""The score in a judge's reply, as AutoIF's script reads it and as we read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.autoif.answers import quality_score
from evolvent.evolution.autoif.rules import PROFILES
from tests.evolution.autoif.published import published


@pytest.mark.parametrize(
    ("reply", "code", "ours"),
    [
        ("It is good.\n\nScore: 8", 8, 8),
        ("Score: 8\n", 8, 8),
        ("Score: 0", 0, 0),
        ("Score: 100", 100, None),
        ("Score: 8.5", None, 8.5),
        ("Score: 9/10", None, 9),
        ("Score: 9 / 10.", None, 9),
        ("Score: 9 out of 10", None, 9),
        ("Score: 4/5", None, None),
        ("Score: 90/100", None, None),
        ("**Score: 9**", None, 9),
        ("**Score:** 9", None, 9),
        ("**Score**: `9`", None, 9),
        ("### Score: 9", 9, 9),
        ("score: 9", None, 9),
        ("SCORE = 9", None, 9),
        ("Score: 9 ", None, 9),
        ("Score: 9\n\n\n", None, 9),
        ("Final Score: 9", 9, 9),
        ("Score: 3\nOn reflection it is better.\nScore: 7", 7, 7),
        ("Score: 7\nI hope that helps!", None, 7),
        ("Score: 7 (it helps)", None, None),
        ("Score: -1", None, None),
        ("Score: 11", 11, None),
        ("Score: 5\nScore: 11", 11, None),
        ("Score: nan", None, None),
        ("Score:", None, None),
        ("underscore: 9", None, None),
        ("9", None, None),
        ("", None, None),
    ],
)
def test_scores(reply: str, code: float | None, ours: float | None) -> None:
    assert quality_score(reply, "autoif-code") == code
    assert quality_score(reply, "autoif-paper") == ours
    assert quality_score(reply, "paper1") == ours


@given(st.text(), st.integers(0, 10), st.sampled_from(["", "/10", ".5"]))
def test_a_score_on_the_last_line_is_read_whatever_stands_before(words: str, score: int, more: str) -> None:
    expected = score + 0.5 if more == ".5" else score
    assert quality_score(f"{words}\nScore: {score}{more}", "autoif-paper") == (expected if expected <= 10 else None)


@given(st.text(alphabet="score:=/10 .*_\n9of"))
def test_whatever_is_read_is_a_score_from_0_to_10(reply: str) -> None:
    score = quality_score(reply, "autoif-paper")
    assert score is None or 0 <= score <= 10


def test_of_the_20_published_rows_the_published_rule_keeps_16() -> None:
    rows = published("query_score_filter.jsonl")
    expected = {row["beam_unique_id"] for row in rows}
    code, paper = PROFILES["autoif-code"].quality, PROFILES["autoif-paper"].quality
    assert code is not None and paper is not None
    kept, kept_by_paper = set(), 0
    for row in published("query_rft_score.jsonl"):
        score = quality_score(row["gen"][0], "autoif-code")
        assert score == quality_score(row["gen"][0], "autoif-paper")
        assert score is not None
        kept_by_paper += paper.passes(score)
        if code.passes(score):
            kept.add(row["beam_unique_id"])
    assert (len(kept), kept) == (16, expected)
    assert kept_by_paper == 19  # the paper keeps those with 8, too
