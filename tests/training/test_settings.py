from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.training.settings import NAMES, Lora, settings_of
from evolvent.training_presets import PRESETS

PAPER_1 = {"batch_size": 64, "lr_scheduler_type": "cosine", "warmup_steps": 0.03, "max_length": 2048}


@pytest.mark.parametrize(
    ("preset", "values", "lora"),
    [
        ("paper1", {**PAPER_1, "learning_rate": 2e-5, "num_train_epochs": 3}, None),
        ("paper1-qwen-small", {**PAPER_1, "learning_rate": 1e-5, "num_train_epochs": 2}, None),
        ("paper1-qwen-mid", {**PAPER_1, "learning_rate": 7e-6, "num_train_epochs": 2}, None),
        (
            "paper1-qwen-lora",
            {**PAPER_1, "learning_rate": 5e-5, "num_train_epochs": 2},
            Lora(r=8, alpha=8, dropout=0.0),
        ),
        ("paper2", {"batch_size": 32, "learning_rate": 2e-5, "warmup_steps": 100, "max_length": 4096}, None),
    ],
)
def test_the_papers_settings(preset: str, values: dict[str, Any], lora: Lora | None) -> None:
    settings, adapter = settings_of("sft", preset, None, None)
    assert {name: getattr(settings, name) for name in values} == values
    assert adapter == lora


def test_each_method_has_a_preset_of_its_own_and_takes_no_other() -> None:
    assert settings_of("sft", None, None, None) == settings_of("sft", "paper1", None, None)
    assert settings_of("dpo", None, None, None)[0].beta == PRESETS["autoif"].values["beta"] == 0.3
    with pytest.raises(InputError, match=r"preset paper1 is for --method sft\nPresets of dpo: autoif"):
        settings_of("dpo", "paper1", None, None)


def test_a_lora_where_the_preset_trains_all_weights_learns_ten_times_as_fast() -> None:
    settings, lora = settings_of("sft", "paper1", {"r": "16", "targets": "q_proj+v_proj"}, None)
    assert settings.learning_rate == pytest.approx(2e-4)
    assert lora == Lora(r=16, alpha=16, targets="q_proj+v_proj")  # a larger r is no smaller scale
    assert settings_of("sft", None, {"r": "16", "alpha": "32"}, None)[1] == Lora(r=16, alpha=32)
    assert settings_of("sft", "paper1", {"r": "4"}, {"learning_rate": "3e-5"})[0].learning_rate == 3e-5
    assert settings_of("sft", "quick", {"r": "4"}, None)[0].learning_rate == 2e-4


def test_values_are_texts_or_what_they_are() -> None:
    as_typed = {"batch_size": "16", "bf16": "true", "max_length": "none", "padding_free": "False"}
    as_given = {"batch_size": 16, "bf16": True, "max_length": None, "padding_free": False}
    assert settings_of("sft", None, None, as_typed) == settings_of("sft", None, None, as_given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lr": "1"}, "--set has no 'lr'\nKnown are: learning_rate"),
        ({"batch_size": "1.5"}, "batch_size is a whole number"),
        ({"batch_size": True}, "batch_size is a whole number"),
        ({"learning_rate": "fast"}, "learning_rate is a number"),
        ({"learning_rate": "-1"}, "learning_rate is -1\nIt is above 0"),
        ({"learning_rate": "nan"}, "learning_rate is nan\nIt is above 0"),
        ({"learning_rate": "none"}, "learning_rate is a number"),
        ({"bf16": "maybe"}, "bf16 is true or false"),
        ({"warmup_steps": "-1"}, "warmup_steps is -1"),
        ({"warmup_steps": "nan"}, "warmup_steps is nan"),
        ({"num_train_epochs": "inf"}, "num_train_epochs is inf\nIt is above 0, and finite"),
        ({"adam_beta1": "1"}, "adam_beta1 is 1\nIt is at least 0, and below 1"),
        ({"weight_decay": "-1"}, "weight_decay is -1"),
        ({"lr_scheduler_type": "cosin"}, "there is no lr_scheduler_type 'cosin'\nKnown are: cosine, linear"),
        ({"beta": "0.1"}, "beta is a setting of --method dpo"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        settings_of("sft", None, None, given)
    assert words in str(raised.value)


def test_the_names_that_are_known_are_those_of_the_libraries() -> None:
    import inspect
    import re

    import torch
    from transformers import get_scheduler
    from trl.trainer.dpo_trainer import DPOTrainer

    optimizer = torch.optim.AdamW([torch.zeros(1)])
    for name in NAMES["lr_scheduler_type"]:
        get_scheduler(name, optimizer, num_warmup_steps=1, num_training_steps=9)
    theirs = set(re.findall(r'loss_type == "(\w+)"', inspect.getsource(DPOTrainer)))
    assert theirs - set(NAMES["loss_type"]) == {"exo_pair"}, "which needs label smoothing"
    assert set(NAMES["loss_type"]) <= theirs
    with pytest.raises(InputError, match=r"there is no loss_type 'kto'\nKnown are: sigmoid"):
        settings_of("dpo", None, None, {"loss_type": "kto"})


@pytest.mark.parametrize(("name", "value"), [("r", "0"), ("alpha", "-1"), ("dropout", "1")])
def test_a_lora_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(InputError, match=rf"{name} is {value}\nIt is"):
        settings_of("sft", None, {name: value}, None)
