"""Ways in the lists of replies, and the keywords that name them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.auto_evol_instruct.keywords import keyword
from evolvent.evolution.auto_evol_instruct.ways import same_way, ways

WAY = st.lists(st.sampled_from(["add", "a", "limit", "of", "ten", "words", "why"]), min_size=1).map(" ".join)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1. Add a limit.\n2. Ask why.", ["Add a limit.", "Ask why."]),
        ("1) Add a limit.\n\n2) Ask why.", ["Add a limit.", "Ask why."]),
        ("- Add a limit.\n- Ask why.", ["Add a limit.", "Ask why."]),
        ("  * Add a limit.\n  * Ask why.", ["Add a limit.", "Ask why."]),
        ("a) Add a limit.\nb) Ask why.", ["Add a limit.", "Ask why."]),
        ("1.Add a limit.\n(2) Ask why.", ["Add a limit.", "Ask why."]),
        ('1. **Add a limit**: of `time`.\n**2.** "Ask why"', ["Add a limit: of time.", "Ask why"]),
        # A way of several lines is one way.
        ("1. Add a limit\n   of time.\n2. Ask\nwhy.", ["Add a limit of time.", "Ask why."]),
        ("1. Add:\n   - a limit\n   - a condition\n2. Ask why.", ["Add: a limit a condition", "Ask why."]),
        ("1. Add:\n- a limit\n- a condition\n2. Ask why.", ["Add: a limit a condition", "Ask why."]),
        ("- Add:\n  1. a limit\n- Ask why.", ["Add: a limit", "Ask why."]),
        ("1. Add\n\n   a limit.\n2. Ask why.", ["Add a limit.", "Ask why."]),
        # What a model says around the list is no way.
        ("Here they are:\n1. Add a limit.\n2. Ask why.\n\nAll keep the tone.", ["Add a limit.", "Ask why."]),
        # A list on one line.
        ("1. Add a limit. 2. Ask why. 3. Stop.", ["Add a limit.", "Ask why.", "Stop."]),
        ("1) Add a limit, 2) ask why", ["Add a limit", "ask why"]),
        ("1. Ask for 2. or 3. editions.", ["Ask for 2. or 3. editions."]),
        ("1. Add a limit of 1.5 hours.\n2. Ask why.", ["Add a limit of 1.5 hours.", "Ask why."]),
        # No marker at all: a way in each line.
        ("Add a limit.\n\nAsk why.", ["Add a limit.", "Ask why."]),
        ("Add a limit.", ["Add a limit."]),
        ("1.5 hours are the limit", ["1.5 hours are the limit"]),
        ("", []),
        ("\n \n", []),
        ("---\n***\n1.\n", []),
        ("1. **\n2. Ask why.", ["Ask why."]),
    ],
)
def test_ways(text: str, found: list[str]) -> None:
    assert ways(text) == found


@given(
    st.lists(WAY), st.sampled_from(["{}. ", "{}) ", "- ", "* ", "  - ", "**{}.** "]), st.sampled_from(["\n", "\n\n"])
)
def test_a_list_comes_back(listed: list[str], marker: str, between: str) -> None:
    text = between.join(marker.format(number) + way for number, way in enumerate(listed, 1))
    assert ways(text) == listed


@given(st.text())
def test_no_way_is_blank_or_of_several_lines(text: str) -> None:
    assert all(way.strip() == way and way and "\n" not in way for way in ways(text))


def test_same_way() -> None:
    assert same_way("Add  a LIMIT.") == same_way("add a limit")
    assert same_way("Add a limit") != same_way("Add limits")


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("adding constraints", "adding constraint"),
        (" Adding Constraints. ", "adding constraint"),
        ("**Adding a constraint**", "adding constraint"),
        ("\n#Adding the constraints#\nbecause it adds one.", "adding constraint"),
        ("Keyword: adding constraints", "adding constraint"),
        ('The phrase: "adding constraints"', "adding constraint"),
        ("step-by-step reasoning", "step by step reasoning"),
        ("the reader\u2019s view", "reader view"),
        ("strategies of analysis, less focus", "strategy of analysis less focus"),
        ("Ｗｏｒｄ limit", "word limit"),
        ("字数限制", "字数限制"),
        ("शब्द सीमा", "शब्द सीमा"),
        ("a gas", "gas"),
        ("...", ""),
        ("", ""),
        ("the", ""),
    ],
)
def test_keyword(reply: str, found: str) -> None:
    assert keyword(reply) == found
    assert keyword(found) == found
