import pytest

from evolvent.evolution.task_kinds import task_kind


@pytest.mark.parametrize(
    ("instruction", "input", "kind"),
    [
        ("Write a poem about the sea.", "", "text"),
        ("How much do 3 apples at 2 euros cost?", "", "math"),
        ("Half of twelve birds fly off. How many birds are left?", "", "math"),
        ("How long is the Nile?", "", "text"),
        ("What is the average of the list?", "3, 4, 5", "math"),
        ("Sort a list in Python.", "", "code"),
        ("Find the error.", "def f(x): return x", "code"),
        ("How many of the 3 loops in this program run 4 times?", "", "code"),
        ("A class of 28 children has 9 boys. How many girls are there?", "", "math"),
        ("", "", "text"),
    ],
)
def test_task_kind(instruction: str, input: str, kind: str) -> None:
    assert task_kind(instruction, input) == kind
