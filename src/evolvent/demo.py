"""The demo: sample seeds of our own through the whole path, offline, with a real small model where there is one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.models.smollm2 import lacking
from evolvent.options import fresh, option, progress, run_folder, takes

if TYPE_CHECKING:
    from evolvent.recipe import RecipeRun

log = logging.getLogger(__name__)

SEEDS = Path(__file__).parent / "datasets" / "samples" / "demo_seeds.jsonl"

BRIEFLY = "Answer briefly, in at most five sentences."

# smollm2 answers, and is the base model of the scores. It does not evolve: see report/demo.py.
REAL: dict[str, dict[str, Any]] = {
    "evolve": {"seeds": str(SEEDS), "model": "embedded", "rounds": 1, "limit": 24, "max_tokens": 256},
    "respond": {"teacher": "smollm2", "system": BRIEFLY, "max_tokens": 384},
    "score": {"base_model": "smollm2"},
    "select": {"by": "ic_ifd", "top": "25%"},
}
EMBEDDED: dict[str, dict[str, Any]] = {
    "evolve": {"seeds": str(SEEDS), "model": "embedded", "rounds": 3, "max_tokens": 256},
    "respond": {"teacher": "embedded", "max_tokens": 256},
    "score": {"base_model": "embedded-base"},
    "select": {"by": "ic_ifd", "top": "50%"},
}
# The student is of the embedded world alone, where code can tell whether it has become better. A name of its own in the
# recipe, and a folder, where smollm2 did the rest.
WORLD = "world"
STUDENT: dict[str, dict[str, Any]] = {
    "train": {
        "base_model": "embedded-base-sums",
        "set": {"learning_rate": 3e-4, "num_train_epochs": 3, "batch_size": 8},
    },
    "evaluate": {"tasks": ["embedded_sums", "embedded_forms"], "against": "embedded-base-sums"},
}
NEEDS = {"trl": "train", "lm_eval": "evaluate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """Where the demo works, and with which model."""

    out: Path = run_folder(Path("demo"))
    model: str | None = option(
        "Who answers and scores; smollm2 where it is installed if not given.", None, names=("smollm2", "embedded")
    )
    fresh: bool = fresh("all stages")
    progress: bool | Callable[..., object] = progress()


@takes(Demo)
def demo(given: Demo) -> "RecipeRun":
    """Evolve, answer, score and select the sample seeds offline, on the CPU; train a student, and evaluate it.

    Returns:
        The run folder and what each stage returned.

    Raises:
        InputError: the ``local`` extra is not installed, or the folder holds another run.
    """
    from evolvent.recipe import run

    lacks = lacking() if given.model is None else None
    real = lacks is None and given.model != "embedded"
    if real:
        log.warning("demo: embedded evolves, smollm2 answers and scores: some four minutes on two cores")
    elif lacks is not None:
        log.warning("demo: embedded does all, as smollm2, a real model, cannot: %s\n%s", *lacks)
    recipe = {"out": str(given.out), **(REAL if real else EMBEDDED)}
    lacking_extras = [extra for module, extra in NEEDS.items() if find_spec(module) is None]
    if lacking_extras:
        log.warning("demo: it ends without a student: pip install 'evolvent[%s]'", ",".join(lacking_extras))
    elif real:
        recipe |= {f"{stage}:{WORLD}": options for stage, options in {**EMBEDDED, **STUDENT}.items()}
    else:
        recipe |= STUDENT
    return run(recipe, fresh=given.fresh, progress=given.progress)
