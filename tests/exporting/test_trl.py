"""What is exported for TRL, read by TRL itself: its parser takes the configuration, its trainers the data."""

from pathlib import Path
from typing import Any

import pytest

from evolvent import export

trl = pytest.importorskip("trl")


def trained_on(folder: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """TRL's arguments and its trainer, made as ``trl sft --config`` makes them."""
    from importlib import import_module

    monkeypatch.chdir(folder)
    parser = import_module(f"trl.scripts.{method}").make_parser()
    typed = ["--config", f"{method}.yaml", "--use_cpu", "true"]  # here is no GPU
    _, arguments, model, mixture = parser.parse_args_and_config(typed, fail_with_unknown_args=True)
    kind = trl.SFTTrainer if method == "sft" else trl.DPOTrainer
    data = trl.get_dataset(mixture)["train"]
    return arguments, kind(model=model.model_name_or_path, args=arguments, train_dataset=data)


def marked(trainer: Any, ids: Any, bears_loss: Any) -> str:
    """A row's text, what bears loss in brackets."""
    tokens = list(zip(ids.tolist(), bears_loss.tolist(), strict=True))
    pieces, inside = [], False
    for token, bears in tokens:
        if bears != inside:
            pieces.append("[" if bears else "]")
            inside = bears
        pieces.append(trainer.processing_class.decode([token]))
    return "".join([*pieces, "]" if inside else ""])


def test_the_loss_is_on_answers_and_on_what_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = ("user", "Name a bird"), ("assistant", "A crane."), ("user", "Another"), ("assistant", "An owl.")
    turns = [{"role": role, "content": text} for role, text in (("system", "Be brief."), *talk)]
    export([{"messages": turns, "meta": {"a": 1}}], trainer="trl", base_model="embedded-base", out=tmp_path)
    arguments, trainer = trained_on(tmp_path, "sft", monkeypatch)
    assert (arguments.max_length, arguments.completion_only_loss, arguments.packing) == (64, True, False)
    assert (arguments.learning_rate, arguments.num_train_epochs) == (2e-5, 3)
    batches = [trainer.data_collator([row]) for row in trainer.train_dataset]
    head = "<s><|system|>Be brief.<|user|>Name a bird<|assistant|>"
    assert [marked(trainer, batch["input_ids"][0], batch["labels"][0] != -100) for batch in batches] == [
        f"{head}[A crane.</s>]",
        f"{head}A crane.</s><|user|>Another<|assistant|>[An owl.</s>]",
    ]


def test_preference_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": "Name a bird", "chosen": "A crane.", "rejected": "A cat."}]
    export(rows, trainer="trl", base_model="embedded-base", out=tmp_path)
    arguments, trainer = trained_on(tmp_path, "dpo", monkeypatch)
    assert (arguments.beta, arguments.learning_rate, arguments.max_length) == (0.3, 5e-7, 64)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    assert [
        marked(trainer, ids[there == 1], mask[there == 1] == 1)
        for ids, there, mask in zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True)
    ] == [f"<s><|user|>Name a bird<|assistant|>[{answer}</s>]" for answer in ("A crane.", "A cat.")]
