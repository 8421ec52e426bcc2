"""A search whose candidates and failures a test writes down.

A method says its quality: ``quality 3`` fails on the first three rows of the dev set. What the optimizer replies is
written down by step and candidate: a number stands for a method of that quality, a text for itself.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from click.testing import Result
from typer.testing import CliRunner

from evolvent.call_store.key import call_seed
from evolvent.cli import app
from evolvent.evolution.auto_evol_instruct.method import initial_method
from evolvent.evolution.auto_evol_instruct.optimize import OptimizedMethod, drawn, optimize_method
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.runs.inputs import stage_input
from tests.scripted import Opened

EVOLVER, OPTIMIZER, OTHER = (f"openai:{name}?base_url=http://host:1/v1" for name in ("evolver", "optimizer", "other"))
SEEDS = [{"instruction": f"Mend sock number {n}.", "input": "wool" if n % 2 else ""} for n in range(40)]
DEV, BATCH, CANDIDATES = 8, 3, 3


def method(quality: int) -> str:
    return initial_method().text.replace("in these steps.", f"in these steps, with quality {quality}.")


def fenced(text: str) -> str:
    return f"Here it is.\n```Optimized Method\n{text}\n```\n"


class Script:
    """What the models reply.

    Args:
        initial: how many rows of the dev set fail with the initial method.
        replies: the optimizer's by (step, candidate): a quality, or the whole reply; 9 where nothing is written down.
        unparsed: methods of these qualities get no evolution from the first so many rows of the dev set.
        answers: replies to all that do not fail, by the row's place in the dev set.
    """

    def __init__(
        self,
        initial: int = 6,
        replies: Mapping[tuple[int, int], int | str] | None = None,
        *,
        unparsed: Mapping[int, int] | None = None,
        answers: Mapping[int, Reply] | None = None,
        seed: int = 0,
        limit: int | None = None,
    ) -> None:
        self.initial = initial
        self.replies = dict(replies or {})
        self.unparsed = dict(unparsed or {})
        self.answers = dict(answers or {})
        dev, _ = drawn(stage_input(SEEDS, before=None, limit=limit), DEV, 2000, seed)
        self.place = {row.seed_index: place for place, row in enumerate(dev)}
        self.whose = {
            call_seed(seed, f"step-{step}/candidate-{candidate}", stage): (step, candidate)
            for step in range(1, 12)
            for candidate in range(1, 6)
            for stage in ("analysis", "optimization")
        }

    def __call__(self, prompt: str, sampling: Sampling) -> Reply:
        reply = self._reply(prompt, sampling)
        return reply if isinstance(reply, Reply) else Reply(reply, "stop", Usage(10, 2))

    def place_of(self, prompt: str) -> int | None:
        """The place in the dev set of the row that a prompt is about; None if it is not in it."""
        return self.place.get(int(re.findall(r"sock number (\d+)", prompt)[-1]))

    def _reply(self, prompt: str, sampling: Sampling) -> str | Reply:
        if prompt.startswith("The cases below"):
            step, candidate = self.whose[sampling.seed or 0]
            return f"Case 1: it adds nothing.  \nCase {candidate}: nor does it, in step {step}."
        if prompt.startswith("Feedback:"):
            reply = self.replies.get(self.whose[sampling.seed or 0], 9)
            return fenced(method(reply)) if isinstance(reply, int) else reply
        place = self.place_of(prompt)
        place = 99 if place is None else place
        found = re.search(r"with quality (\d+)\.", prompt)
        if "#Instruction#:\n" in prompt:
            quality = int(found[1]) if found else self.initial
            if place < self.unparsed.get(quality, 0):
                return "I would rather not."
            given = prompt.rsplit("#Instruction#:\n", 1)[1].partition("\n\n#Input#")[0]
            given = given.partition(" Do it")[0]
            return (
                "Step 1 #Methods List#:\n1. Add a limit.\nStep 2 #Plan#:\nDo so.\nStep 3 #Rewritten Instruction#:\n"
                f"{given} Do it\nStep 4 #Finally Rewritten Instruction#:\n{given} Do it neatly with quality {quality}."
            )
        assert found is not None
        if place < int(found[1]):
            return ("Sure, which sock?", "Please provide the sock.", "Understood. And now?")[place % 3]
        return self.answers.get(place, Reply("Take a needle.", "stop", Usage(10, 2)))


# A search of three steps, one candidate without a fence, one without its slot.
SEARCH: dict[tuple[int, int], int | str] = {
    (1, 1): 5,
    (1, 2): "no fence",
    (1, 3): 4,
    (2, 1): 4,
    (2, 2): 3,
    (2, 3): fenced("lost"),
    (3, 1): 3,
}


# Opens scripted models in place of those that the stage would open.
Follow = Callable[[Script], Opened]


class Killed(BaseException):
    """Ends a run as nothing that it expects would."""


def models(script: Script) -> Opened:
    return Opened((EVOLVER, OPTIMIZER, OTHER), script)


def optimized(out: Path, **options: Any) -> OptimizedMethod:
    sizes = {"dev": DEV, "batch": BATCH, "candidates": CANDIDATES}
    return optimize_method(SEEDS, **{"evolver": EVOLVER, "optimizer": OPTIMIZER, "out": out, **sizes, **options})


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def asked(opened: Opened) -> int:
    return sum(len(model.asked) for model in opened.values())


def command(tmp_path: Path, *options: str) -> Result:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    sizes = ["--dev", str(DEV), "--batch", str(BATCH), "--candidates", str(CANDIDATES)]
    models = ["--evolver", EVOLVER, "--optimizer", OPTIMIZER]
    return CliRunner().invoke(
        app, ["optimize-method", str(seeds), *models, *sizes, "--out", str(tmp_path / "m.yaml"), *options]
    )
