"""The task `embedded`: its items, and what decides an answer."""

import asyncio
import json
from collections import Counter

import pytest

from evolvent.evaluation import harness
from evolvent.evaluation.task import NoVerdict, Tools
from evolvent.evaluation.tasks.embedded import judge
from evolvent.sandbox.sandbox import Sandbox
from tools.embedded.seeds import held_out
from tools.embedded.task import SHIPPED, items

LOWER = "def evaluate(response):\n    return response == response.lower()"


def test_the_items_that_ship_are_those_that_the_recipe_makes() -> None:
    shipped = [json.loads(line) for line in SHIPPED.read_text().splitlines()]
    assert shipped == list(items())
    assert Counter(item["key"].partition("-")[0] for item in shipped) == {"sum": 100, "form": 100}
    assert all(held_out(item["prompt"]) for item in shipped if item["answer"])


def test_items_need_no_folder_of_data() -> None:
    pytest.importorskip("lm_eval")
    first = next(harness.items("embedded", None, 1))
    assert first.instruction.startswith("Mia has 23 cards")


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
    assert asyncio.run(judge({"answer": "4", "check": None}, reply, Tools())) == {"sums": right}


def checked(check: str, reply: str) -> float:
    async def in_sandbox() -> float:
        async with Sandbox() as sandbox:
            found = await judge({"answer": None, "check": check}, reply, Tools(sandbox))
        return float(found["form"] or 0)

    return asyncio.run(in_sandbox())


@pytest.mark.parametrize(("reply", "kept"), [("all small.", 1.0), ("Not so.", 0.0), (" ", 0.0)])
def test_a_function_decides_on_a_form(reply: str, kept: float) -> None:
    assert checked(LOWER, reply) == kept


def test_a_function_without_a_verdict_gives_none() -> None:
    with pytest.raises(NoVerdict, match="ZeroDivisionError"):
        checked("def evaluate(response):\n    return 1 / 0", "text")
