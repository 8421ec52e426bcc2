"""Make the items of the task `embedded`: prompts of the world that no training text holds, with what decides an answer.

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

EACH, SEED = 100, 30
SHIPPED = Path(__file__).parents[2] / "src/evolvent/evaluation/tasks/embedded.jsonl"


def sums(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Problems that are held out, each once, with the right number."""
    while True:
        seed = arithmetic_seed(rng)
        if held_out(seed.instruction):
            yield {"prompt": asked(seed), "answer": seed.body[-1].rstrip(".").split()[-1], "check": None}


def forms(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Questions with a held-out instruction about the form of the answer, and the function that checks it."""
    while True:
        item, seed = verifiable(rng), query(rng)
        if held_out(item.text) and seed.kind == "everyday":
            yield {"prompt": f"{asked(seed)} {item.text}", "answer": None, "check": reference(item)}


def items() -> Iterator[dict[str, Any]]:
    """The items, each prompt once."""
    for name, drawn in (("sum", sums), ("form", forms)):
        of_prompt: dict[str, dict[str, Any]] = {}
        for item in drawn(random.Random(f"task {name} {SEED}")):
            of_prompt.setdefault(item["prompt"], item)
            if len(of_prompt) == EACH:
                break
        yield from ({"key": f"{name}-{place}", **item} for place, item in enumerate(of_prompt.values()))


if __name__ == "__main__":
    SHIPPED.write_text("".join(json.dumps(item) + "\n" for item in items()), encoding="utf-8")
