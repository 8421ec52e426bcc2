"""What the machine decides of a training, where the user does not."""

import os
from typing import Any

from evolvent.errors import InputError
from evolvent.training.plan import Plan
from evolvent.training.settings import Settings, replaced
from evolvent.words import number_of

# Rows that a device takes at once, where the batch can be divided so.
ROWS_AT_ONCE = {"cpu": 4, "cuda": 8}


# Settings that TRL has by the same name, and means the same by.
PASSED_ON = (
    *("learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon"),
    *("max_grad_norm", "bf16", "gradient_checkpointing", "per_device_train_batch_size"),
)


def processes() -> int:
    """How many processes train together (``accelerate launch`` says)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def keeps_rows_apart(attention: str) -> bool:
    """Whether an attention keeps rows apart that stand in one sequence; others let them see one another."""
    return attention.startswith("flash_attention") or "flash-attn" in attention


def on_this_machine(settings: Settings) -> Settings:
    """Settings with all decided that the machine decides.

    Raises:
        InputError: the batch cannot be divided among the processes, rows without padding would see one another, no
            device computes in bfloat16, or several GPUs are there and one process.
    """
    import torch
    from transformers.utils.import_utils import is_flash_attn_2_available, is_torch_bf16_gpu_available

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and processes() == 1 and torch.cuda.device_count() > 1:
        raise InputError(
            f"{torch.cuda.device_count()} GPUs are there and one process",
            fix="Train on all of them with accelerate launch (docs/training.md), or on one: CUDA_VISIBLE_DEVICES=0 …",
        )
    attention = settings.attn_implementation
    if attention is None:
        attention = "flash_attention_2" if kind == "cuda" and is_flash_attn_2_available() else "sdpa"
    if settings.padding_free and not keeps_rows_apart(attention):
        raise InputError(
            f"padding_free with attn_implementation {attention}: rows in one sequence would see one another",
            fix="Take FlashAttention, --set attn_implementation=flash_attention_2, or leave padding_free out.",
        )
    if settings.bf16 and not is_torch_bf16_gpu_available():
        raise InputError("bf16=true: no GPU is here that computes in bfloat16", fix="Leave bf16 out.")
    return replaced(
        settings,
        attn_implementation=attention,
        bf16=kind == "cuda" and torch.cuda.is_bf16_supported() if settings.bf16 is None else settings.bf16,
        gradient_checkpointing=(
            kind == "cuda" if settings.gradient_checkpointing is None else settings.gradient_checkpointing
        ),
        per_device_train_batch_size=_rows_at_once(settings, kind),
    )


def _rows_at_once(settings: Settings, kind: str) -> int:
    share, rest = divmod(settings.batch_size, processes())
    given = settings.per_device_train_batch_size
    if rest or (given is not None and share % given):
        among = [f"among {processes()} processes"] if processes() > 1 else []
        among += [f"by {number_of(given, 'rows')} a device"] if given else []
        raise InputError(
            f"a batch of {number_of(settings.batch_size, 'rows')} cannot be divided {', '.join(among)}",
            fix="Change --set batch_size" + (" or --set per_device_train_batch_size." if given else "."),
        )
    return given or max(rows for rows in range(1, ROWS_AT_ONCE[kind] + 1) if share % rows == 0)


def arguments(plan: Plan) -> dict[str, Any]:
    """What both of TRL's trainers are given: every default that matters."""
    settings, steps = plan.settings, plan.prepared.found.steps
    accumulated = settings.batch_size // (settings.per_device_train_batch_size or 1) // processes()
    return {
        **{name: getattr(settings, name) for name in PASSED_ON},
        "output_dir": str(plan.checkpoints),
        "gradient_accumulation_steps": accumulated,
        "max_steps": steps,
        "optim": "adamw_torch",
        "fp16": False,
        "seed": plan.seed,
        "data_seed": plan.seed,
        # Ten checkpoints in all, of which the last two are kept, and one at the end.
        "save_strategy": "steps",
        "save_steps": max(1, -(-steps // 10)),
        "save_total_limit": 2,
        "save_only_model": False,
        "logging_strategy": "steps",
        "logging_steps": max(1, steps // 1000),
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "report_to": list(plan.report_to) or "none",
        "disable_tqdm": True,
        "push_to_hub": False,
        "dataloader_drop_last": False,
        "average_tokens_across_devices": True,
        "label_smoothing_factor": 0.0,
        "use_liger_kernel": False,
    }
