"""Make the items of the tasks `embedded_sums` and `embedded_forms`: prompts that no training text holds.

python -m tools.embedded.task
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.embedded.arithmetic import arithmetic_seed
from tools.embedded.autoif import query
from tools.embedded.chats import asked
from tools.embedded.seeds import held_out
from tools.embedded.verifiable import reference, verifiable

EACH = 100
SHIPPED = Path(__file__).parents[2] / "src/evolvent/evaluation/tasks"


def sums(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Problems that are held out, each once, with the right number."""
    while True:
        seed = arithmetic_seed(rng)
        if held_out(seed.instruction):
            yield {"prompt": asked(seed), "answer": seed.body[-1].rstrip(".").split()[-1]}


def forms(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Questions with a held-out instruction about the form of the answer, and the function that checks it."""
    while True:
        item, seed = verifiable(rng), query(rng)
        if held_out(item.text) and seed.kind == "everyday":
            yield {"prompt": f"{asked(seed)} {item.text}", "check": reference(item)}


# What draws the items of a task, and the seed that it draws with.
TASKS = {"embedded_sums": (sums, "task sum 30"), "embedded_forms": (forms, "task form 30")}


def items(task: str) -> list[dict[str, Any]]:
    """The items of a task, each prompt once."""
    of_prompt: dict[str, dict[str, Any]] = {}
    draw, seed = TASKS[task]
    for item in draw(random.Random(seed)):
        of_prompt.setdefault(item["prompt"], item)
        if len(of_prompt) == EACH:
            break
    return [{"key": str(place), **item} for place, item in enumerate(of_prompt.values())]


if __name__ == "__main__":
    for name in TASKS:
        lines = "".join(json.dumps(item) + "\n" for item in items(name))
        (SHIPPED / f"{name}.jsonl").write_text(lines, encoding="utf-8")
