"""Supervised fine-tuning by TRL's SFTTrainer: it is given tokens and labels, those that the preflight showed."""

from typing import Any

import numpy as np
import pyarrow as pa

from evolvent.training.given import Given
from evolvent.training.machine import arguments
from evolvent.training.order import give_order
from evolvent.training.settings import Lora


def sft_trainer(given: Given) -> Any:
    """The trainer, ready to go."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    prepared, settings = given.prepared, given.settings
    how = arguments(
        settings, steps=prepared.found.steps, seed=given.seed, folder=given.folder, report_to=given.report_to
    )
    dataset = Dataset(pa.table({"input_ids": _lists(prepared.ids), "labels": _lists(prepared.labels)}))
    config = SFTConfig(
        **how,
        max_length=None,  # they are cut
        packing=False,
        padding_free=settings.padding_free,
        shuffle_dataset=False,
        completion_only_loss=None,
        assistant_only_loss=False,
        loss_type="nll",
    )
    trainer = SFTTrainer(
        model=given.model,
        args=config,
        train_dataset=dataset,
        processing_class=given.tokenizer,
        peft_config=peft_config(given.lora),
        callbacks=[given.callback],
    )
    give_order(trainer, [len(ids) for ids in prepared.ids], settings.batch_size, given.seed)
    return trainer


def peft_config(lora: Lora | None) -> Any:
    """PEFT's settings of a LoRA."""
    if lora is None:
        return None
    from peft import LoraConfig

    targets = lora.targets if lora.targets == "all-linear" else lora.targets.split("+")
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )


def _lists(rows: "list[np.ndarray]") -> "pa.Array":
    """Arrays of numbers as one column of lists."""
    ends = np.cumsum([0, *map(len, rows)])
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(np.concatenate(rows)))
