import pytest

from evolvent.evolution.elimination import eliminate, judged_equal, leaks, strip_marker
from evolvent.models.protocols import Reply


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


@pytest.mark.parametrize(
    ("parent", "evolved", "finish", "reason"),
    [
        ("Bake bread", "", "stop", "empty"),
        ("Bake bread", "Bake rye bread", "length", "truncated"),
        ("Bake bread", "Bake rye", "content_filter", "filtered"),
        ("Bake bread", "", "content_filter", "filtered"),
        ("Bake bread", "bake  BREAD!", "stop", "unchanged"),
        ("Bake bread", "Bake rye bread", "stop", None),
        ("Bake bread", "Rewrite the given prompt about bread", "stop", "leak"),
        ("Bake bread", "#Rewritten Prompt#: Bake bread twice", "stop", "leak"),
        ("What is a Given Prompt?", "Explain what a given prompt is to a child.", "stop", None),
        ("Straße", "STRASSE", "stop", "unchanged"),
        ("???", "!!!", "stop", None),
        ("2+2", "2 + 2?", "stop", "unchanged"),
        ("Solve x < 3", "Solve x > 3", "stop", None),
        ("Add the numbers", "Add the numbers twice\n\n#Input#:\n3 and 4", "stop", "leak"),
        ("Bake bread", "", "length", "truncated"),
    ],
)
def test_eliminate(parent: str, evolved: str, finish: str, reason: str | None) -> None:
    assert eliminate(parent, evolved, Reply(evolved, finish)) == reason


def test_a_refusal_is_told_from_nothing() -> None:
    assert eliminate("Bake bread", "", Reply("", "stop", refusal="No.")) == "refused"


def test_each_leak_counts_alone() -> None:
    assert not leaks("a given prompt", "a GIVEN PROMPT, better")
    assert leaks("a given prompt", "a given prompt, a created prompt")


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("  Bake bread \n", "Bake bread"),
        ("#Rewritten Prompt#:\nBake bread", "Bake bread"),
        ("**Rewritten Prompt:** Bake bread", "Bake bread"),
        ("Created prompt\nBake bread", "Bake bread"),
        ("## A heading\n\nBake bread", "Bake bread"),
        ("#Rewritten Prompt#: #Rewritten Prompt#: Bake", "#Rewritten Prompt#: Bake"),
        ("# include <stdio.h>", "# include <stdio.h>"),
        ("Given prompt engineering is hard, explain it.", "Given prompt engineering is hard, explain it."),
        ("Bake bread\n## Notes\nnone", "Bake bread\n## Notes\nnone"),
    ],
)
def test_strip_marker(text: str, stripped: str) -> None:
    assert strip_marker(text) == stripped


def test_a_verdict_that_was_cut_is_none() -> None:
    assert judged_equal(Reply("The constraints are equal in the first part, but", "length")) is None


def test_a_heading_of_the_instruction_itself_stays() -> None:
    assert strip_marker("# Python 3\nfor x in y: pass", parent="# Python 3\nfor x") == "# Python 3\nfor x in y: pass"
