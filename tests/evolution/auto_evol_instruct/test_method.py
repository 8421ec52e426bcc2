"""Evolving methods: the slot, the headings by which replies are parsed, and a method in an optimizer's reply."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.auto_evol_instruct.method import (
    SLOT,
    Method,
    candidate_of,
    headings,
    initial_method,
    problem_of,
)
from evolvent.records import Record

INITIAL = initial_method()
STEPS = "Step 1 #Methods List#:\nStep 2 #Final Version#:\n"
SMALL = STEPS + "\n#Instruction#:\n{instruction}"


def record(instruction: str, input: str = "") -> Record:
    return Record("s", "s", 0, instruction, input)


def test_initial_method() -> None:
    assert headings(INITIAL.text) == ("Methods List", "Plan", "Rewritten Instruction", "Finally Rewritten Instruction")
    assert INITIAL.final_heading == "Finally Rewritten Instruction"
    assert INITIAL.methods_heading == "Methods List"
    assert len(INITIAL.version) == 8
    assert INITIAL.version != Method(INITIAL.text + " ").version


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (SMALL, ("Methods List", "Final Version")),
        # The slot may stand anywhere; a heading above it is its own.
        ("#Instruction#:\n```\n{instruction}\n```\n" + STEPS, ("Methods List", "Final Version")),
        ("#Instruction#: {instruction}\n" + STEPS, ("Methods List", "Final Version")),
        ('#Instruction#:\n"{instruction}"\n\n' + STEPS, ("Methods List", "Final Version")),
        # What stands right above it is a step's if it has a number or is called final or rewritten.
        (STEPS + "#The Instruction#:\n{instruction}", ("Methods List", "Final Version")),
        (STEPS + "Step 3 #Checked#:\n{instruction}", ("Methods List", "Final Version", "Checked")),
        (
            "#Ways#\n#Plan#\n#Finally Rewritten Instruction#\n\n{instruction}",
            ("Ways", "Plan", "Finally Rewritten Instruction"),
        ),
        # Marks, numbers and placeholders of all kinds.
        ("**Step 1:** #Ways#\n**Step 2: #Last  One#:** [the new instruction]\n{instruction}", ("Ways", "Last One")),
        ("### Step 1 #Ways#\n- 2. #Last#: <your rewrite>\n{instruction}", ("Ways", "Last")),
        ("Step 1:\n#Ways#\nStep 2:\n#Last#\n...\nNow:\n{instruction}", ("Ways", "Last")),
        ("#Ways #\n# #Last#: ...\nNow:\n{instruction}", ("Ways", "Last")),
        # Names within the text of the steps are none.
        ('Step 1: "#Ways#" is what you call it.\n#Ways# are many.\n' + SMALL, ("Methods List", "Final Version")),
        # Without a format of the reply the headings that the steps begin with count.
        ("Step 1 #Ways#: list ways.\nStep 2 #Last#: rewrite.\n\n#Instruction#:\n{instruction}", ("Ways", "Last")),
        # The last heading of the format with its text behind it; a reminder of a step below the format is none.
        (STEPS + "Step 3 #Last#: only this\n\nNow:\n{instruction}", ("Methods List", "Final Version", "Last")),
        (STEPS + "Step 1 #Methods List#: be brief.\n#Note#: too.\n{instruction}", ("Methods List", "Final Version")),
        # A step is no Step in every language.
        ("Schritt 1 #Wege#:\nSchritt 2 #Endfassung#:\n-\n{instruction}", ("Wege", "Endfassung")),
        ("步骤1：#方法列表#：\n步骤2：#最终指令#：\n\n#指令#：\n{instruction}", ("方法列表", "最终指令")),
        # Without hashes: markdown headings, bold lines, numbered lines.
        ("Do so.\n## Ways\n## The Rewritten One ##\n{instruction} is it", ("Ways", "The Rewritten One")),
        ("## Ways\n## Last\n## Instruction\n{instruction}", ("Ways", "Last")),
        ("**Step 1: Ways**\n**Step 2: Last**:\nText: {instruction}", ("Ways", "Last")),
        ("Step 1: Ways:\nStep 2: Last:\n\nText: {instruction}", ("Ways", "Last")),
        ("1. Ways:\n2. Last: [text]\nText: {instruction}", ("Ways", "Last")),
        ("Step 1: Find ways.\nStep 2: Rewrite.\n{instruction}", ()),
        ("Only #One#:\n#One#:\n{instruction}", ()),
        ("", ()),
    ],
)
def test_headings(method: str, names: tuple[str, ...]) -> None:
    assert headings(method) == names


@pytest.mark.parametrize("mark", ["*", "#", "_", " ", "`", "#a", "[", "1", ":", "Step ", "{", "…"])
def test_a_mark_without_end_is_read_at_once(mark: str) -> None:
    began = time.process_time()
    headings(mark * 5000 + "\n" + SMALL)
    candidate_of("```Optimized Method\n" + mark * 5000)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("line", ["```\n", "#a#:\n", "#Step 1#: a\n", "## a\n", "1. a:\n", "```\n#a\n"])
def test_a_reply_of_a_megabyte_of_fences_or_headings_is_read_in_time(line: str) -> None:
    lines = line * (500_000 // len(line))
    began = time.process_time()
    candidate_of(f"```Optimized Method\n{{instruction}}\n{lines}\n```")
    candidate_of(f"```Optimized Method\n{lines}\n{{instruction}}\n```")
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("#Ways to go#:\n#Last#:\n-\n{instruction}", "Ways to go"),
        ("#Aim#:\n#List of Ideas#:\n#Last#:\n-\n{instruction}", "List of Ideas"),
        ("#Aim#:\n#Plan#:\n#Last Method#:\n-\n{instruction}", None),
    ],
)
def test_methods_heading(method: str, name: str | None) -> None:
    assert Method(method).methods_heading == name


@given(st.text(), st.text())
def test_an_instruction_goes_into_the_slot_as_it_is(instruction: str, input: str) -> None:
    before, after = SMALL.split(SLOT)
    assert Method(SMALL).render(record(instruction, input), False) == before + instruction + after


def test_an_instruction_that_speaks_of_slots_and_the_input_under_it() -> None:
    text = Method(SMALL).render(record("Fill {instruction} and {x}", "a {instruction}"), True)
    assert text.endswith(
        "#Instruction#:\nFill {instruction} and {x}\n\n"
        "#Input# (it belongs to the instruction: refer to it, do not copy it):\na {instruction}"
    )
    assert Method(SMALL).render(record("Fill"), True).endswith("#Instruction#:\nFill")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (INITIAL.text, None),
        (SMALL, None),
        (" \n", "it is empty"),
        (STEPS, "it has lost the slot {instruction}"),
        (STEPS + "{Instruction}", "it has lost the slot {instruction}"),
        (STEPS + "x\n{{instruction}}", "it has lost the slot {instruction}: its braces are doubled"),
        (SMALL + "\n{instruction}", "it has the slot {instruction} 2 times"),
        ("Make it harder: {instruction}", "it has lost the headings of its steps"),
    ],
)
def test_problem_of(text: str, problem: str | None) -> None:
    assert problem_of(text) == problem
    if problem:
        with pytest.raises(ValueError, match="no evolving method"):
            Method(text)


FENCED_FORMAT = "Reply so:\n```\n" + STEPS + "```\n\n#Instruction#:\n{instruction}"
SLOT_FIRST = "#Instruction#:\n{instruction}\nReply so:\n```text\n" + STEPS + "```\nNothing else."


@pytest.mark.parametrize("method", [INITIAL.text, SMALL, FENCED_FORMAT, SLOT_FIRST])
@pytest.mark.parametrize(
    "reply",
    [
        "```Optimized Method\n{}\n```",
        "Here it is.\n\n```Optimized Method\n{}\n```\nI mended step 2.",
        "```optimised method:\n{}\n````",
        "````  Optimized Method\n\n  {}\n\n````\n",
        "```\n**Optimized Method**\n{}```",
        "```Optimized Method {}\n``` ",
        "```Optimized Method\n{}\n```\nWhat changed:\n```\nStep 2\n```",
    ],
)
def test_candidate_of(reply: str, method: str) -> None:
    assert candidate_of(reply.replace("{}", method)) == (Method(method), None)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "it is not in a fence that begins with ```Optimized Method"),
        (SMALL, "it is not in a fence that begins with ```Optimized Method"),
        (f"```\n{SMALL}\n```", "it is not in a fence that begins with ```Optimized Method"),
        (f"Optimized Method:\n```\n{SMALL}\n```", "it is not in a fence that begins with ```Optimized Method"),
        (f"```Optimized Method\n{SMALL}", "its fence is not closed"),
        (f"```Optimized Method\n{SMALL}\n```text\nmore", "its fence is not closed"),
        ("```Optimized Method\n```", "it is empty"),
        (f"```Optimized Method\n{STEPS}\n```", "it has lost the slot {instruction}"),
        ("```Optimized Method\nHarder: {instruction}\n```", "it has lost the headings of its steps"),
    ],
)
def test_no_candidate(reply: str, problem: str) -> None:
    assert candidate_of(reply) == (None, problem)
