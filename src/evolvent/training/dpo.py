"""Direct preference optimisation by TRL's DPOTrainer: of two answers the chosen one becomes likelier than the other."""

from typing import Any

from evolvent.training.base_model import load_model
from evolvent.training.machine import arguments
from evolvent.training.order import give_order
from evolvent.training.plan import Plan, load_student
from evolvent.training.sft import peft_config


def dpo_trainer(plan: Plan, callback: Any) -> Any:
    """The trainer, ready to go; ``callback`` is told of steps. The reference is the base model."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    prepared, settings = plan.prepared, plan.settings
    pairs = [
        {
            "prompt": example.turns[:-1],
            "chosen": example.turns[-1:],
            "rejected": [{"role": "assistant", "content": example.rejected}],
        }
        for example in prepared.kept
    ]
    config = DPOConfig(
        **arguments(plan),
        max_length=prepared.found.max_length,
        truncation_mode="keep_start",
        beta=settings.beta,
        loss_type=[settings.loss_type],
        disable_dropout=True,
        precompute_ref_log_probs=False,
        sync_ref_model=False,
        padding_free=False,
    )
    trainer = DPOTrainer(
        model=load_student(plan),
        # A LoRA can be switched off: then the model is its own reference.
        ref_model=None if plan.lora else load_model(plan.base, settings.attn_implementation or "sdpa"),
        args=config,
        train_dataset=Dataset.from_list(pairs),
        processing_class=plan.base.tokenizer,
        peft_config=peft_config(plan.lora),
        callbacks=[callback],
    )
    lengths = [max(len(ids), len(worse)) for ids, (worse, _) in zip(prepared.ids, prepared.rejected, strict=True)]
    give_order(trainer, lengths, settings.batch_size, plan.seed)
    return trainer
