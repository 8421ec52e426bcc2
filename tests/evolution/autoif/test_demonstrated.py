"""What the profile small shows a model, and what it reads in the replies."""

import asyncio
from collections.abc import Sequence

import pytest

from evolvent.errors import InputError
from evolvent.evolution.autoif.demonstrated import (
    SHOWN,
    load_demonstrations,
    of_self_instruct,
    read_cases,
    read_function,
)
from evolvent.evolution.autoif.find_functions import Tools, functions_for
from evolvent.evolution.autoif.functions import Case, Sample
from evolvent.evolution.autoif.self_instruct import new_instructions
from evolvent.models.protocols import Sampling
from evolvent.records import Record
from evolvent.sandbox.sandbox import Sandbox, require_sandbox
from tests.evolution.autoif.settings import settings
from tests.scripted import Scripted

DEMONSTRATIONS = load_demonstrations()
CODE = "def evaluate(response):\n    return ',' not in response"
CASES = "follows: a b\nfollows: c\nbreaks: a, b\nbreaks: ,"


def test_every_demonstration_is_right() -> None:
    assert len(DEMONSTRATIONS.shown) >= 8
    for one in DEMONSTRATIONS.shown:
        found = read_function(one.fenced)
        cases, broken = read_cases(one.cases)
        assert isinstance(found, Sample), one.instruction
        names: dict[str, object] = {}
        exec(found.code, names)
        verdicts = [names["evaluate"](case.input) for case in cases]  # type: ignore[operator]
        assert (verdicts, broken) == ([case.output for case in cases], 0), one.instruction
        assert [case.input for case in cases] == [*one.follows, *one.breaks]


def test_each_sample_is_shown_others() -> None:
    asked = [DEMONSTRATIONS.of_functions("Use no commas", seed) for seed in range(20)]
    assert len({str(turns) for turns in asked}) > 15
    assert all(len(turns) == 2 * SHOWN + 2 for turns in asked)
    assert asked[3] == DEMONSTRATIONS.of_functions("Use no commas", 3)
    assert asked[3][-1] == {"role": "user", "content": "Use no commas"}


def test_new_instructions_are_asked_for_after_the_seeds() -> None:
    seeds = [f"Use at most {number} words" for number in range(36)]
    turns = of_self_instruct(seeds, 5, 1)
    said = [
        instruction
        for turn in turns
        if turn["role"] == "assistant"
        for instruction in new_instructions(turn["content"])
    ]
    assert len(said) == len(set(said)) == 15
    assert set(said) < set(seeds)
    assert turns[-1]["content"] == "Write 5 instructions."
    assert len(of_self_instruct(seeds[:1], 5, 1)) == 4


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (f"```python\n{CODE}\n```", Sample(CODE, ())),
        (f"```python\n{CODE}", Sample(CODE, ())),  # the stop text is not part of a reply
        (CODE, Sample(CODE, ())),
        (f"Sure!\n```python\n{CODE}\n```\nIt looks for commas.", Sample(CODE, ())),
        ("", "no function"),
        ("```python\n", "no function"),
        ("Use no commas.", "no function evaluate that Python can read"),
        ("```python\ndef check(response):\n    return True", "no function evaluate that Python can read"),
    ],
)
def test_the_function_in_a_reply(reply: str, found: Sample | str) -> None:
    assert read_function(reply) == found


def test_the_cases_in_a_reply() -> None:
    reply = "follows: a\\nb\n breaks: a, b \nHere are more:\nfollows:\nbreaks a"
    assert read_cases(reply) == ((Case("a\nb", True), Case("a, b", False)), 3)


def test_a_function_and_its_cases_come_in_replies_of_their_own() -> None:
    try:
        require_sandbox(unsafe=False)
    except InputError as error:
        pytest.skip(error.message)

    def reply(prompt: str, sampling: Sampling) -> str:
        if sampling.stop == ("\n\n",):
            return CASES
        return f"```python\n{CODE}" if sampling.stop == ("\n```",) else "Use no commas."

    async def find(instructions: Sequence[str]) -> list[object]:
        async with Sandbox() as sandbox:
            tools = Tools(Scripted(reply), sandbox)
            how = settings("small", demonstrations=DEMONSTRATIONS)
            return [await functions_for(Record("i", "i", 0, one), how, tools) for one in instructions]

    (found,) = asyncio.run(find(["Use no commas"]))
    assert found.reason is None  # type: ignore[attr-defined]
    assert found.functions == ((CODE, 1.0),)  # type: ignore[attr-defined]
    assert found.back_translations == ("Use no commas.",)  # type: ignore[attr-defined]


def test_the_function_of_a_demonstration_is_no_answer_to_another_instruction() -> None:
    one = DEMONSTRATIONS.shown[0]
    assert DEMONSTRATIONS.copied(one.code.replace("    ", "  ") + "\n", "Answer in a single line.")
    assert not DEMONSTRATIONS.copied(one.code, one.instruction)
    assert not DEMONSTRATIONS.copied(CODE, "Answer in a single line.")

    def reply(prompt: str, sampling: Sampling) -> str:
        assert sampling.stop == ("\n```",), "no cases are asked for"
        return f"```python\n{one.code}"

    async def find() -> object:
        async with Sandbox() as sandbox:
            tools, how = Tools(Scripted(reply), sandbox), settings("small", demonstrations=DEMONSTRATIONS)
            return await functions_for(Record("i", "i", 0, "Answer in a single line."), how, tools)

    try:
        require_sandbox(unsafe=False)
    except InputError as error:
        pytest.skip(error.message)
    found = asyncio.run(find())
    counts = found.counts  # type: ignore[attr-defined]
    assert counts["samples: the function of a demonstration"] == counts["samples"]
    assert found.functions == ()  # type: ignore[attr-defined]
