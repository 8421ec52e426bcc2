"""Stages with scripted models: what they answer, their seeds, and how often they were asked."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from evolvent.concurrency import WINDOW
from evolvent.errors import CallError
from evolvent.evolution.evolve import evolve
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.runs.run import Run
from tests.scripted import Scripted

URL = "?base_url=http://host:1/v1"
EVOLVER, TEACHER, OTHER = (f"openai:{name}{URL}" for name in ("evolver", "teacher", "other"))
PART = 4
# One record at a time: when the work for one begins, those so many before it are in their part, if that is full kept.
KEPT_AFTER = WINDOW + 1


# What an evolution adds: enough to be no paraphrase.
THINGS = (
    "needle thread cotton button zipper ribbon pillow blanket curtain carpet basket bottle kettle candle hammer ladder "
    "bucket shovel garden meadow forest valley river harbour island bridge castle market bakery school museum station"
)


def longer(prompt: str, sampling: Sampling) -> Reply:
    """An answer that the prompt and the seed decide, of 2 tokens in and 1 out."""
    given = prompt.split("Prompt#:\n", 1)[-1].split("\n", 1)[0]
    drawn = random.Random(f"{prompt}{sampling.seed}").sample(THINGS.split(), 6)
    return Reply(f"{given} Then name a {', '.join(drawn)}.", "stop", Usage(2, 1))


def refuse(*_: object) -> str:
    raise CallError("server said no")


def failing_for(named: Iterable[int], otherwise: Callable[[str, Sampling], Reply] = longer) -> Any:
    """Fails for the seeds of these numbers."""
    words = [f"number {n}:" for n in named]

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if any(word in prompt for word in words):
            raise CallError("server said no")
        return otherwise(prompt, sampling)

    return reply


def breaking_after(count: int, error: BaseException) -> Any:
    """Answers so many calls and then cannot be used at all."""
    answered = 0

    def reply(prompt: str, sampling: Sampling) -> Reply:
        nonlocal answered
        answered += 1
        if answered > count:
            raise error
        return longer(prompt, sampling)

    return reply


def write_seeds(folder: Path, numbers: Iterable[int], name: str = "seeds.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps({"instruction": f"Mend sock number {n}: how?"}) + "\n" for n in numbers))
    return path


def evolved(seeds: Path, out: Path, **options: Any) -> Run:
    return evolve(seeds, model=EVOLVER, out=out, **{"rounds": 1, "concurrency": 3, **options})


def undisturbed(tmp_path: Path, seeds: Path, **options: Any) -> bytes:
    return evolved(seeds, tmp_path / "undisturbed", **options).output.read_bytes()


def asked_in(model: Scripted) -> int:
    """How often a model was asked since this was last asked."""
    count = len(model.asked)
    model.asked.clear()
    return count
