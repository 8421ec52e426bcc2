"""Direct preference optimisation by TRL's DPOTrainer: of two answers the chosen one becomes likelier than the other."""

from typing import Any

from evolvent.training.given import Given
from evolvent.training.machine import arguments
from evolvent.training.order import give_order
from evolvent.training.sft import peft_config


def dpo_trainer(given: Given, reference: Any) -> Any:
    """The trainer, ready to go; ``reference``: the model as it was, None with a LoRA, which can be switched off."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    prepared, settings = given.prepared, given.settings
    how = arguments(
        settings, steps=prepared.found.steps, seed=given.seed, folder=given.folder, report_to=given.report_to
    )
    lengths = [max(len(ids), len(worse)) for ids, (worse, _) in zip(prepared.ids, prepared.rejected, strict=True)]
    pairs = [
        {
            "prompt": example.turns[:-1],
            "chosen": example.turns[-1:],
            "rejected": [{"role": "assistant", "content": example.rejected}],
        }
        for example in prepared.kept
    ]
    config = DPOConfig(
        **how,
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
        model=given.model,
        ref_model=reference,
        args=config,
        train_dataset=Dataset.from_list(pairs),
        processing_class=given.tokenizer,
        peft_config=peft_config(given.lora),
        callbacks=[given.callback],
    )
    give_order(trainer, lengths, settings.batch_size, given.seed)
    return trainer
