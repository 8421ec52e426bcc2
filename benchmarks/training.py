"""Training speed: tokens with loss a second, beside TRL's own defaults on the same model and data.

    python -m benchmarks.training DATA --base-model hf:FOLDER [--rows 336] [--batch 16] [--repeats 3]

Four ways, full weights, one epoch, the same rows a step and a device: TRL's defaults (conversations, its masks, its
max_length, gradient checkpointing, bf16, rows drawn at random); TRL without gradient checkpointing and bf16; ours
without sorting within a step; ours. Each training is a process of its own; the ways take turns, so that what else the
machine does falls on all. A way's first step, which is slow, is not measured, and 20 are at the least.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAYS = ("trl", "trl-plain", "unsorted", "ours")
STEPS = 20


def measured(way: str, data: str, base_model: str, rows: int, batch: int) -> float:
    """One training: its tokens with loss a second."""
    from collections import Counter

    from evolvent.options import Reading
    from evolvent.training import machine, order, sft
    from evolvent.training.base_model import find_base
    from evolvent.training.plan import Plan, load_student
    from evolvent.training.preflight import prepare
    from evolvent.training.rows import open_examples
    from evolvent.training.settings import settings_of
    from evolvent.training.steps import Steps

    base = find_base(base_model, None)
    settings, _ = settings_of("sft", None, None, {"num_train_epochs": 1, "batch_size": batch})
    settings = machine.on_this_machine(settings)
    examples = open_examples(data, "sft", Reading(limit=rows))
    prepared = prepare(examples, base.tokenizer, settings, base.context, Counter())
    if prepared.found.steps <= STEPS:
        sys.exit(f"{prepared.found.steps} steps, and more than {STEPS} are to be measured: raise --rows")
    steps = Steps(lambda _: None, prepared.found.loss_tokens / prepared.found.steps)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            method="sft", base=base, prepared=prepared, settings=settings, lora=None, seed=0, out=Path(folder)
        )  # fmt: skip
        if way in ("trl", "trl-plain"):
            trainer = trl_trainer(way, load_student(plan), plan, steps)
        else:
            if way == "unsorted":
                give = order.give_order
                sft.give_order = lambda trainer, lengths, *how: give(trainer, [1] * len(lengths), *how)
            trainer = sft.sft_trainer(plan, steps)
        trainer.args.save_strategy = "no"
        trainer.train()
    return steps.tokens_per_second()


def trl_trainer(way: str, model: Any, plan: Any, steps: Any) -> Any:
    """TRL's trainer with its own defaults, given the same conversations."""
    import torch
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rows = [{"prompt": one.turns[:-1], "completion": one.turns[-1:]} for one in plan.prepared.kept]
    plain: dict[str, Any] = {"bf16": False, "gradient_checkpointing": False} if way == "trl-plain" else {}
    at_once = plan.settings.per_device_train_batch_size
    config = SFTConfig(
        output_dir=str(plan.out),
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=plan.settings.batch_size // at_once,
        num_train_epochs=1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),  # else its bf16 is refused
        logging_steps=1,
        **plain,
    )
    return SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=plan.base.tokenizer,
        callbacks=[steps],
    )


def main(echo: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--base-model", default="embedded-base")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rows", type=int, default=(STEPS + 1) * 16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--way")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measured(given.way, given.data, given.base_model, given.rows, given.batch)))
        return
    found: dict[str, list[float]] = defaultdict(list)
    for way in given.ways.split(",") * given.repeats:
        command = [sys.executable, "-m", "benchmarks.training", *sys.argv[1:], "--way", way]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[way].append(json.loads(done.stdout.strip().splitlines()[-1]))
    for way, paces in found.items():
        spread = f"({min(paces):,.1f} to {max(paces):,.1f} in {len(paces)})"
        echo(f"{way:<10} {statistics.median(paces):,.1f} tokens with loss a second {spread}")


if __name__ == "__main__":
    main()
