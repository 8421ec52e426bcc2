"""The options of score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.metrics.car import BETA
from evolvent.metrics.layout import LAYOUTS
from evolvent.models.uri import JUDGES, check_judge, check_local_model
from evolvent.options import DATA, Calling, Interface, Reading, argument, names, option, run_folder

DEFAULT_METRICS = ("ifd", "ic_ifd")

# What the metrics say that can be asked for, by the option that supplies what they need.
TOLD = {
    "by --base-model, with perplexities, response_loss, rsr and token counts:": {
        "ifd": "how little the instruction helps with the answer",
        "ic_ifd": "the same by how likely the instruction is",
        "grape": "how likely the answer is, the log probability a token",
    },
    "by --judge:": {
        "difficulty_level": "how hard the instruction is: one of five",
        "difficulty_score": "how hard the instruction is: 0 to 100",
        "judge_score": "how good the answer is: 0 to 100",
        "win": "whether it is better than that of --against",
    },
    "by --reward-model:": {
        "reward": "how good the answer is",
        "evolution_reward": "how good the evolved instruction is",
    },
    "by --embedder:": {"mnd": "how far the nearest other instruction is"},
}
LINES = tuple(
    line for by, metrics in TOLD.items() for line in (by, *(f"  {name:<16} {words}" for name, words in metrics.items()))
)


def check_metrics(names: Sequence[str]) -> None:
    """Check that there are metrics of these names.

    Raises:
        InputError: one is unknown, or there is none.
    """
    from evolvent.metrics.all_metrics import METRICS, chosen

    if not names:
        raise InputError("no metric is named", fix=f"Metrics: {', '.join(METRICS)}.")
    chosen(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Which scores, and with which models."""

    out: Path = run_folder()
    base_model: str | None = option(
        "The model to be tuned: embedded-base, smollm2, hf:ID-or-folder, gguf:FILE.",
        None,
        metavar="URI",
        check=check_local_model,
    )
    judge: str | None = option(f"The model that judges: {JUDGES}.", None, metavar="URI", check=check_judge)
    reward_model: str | None = option(
        "The model that says how good an answer is: embedded-reward, hf:ID-or-folder.",
        None,
        metavar="URI",
        check=check_local_model,
    )
    embedder: str | None = option(
        "The model that embeds instructions: minilm, hf:ID-or-folder.", None, metavar="URI", check=check_local_model
    )
    against: str | None = option(
        "Other answers to the same instructions, for win: a run folder, a data file or a Hub id.", None, metavar="DATA"
    )
    metrics: tuple[str, ...] = option(
        "Which metrics of those listed below.",
        DEFAULT_METRICS,
        metavar="A,B",
        lines=LINES,
        parse=names,
        check=check_metrics,
    )
    layout: str = option(
        "How pairs are laid out: paper (raw text, as paper 1's code does) or chat (the model's template).",
        "paper",
        names=tuple(LAYOUTS),
    )
    strict: bool = option("Read a judge's replies as the published code does: exactly, or not at all.", False)
    max_tokens: int = option("Longest reply of the judge, in tokens.", 2048, metavar="N", least=1)
    batch_tokens: int | None = option(
        "Padded tokens in one forward pass; the measured default if not given.", None, metavar="N", least=1
    )
    device: str = option("auto, cpu or cuda.", "auto", metavar="NAME")
    dtype: str = option("auto (float32 on a CPU, bfloat16 on a GPU), float32 or bfloat16.", "auto", metavar="NAME")

    def __post_init__(self) -> None:
        from evolvent.metrics.all_metrics import chosen, supplied

        supplied(chosen(self.metrics), self)  # a recipe's earlier stages would be paid before it is missed


def shift_rewards() -> Any:
    """An option: whether rewards are made to begin at 0."""
    return option("Add to every reward what makes the lowest 0: CAR means nothing where the mean is negative.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """How scored data is compared."""

    by: str | None = option(
        "The column whose values are compared: teacher, evolver, operator, one of your own.", None, metavar="COLUMN"
    )
    beta: float = option("How much the loss counts in CAR; a sweep stands beside it.", BETA, metavar="X", least=0)
    shift_rewards: bool = shift_rewards()


COMPARE = Interface(
    "evolvent.metrics.compare",
    "compare",
    {"data": argument("A run folder or its scored.parquet.", "RUN", more="Or a Run.")},
    (Comparing,),
)

# No row of scores fails: what a judge did not answer is asked again by --fresh, which pays for no stored reply twice.
SCORE = Interface(
    "evolvent.metrics.score", "score", {"data": DATA}, (Scores, Reading, Calling), without=("retry_failed",)
)
