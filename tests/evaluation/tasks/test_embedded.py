"""The tasks of the embedded world: their items, and what decides an answer."""

import asyncio
import json

import pytest

from evolvent.evaluation import harness
from evolvent.evaluation.task import NoVerdict, Tools
from evolvent.evaluation.tasks.embedded import judge_form, judge_sum
from evolvent.sandbox.sandbox import Sandbox
from tools.embedded.seeds import held_out
from tools.embedded.task import SHIPPED, TASKS, items

LOWER = "def evaluate(response):\n    return response == response.lower()"


@pytest.mark.parametrize("task", TASKS)
def test_the_items_that_ship_are_those_that_the_recipe_makes(task: str) -> None:
    shipped = [json.loads(line) for line in (SHIPPED / f"{task}.jsonl").read_text().splitlines()]
    assert shipped == items(task) and len(shipped) == 100
    assert task == "embedded_forms" or all(held_out(item["prompt"]) for item in shipped)


def test_items_need_no_folder_of_data() -> None:
    pytest.importorskip("lm_eval")
    for task in TASKS:
        assert next(harness.items(task, None, 1)).instruction == items(task)[0]["prompt"]


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("23 - 15 = 8. The answer is 4.", 1.0),
        ("4 cards of 23", 0.0),
        ("-4", 0.0),
        ("four", 0.0),
        ("", 0.0),
        ("04", 0.0),
    ],
)
def test_the_last_number_of_a_sum_decides(reply: str, right: float) -> None:
    assert asyncio.run(judge_sum({"answer": "4"}, reply, Tools())) == {"right": right}


def checked(check: str, reply: str) -> float:
    async def in_sandbox() -> float:
        async with Sandbox() as sandbox:
            found = await judge_form({"check": check}, reply, Tools(sandbox))
        return float(found["right"] or 0)

    return asyncio.run(in_sandbox())


@pytest.mark.parametrize(("reply", "kept"), [("all small.", 1.0), ("Not so.", 0.0), (" ", 0.0)])
def test_a_function_decides_on_a_form(reply: str, kept: float) -> None:
    assert checked(LOWER, reply) == kept


def test_a_function_without_a_verdict_gives_none() -> None:
    with pytest.raises(NoVerdict, match="ZeroDivisionError"):
        checked("def evaluate(response):\n    return 1 / 0", "text")
