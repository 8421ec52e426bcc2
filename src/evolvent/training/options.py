"""The options of train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.options import (
    DATA,
    Interface,
    Reading,
    mapping,
    option,
    pairs,
    progress,
    seed,
)
from evolvent.training_presets import DEFAULT, PRESETS

METHODS = tuple(DEFAULT)
TRACKERS = ("tensorboard", "wandb", "trackio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is trained, how, and where it is written."""

    base_model: str = option(
        "The model that is trained: hf:ID-or-folder, gguf:FILE, smollm2, embedded, embedded-base.", metavar="URI"
    )
    out: Path = option("The folder that the student is written to.", metavar="DIR")
    preset: str | None = option(
        "The settings to begin with: paper1 if not given, for DPO autoif.", None, names=PRESETS, metavar="NAME"
    )
    method: str = option("How it is trained.", "sft", names=METHODS)
    lora: Mapping[str, Any] | None = option(
        "Train a LoRA instead of all weights: r=8,targets=all-linear,dropout=0; alpha is r unless given.",
        None,
        metavar="KEY=VALUE,…",
        parse=mapping,
    )
    set: Mapping[str, Any] | None = option(
        "Replace a setting: learning_rate=1e-5, num_train_epochs=2, batch_size=32 and so on.",
        None,
        metavar="KEY=VALUE",
        repeatable=True,
        parse=pairs,
    )
    chat_template: str | None = option(
        "The chat template of a base model that has none: chatml, alpaca, or a Jinja file.", None, metavar="NAME"
    )
    report_to: tuple[str, ...] = option(
        "Log the loss to a tracker that is installed, too.", (), names=TRACKERS, repeatable=True
    )
    seed: int = seed()
    dry_run: bool = option("Train nothing: show which tokens would carry loss, and how many steps.", False)
    fresh: bool = option("Begin anew, whatever the folder holds of an earlier training.", False)
    progress: bool | Callable[..., Any] = progress()


TRAIN = Interface("evolvent.training.train", "train", {"data": DATA}, (Training, Reading))
