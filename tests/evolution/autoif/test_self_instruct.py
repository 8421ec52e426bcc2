"""Instructions in a model's reply, and which of them say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.autoif.self_instruct import new_instructions, same


def test_the_lines_that_the_prompt_asks_for() -> None:
    assert new_instructions("- Use no commas\n- Answer in 12 words\n") == ["Use no commas", "Answer in 12 words"]


def test_talk_around_the_list_is_no_instruction() -> None:
    reply = "Here are 50 new instructions:\n\n- Use no commas\n\n- End with a question\n\nNote: these can be verified."
    assert new_instructions(reply) == ["Use no commas", "End with a question"]


@pytest.mark.parametrize(
    "line",
    [
        "- Use no commas",
        "* Use no commas",
        "• Use no commas",
        "  -   Use no commas  ",
        "7. Use no commas",
        "12) Use no commas",
        "**3.** Use no commas",
        '- "Use no commas"',
        "1. “Use no commas”",
        "- **Use no commas**",
        "- `Use no commas`",
        "- **'Use no commas'**",
    ],
)
def test_markers_and_what_stands_around_an_instruction(line: str) -> None:
    assert new_instructions(line) == ["Use no commas"]


@pytest.mark.parametrize(
    "instruction",
    [
        "Use words that end with '-ing'",
        'Say "yes" or "no"',
        '"yes" comes before "no"',
        "Use the *first* half of the alphabet (A-M)",
        "Use 3. as the first word",
        "**Bold** every **noun**",
        "End every line with a hyphen -",
    ],
)
def test_an_instruction_keeps_its_own_marks(instruction: str) -> None:
    assert new_instructions(f"- {instruction}") == [instruction]


def test_notes_on_an_item_are_no_instruction() -> None:
    reply = "1. Write a haiku\n   - Example: old pond\n\t* a function counts syllables\n2. Use only questions"
    assert new_instructions(reply) == ["Write a haiku", "Use only questions"]


@pytest.mark.parametrize(
    "reply", ["", "I cannot do that.", "---", "-", "- \n-", "-no blank", "1.5 is a number", '- ""']
)
def test_replies_without_any(reply: str) -> None:
    assert new_instructions(reply) == []


@given(st.lists(st.text("ab1", min_size=1, max_size=9), max_size=8))
def test_every_marked_line_is_read_in_its_order(lines: list[str]) -> None:
    assert new_instructions("\n".join(f"- {line}" for line in lines)) == lines


@pytest.mark.parametrize("other", ["use  NO commas.", "Use no commas", " Use no\tcommas !", "USE NO COMMAS ..."])
def test_the_same_said_twice(other: str) -> None:
    assert same(other) == same("Use no commas.")


@pytest.mark.parametrize("other", ["Use no comma", "Use commas", "Use no commas, please"])
def test_other_instructions(other: str) -> None:
    assert same(other) != same("Use no commas.")
