"""What one of TRL's trainers is given: the same for every method."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.training.preflight import Prepared
from evolvent.training.settings import Lora, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a trainer is given.

    Attributes:
        model, tokenizer: transformers'.
        prepared: the rows.
        settings: all of them decided.
        lora: a LoRA's settings.
        seed: the run's.
        folder: where checkpoints are written.
        report_to: trackers.
        callback: is told of steps.
    """

    model: Any
    tokenizer: Any
    prepared: Prepared
    settings: Settings
    lora: Lora | None
    seed: int
    folder: Path
    report_to: tuple[str, ...]
    callback: Any
