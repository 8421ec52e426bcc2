"""The demo: sample seeds of our own through the whole path, with the models that ship with the package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evolvent.options import fresh, progress, run_folder, takes

if TYPE_CHECKING:
    from evolvent.recipe import RecipeRun

SEEDS = Path(__file__).parent / "datasets" / "samples" / "demo_seeds.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """Where the demo works."""

    out: Path = run_folder(Path("demo"))
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

    recipe = {
        "out": str(given.out),
        "evolve": {"seeds": str(SEEDS), "model": "embedded", "rounds": 3, "max_tokens": 256},
        "respond": {"teacher": "embedded", "max_tokens": 256},
        "score": {"base_model": "embedded-base"},
        "select": {"by": "ic_ifd", "top": "25%"},
    }
    return run(recipe, fresh=given.fresh, progress=given.progress)
