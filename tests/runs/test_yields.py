"""The yield of a stage: what is usable, why the rest is not, what that took."""

from typing import Any

import pytest

from evolvent.runs.yields import Yield, in_words, yield_of

ROUNDS = {"round 1": {"ok": 14, "eliminated: equal": 6}, "round 2": {"ok": 11, "eliminated: leak": 7, "failed": 2}}
EVOLVED = {"seeds": 20, "ok": 25, "eliminated": 13, "failed": 2, "groups": ROUNDS}


@pytest.mark.parametrize(
    ("counts", "found", "words"),
    [
        (
            {**EVOLVED, "tokens": {"out": 1200, "thrown away": 300}},
            Yield(
                25,
                40,
                {"round 1": (14, 20), "round 2": (11, 20)},
                {"leak": 7, "equal": 6, "failed": 2},
                1200,
                300,
            ),
            "25 of 40 rows usable by our rules (62%); round 1 14 of 20, round 2 11 of 20; not usable: leak 7, equal 6, "
            "failed 2; 300 of 1,200 tokens out (25%) were spent on what was thrown away",
        ),
        (
            {"ok": 3, "eliminated": 0, "failed": 0, "groups": {"openai:m": {"ok": 3}}},
            Yield(3, 3, {"openai:m": (3, 3)}),
            "3 of 3 rows usable by our rules (100%)",
        ),
        (
            {"pairs": 4, "ok": 4, "notes": {"without a score: empty response": 1, "other": 2}},
            Yield(3, 4, {}, {"empty response": 1}),
            "3 of 4 rows usable by our rules (75%); not usable: empty response 1",
        ),
        (
            {"ok": 0, "failed": 2},
            Yield(0, 2, {}, {"failed": 2}),
            "0 of 2 rows usable by our rules (0%); not usable: failed 2",
        ),
    ],
)
def test_the_yield_of_a_stages_counts(counts: dict[str, Any], found: Yield, words: str) -> None:
    assert yield_of(counts) == found
    assert in_words("s", found) == f"s: {words}"


def test_a_stage_without_rows_has_none() -> None:
    assert yield_of({}) is None
    assert yield_of({"ok": 0, "seeds": 3}) is None
