"""The demo: sample seeds of our own through the whole path, offline, with a real small model where there is one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
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
    "select": {"by": "ic_ifd", "top": "25%"},
}


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
    """Evolve, answer, score and select the sample seeds offline, on the CPU.

    Returns:
        The run folder and what each stage returned.

    Raises:
        InputError: the ``local`` extra is not installed, or the folder holds another run.
    """
    from evolvent.recipe import run

    lacks = lacking() if given.model is None else None
    real = lacks is None and given.model != "embedded"
    if real:
        log.warning("demo: embedded evolves, smollm2 answers and scores: two to three minutes on two cores")
    elif lacks is not None:
        log.warning("demo: embedded does all, as smollm2, a real model, cannot: %s\n%s", *lacks)
    recipe = {"out": str(given.out), **(REAL if real else EMBEDDED)}
    return run(recipe, fresh=given.fresh, progress=given.progress)
