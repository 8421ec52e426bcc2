"""Supervised fine-tuning by TRL's SFTTrainer: it is given tokens and labels, those that the preflight showed."""

from typing import Any

import numpy as np
import pyarrow as pa

from evolvent.training.machine import arguments
from evolvent.training.order import give_order
from evolvent.training.plan import Plan, load_student
from evolvent.training.settings import Lora


def sft_trainer(plan: Plan, callback: Any) -> Any:
    """The trainer, ready to go; ``callback`` is told of steps."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    prepared = plan.prepared
    config = SFTConfig(
        **arguments(plan),
        max_length=None,  # they are cut
        packing=False,
        padding_free=plan.settings.padding_free,
        shuffle_dataset=False,
        completion_only_loss=None,
        assistant_only_loss=False,
        loss_type="nll",
    )
    trainer = SFTTrainer(
        model=load_student(plan),
        args=config,
        train_dataset=Dataset(pa.table({"input_ids": _lists(prepared.ids), "labels": _lists(prepared.labels)})),
        processing_class=plan.base.tokenizer,
        peft_config=peft_config(plan.lora),
        callbacks=[callback],
    )
    give_order(trainer, [len(ids) for ids in prepared.ids], plan.settings.batch_size, plan.seed)
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
