"""The demo: sample seeds of our own through the whole path, with the models that ship with the package."""

from pathlib import Path

from evolvent.recipe import RecipeRun, run

SEEDS = Path(__file__).parent / "datasets" / "samples" / "demo_seeds.jsonl"


def demo(out: str | Path = "demo", *, fresh: bool = False, progress: bool = False) -> RecipeRun:
    """Evolve, answer, score and select the sample seeds offline, on the CPU.

    Args:
        out: the run folder.
        fresh: make the stages anew although the folder holds them with other settings.
        progress: show progress on standard error.

    Returns:
        The run folder and what each stage returned.

    Raises:
        InputError: the ``local`` extra is not installed, or the folder holds another run.
    """
    recipe = {
        "out": str(out),
        "evolve": {"seeds": str(SEEDS), "model": "embedded", "rounds": 3, "max_tokens": 256},
        "respond": {"teacher": "embedded", "max_tokens": 256},
        "score": {"base_model": "embedded-base"},
        "select": {"by": "ic_ifd", "top": "25%"},
    }
    return run(recipe, fresh=fresh, progress=progress)
