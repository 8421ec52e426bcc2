"""Training speed: tokens with loss a second, beside TRL's own defaults on the same model and data.

    python -m benchmarks.training DATA --base-model hf:FOLDER [--rows 64] [--batch 16]

Four ways, each in a process of its own, full weights, one epoch: TRL's defaults (conversations, its masks, its
max_length, gradient checkpointing, bf16, rows drawn at random); TRL without gradient checkpointing and bf16; ours
without sorting within a step; ours.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAYS = ("trl", "trl-plain", "unsorted", "ours")


def measured(way: str, data: str, base_model: str, rows: int, batch: int) -> dict[str, float]:
    """One training: seconds of its steps but the first, and what they were of."""
    from collections import Counter

    from evolvent.options import Reading
    from evolvent.training import machine, order, sft
    from evolvent.training.base_model import find_base, load_model
    from evolvent.training.given import Given
    from evolvent.training.preflight import prepare
    from evolvent.training.rows import open_examples
    from evolvent.training.settings import settings_of
    from evolvent.training.steps import Steps

    base = find_base(base_model, None)
    settings, _ = settings_of("sft", None, None, {"num_train_epochs": 1, "batch_size": batch})
    settings = machine.on_this_machine(settings)
    prepared = prepare(
        open_examples(data, "sft", Reading(limit=rows)), base.tokenizer, settings, base.context, Counter()
    )
    steps = Steps(lambda _: None, prepared.found.loss_tokens / order.steps_of(prepared.found.rows, 1, batch))
    model = load_model(base, "sdpa")
    with tempfile.TemporaryDirectory() as folder:
        if way in ("trl", "trl-plain"):
            trainer = trl_trainer(way, model, base.tokenizer, prepared, batch, folder, steps)
        else:
            if way == "unsorted":
                sft.order = lambda lengths, *how: order.order([1] * len(lengths), *how)  # type: ignore[attr-defined]
            trainer = sft.sft_trainer(
                Given(
                    model=model,
                    tokenizer=base.tokenizer,
                    prepared=prepared,
                    settings=settings,
                    lora=None,
                    seed=0,
                    folder=Path(folder),
                    report_to=(),
                    callback=steps,
                )
            )
        trainer.args.save_strategy = "no"
        began = time.monotonic()
        trainer.train()
    return {
        "tokens with loss": prepared.found.loss_tokens,
        "tokens with loss a second": steps.tokens_per_second(),
        "seconds": time.monotonic() - began,
        "last loss": trainer.state.log_history[-2].get("loss", 0.0),
    }


def trl_trainer(way: str, model: Any, tokenizer: Any, prepared: Any, batch: int, folder: str, steps: Any) -> Any:
    """TRL's trainer with its own defaults, given the same conversations."""
    import torch
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rows = [{"prompt": one.turns[:-1], "completion": one.turns[-1:]} for one in prepared.kept]
    plain: dict[str, Any] = {"bf16": False, "gradient_checkpointing": False} if way == "trl-plain" else {}
    config = SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=batch // 8,
        num_train_epochs=1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),  # else its bf16 is refused
        logging_steps=1,
        **plain,
    )
    data = Dataset.from_list(rows)
    return SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer, callbacks=[steps])


def main(echo: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--base-model", default="embedded-base")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--way")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measured(given.way, given.data, given.base_model, given.rows, given.batch)))
        return
    for way in given.ways.split(","):
        command = [sys.executable, "-m", "benchmarks.training", *sys.argv[1:], "--way", way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.strip().splitlines()[-1])
        echo(f"{way:<10}" + ", ".join(f"{name} {value:,.4g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
