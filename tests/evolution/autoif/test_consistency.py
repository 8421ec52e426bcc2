"""Whether functions check what their instruction says: premise, hypothesis, and that one contradiction is enough."""

import pytest

from evolvent.evolution.autoif.consistency import contradicted


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
