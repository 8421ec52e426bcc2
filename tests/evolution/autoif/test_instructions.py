"""Step 1 as a stage's work: what becomes of a reply, and the distinct instructions of a finished file."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evolvent.evolution.autoif.instructions import SHOWN, SelfInstruct, distinct, instructions_of
from evolvent.evolution.autoif.rules import PROFILES
from evolvent.evolution.templates import load_prompt
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message, Record, schema
from evolvent.runs.record_files import record_table
from tests.scripted import Scripted

RULES = PROFILES["autoif-paper"]
ASKED = Record("self-instruct/0", "self-instruct/0", 1, "")


def made(reply: str | Reply, seeds: tuple[str, ...] = ("Use no commas",), record: Record = ASKED) -> list[Record]:
    model = Scripted(lambda *_: reply)
    run = SelfInstruct(model, seeds, RULES, load_prompt("autoif/self_instruct"), Sampling(0.7, 0.95, 99), 0)
    return asyncio.run(instructions_of(record, run))


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
    run = SelfInstruct(model, texts, RULES, load_prompt("autoif/self_instruct"), Sampling(0.7, 0.95, 99), 0)
    for number in range(2):
        asyncio.run(instructions_of(replace(ASKED, id=f"self-instruct/{number}"), run))
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
    found = distinct(tmp_path / "instructions.parquet")
    assert [(row.instruction, row.seed_index, row.finish_reason) for row in found] == [
        ("Use no commas", 0, None),
        ("Shout", 1, None),
    ]
    assert len({row.id for row in found}) == found.rows == 2
    assert found.counts == {"duplicate instructions": 1}
    assert found.source["rows"] == 3
