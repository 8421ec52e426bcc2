"""Presets: settings of published trainings, each with its source. train begins with them, export writes them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset.

    Attributes:
        source: where its values are from.
        values: settings by name; what it does not name has the default of ``Settings``.
        lora: a LoRA's settings; empty where all weights are trained.
        method: whose preset it is.
    """

    source: str
    values: Mapping[str, Any]
    lora: Mapping[str, Any] = field(default_factory=dict)
    method: str = "sft"


# 8 devices x 1 row x 8 accumulated, cosine, 3 % warm-up, rows of 2,048 tokens; the same in Tables 6 and 7 of paper 1.
_PAPER_1 = {"batch_size": 64, "lr_scheduler_type": "cosine", "warmup_steps": 0.03, "max_length": 2048}

PRESETS: dict[str, Preset] = {
    "paper1": Preset(
        "Smaller Language Models Are Better Instruction Evolvers, Table 6: all its scenarios",
        {**_PAPER_1, "learning_rate": 2e-5, "num_train_epochs": 3},
    ),
    "paper1-qwen-small": Preset(
        "the same, Table 7: Qwen-2.5-0.5B and 1.5B", {**_PAPER_1, "learning_rate": 1e-5, "num_train_epochs": 2}
    ),
    "paper1-qwen-mid": Preset(
        "the same, Table 7: Qwen-2.5-3B and 7B", {**_PAPER_1, "learning_rate": 7e-6, "num_train_epochs": 2}
    ),
    "paper1-qwen-lora": Preset(
        "the same, Table 7: Qwen-2.5-14B, 32B and 72B",
        {**_PAPER_1, "learning_rate": 5e-5, "num_train_epochs": 2},
        lora={"r": 8, "alpha": 8, "targets": "all-linear", "dropout": 0.0},
    ),
    "paper2": Preset(
        "Stronger Models are NOT Stronger Teachers for Instruction Tuning, Table 5",
        {
            "learning_rate": 2e-5,
            "num_train_epochs": 2,
            "batch_size": 32,  # 4 devices x 1 row x 8 accumulated
            "lr_scheduler_type": "cosine",
            "warmup_steps": 100,
            "max_length": 4096,
        },
    ),
    "quick": Preset(
        "no paper: a first look in minutes",
        {"learning_rate": 2e-4, "num_train_epochs": 1, "batch_size": 16, "warmup_steps": 0.03},
        lora={"r": 8, "alpha": 8},
    ),
    "trial": Preset(
        "no paper: what evolvent rank --trial trains, a few hundred rows seen often; a LoRA learns ten times as fast",
        {"learning_rate": 2e-5, "num_train_epochs": 10, "batch_size": 16, "warmup_steps": 0.03},
    ),
    "autoif": Preset(
        "Self-play with Execution Feedback (AutoIF), App. B: its DPO (its README has another learning rate, 5e-6)",
        {
            "learning_rate": 5e-7,
            "num_train_epochs": 2,
            "batch_size": 64,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 0.1,
            "max_length": 4096,
            "beta": 0.3,
        },
        method="dpo",
    ),
}

# What a method has where no preset is named.
DEFAULT = {"sft": "paper1", "dpo": "autoif"}
