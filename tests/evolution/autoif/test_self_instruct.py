"""Step 1: the instructions in a reply, which of them say the same, and the distinct ones of a finished file."""

import asyncio
import pickle
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.autoif import self_instruct as module
from evolvent.evolution.autoif.self_instruct import (
    SHOWN,
    distinct,
    examples_of,
    instructions_of,
    new_instructions,
    same,
    seeds_and_prompts,
)
from evolvent.models.protocols import Reply
from evolvent.records import Message, Record, schema
from evolvent.runs.inputs import stage_input
from evolvent.runs.record_files import record_table
from tests.evolution.autoif.settings import settings
from tests.scripted import Scripted

ASKED = Record("self-instruct/0", "self-instruct/0", 1, "")


def made(reply: str | Reply, seeds: tuple[str, ...] = ("Use no commas",), record: Record = ASKED) -> list[Record]:
    model = Scripted(lambda *_: reply)
    return asyncio.run(instructions_of(record, settings(), model, seeds))


def test_the_instructions_of_a_reply() -> None:
    rows = made(Reply("Here:\n- Use no dashes\n- Shout", "stop"))
    assert [(row.id, row.instruction, row.status, row.finish_reason) for row in rows] == [
        ("self-instruct/0/0", "Use no dashes", "ok", "stop"),
        ("self-instruct/0/1", "Shout", "ok", "stop"),
    ]


def test_the_instruction_that_was_cut_is_kept_apart() -> None:
    rows = made(Reply("- Use no dashes\n- Shout\n- Answer in the fo", "length"))
    assert [(row.instruction, row.status, row.reason, row.finish_reason) for row in rows] == [
        ("Use no dashes", "ok", None, None),
        ("Shout", "ok", None, None),
        ("Answer in the fo", "eliminated", "cut at the token limit", "length"),
    ]


def test_a_reply_without_instructions_is_kept_as_it_is() -> None:
    (row,) = made("I would rather not.")
    assert (row.instruction, row.status, row.reason) == (
        "I would rather not.",
        "eliminated",
        "no instruction in the reply",
    )


def test_seed_instructions_pass_as_they_are() -> None:
    seed = Record("s", "s", 0, "Use no commas")
    assert made("", record=seed) == [seed]


@pytest.mark.parametrize("seeds", [SHOWN, SHOWN + 9])
def test_a_prompt_shows_so_many_seeds_at_the_most(seeds: int) -> None:
    model = Scripted(lambda *_: "- Shout")
    texts = tuple(f"Use word number {number}" for number in range(seeds))
    for number in range(2):
        asyncio.run(instructions_of(replace(ASKED, id=f"self-instruct/{number}"), settings(), model, texts))
    first, second = ([line for line in prompt.split("\n") if "Use word" in line] for prompt, _ in model.asked)
    assert len(first) == len(second) == SHOWN
    assert (first == second) == (seeds == SHOWN)


def test_distinct_instructions_bring_nothing_of_their_making_along(tmp_path: Path) -> None:
    turns = [Message(role="user", content="Use no commas")]
    rows = [
        Record("a", "a", 0, "Use no commas", messages=turns),
        Record("b", "b", 1, "use no  commas.", status="ok", finish_reason="length"),
        Record("c", "c", 2, "Shout", finish_reason="length"),
        Record("d", "d", 3, "Answer in the fo", status="eliminated", reason="cut at the token limit"),
    ]
    pq.write_table(record_table(rows, schema()), tmp_path / "instructions.parquet")
    found = distinct(tmp_path)
    assert [(row.instruction, row.seed_index, row.finish_reason) for row in found] == [
        ("Use no commas", 0, None),
        ("Shout", 1, None),
    ]
    assert len({row.id for row in found}) == found.rows == 2
    assert found.counts == {"duplicate instructions": 1}
    assert found.about["rows"] == 4
    assert list(found.records(1)) == [(1, list(found)[1])]
    assert list(found.records(2)) == []


def test_seeds_come_before_prompts_wherever_reading_begins(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Shout"}\n{"bad": 1}\n{"instruction": "Use no commas"}\n')
    found = seeds_and_prompts(stage_input(path, before=None, skip_bad=True), 2)
    found = pickle.loads(pickle.dumps(found))
    whole = list(found.records())
    assert [(place, record.instruction, record.seed_index) for place, record in whole] == [
        (0, "Shout", 0),
        (2, "Use no commas", 2),
        (3, "", 2),
        (4, "", 3),
    ]
    assert found.rows == 4
    for start in range(6):
        assert list(found.records(start)) == [(place, record) for place, record in whole if place >= start]


def test_of_very_many_seeds_some_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_EXAMPLES", 5)
    seeds = stage_input([{"instruction": f"Use word {n}"} for n in range(9)], before=None)
    shown = examples_of(seeds, 0)
    assert len(shown) == 5 and set(shown) < {record.instruction for record in seeds}
    assert shown == examples_of(seeds, 0) != examples_of(seeds, 1)


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
