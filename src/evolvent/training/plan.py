"""A training of which everything is decided: what the trainers are made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.training.base_model import Base, load_model
from evolvent.training.checkpoints import FOLDER
from evolvent.training.preflight import Prepared
from evolvent.training.settings import Lora, Settings
from evolvent.training.student import end_turns_with


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A training.

    Attributes:
        method: ``sft`` or ``dpo``.
        base: the base model.
        prepared: the rows.
        settings: all of them decided.
        lora: a LoRA's settings.
        seed: the run's.
        out: the student's folder.
        report_to: trackers.
    """

    method: str
    base: Base
    prepared: Prepared
    settings: Settings
    lora: Lora | None
    seed: int
    out: Path
    report_to: tuple[str, ...] = ()

    @property
    def checkpoints(self) -> Path:
        return self.out / FOLDER


def load_student(plan: Plan) -> Any:
    """The base model, to be trained. The trainer's arguments are made before: by them ZeRO-3 shares the weights out."""
    model = load_model(plan.base, plan.settings.attn_implementation or "sdpa")
    tokenizer = plan.base.tokenizer
    end_turns_with(tokenizer, model, plan.prepared.end or 0)
    if tokenizer.pad_token is None:
        # It pads what labels and attention leave out: the one at the end of a turn is trained all the same.
        tokenizer.pad_token = tokenizer.eos_token
    return model
