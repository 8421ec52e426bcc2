"""The trainers: how each wants its rows, and its configuration.

Settings are those that ``train`` begins with: a paper's for SFT, another's for DPO. What decides whether the data is
learnt at all is written out, whatever the trainer's defaults are: no text is cut, the loss is on the answers and on the
token that ends each, and no sample sees another's.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from evolvent.datasets.dataset_info import messages_entry
from evolvent.datasets.training_examples import Example
from evolvent.records import Message
from evolvent.training_presets import DEFAULT, PRESETS

DATA, TEMPLATE, NAME = "train.jsonl", "chat_template.jinja", "train"

AT_ONCE = 4  # sequences on a device

# What is allowed is a multiple of this above the longest example: a template of another wording must cut nothing.
ROOM = 64


@dataclass(frozen=True, slots=True)
class Setup:
    """What a configuration has to know.

    Attributes:
        model: id on the Hub, or folder.
        revision: of an id on the Hub.
        trust_remote_code: whether the model brings code.
        preference: whether the rows are preference pairs.
        rows: how many there are.
        longest: tokens of the longest.
        turn_end: the token that ends an answer, where it is not the tokenizer's end token.
        template: whether a chat template of the user's lies beside the data.
    """

    model: str
    revision: str | None
    trust_remote_code: bool
    preference: bool
    rows: int
    longest: int
    turn_end: str | None
    template: bool

    @property
    def length(self) -> int:
        """The tokens that an example may have."""
        return -(-(self.longest + 1) // ROOM) * ROOM

    @property
    def method(self) -> str:
        return "dpo" if self.preference else "sft"

    @property
    def preset(self) -> Mapping[str, Any]:
        """The settings that the method begins with."""
        return PRESETS[DEFAULT[self.method]].values

    @property
    def accumulated(self) -> int:
        """How many times sequences are taken before the weights move."""
        return int(self.preset["batch_size"]) // AT_ONCE

    @property
    def warm_up(self) -> int:
        """Steps; as a number, since trainers call a share of them by different names."""
        steps: int = -(-self.rows // self.preset["batch_size"]) * self.preset["num_train_epochs"]
        return math.ceil(steps * float(self.preset["warmup_steps"]))


@dataclass(frozen=True, slots=True)
class Trainer:
    """A trainer.

    Attributes:
        rows: the rows of an example.
        files: the name and the text of each file beside the data.
        start: the command that trains, in the folder; ``{method}`` is sft or dpo.
        pairs: whether preference pairs can be exported for it.
    """

    rows: Callable[[Example], Iterator[dict[str, Any]]]
    files: Callable[[Setup], dict[str, str]]
    start: str
    pairs: bool = True


def _assistant(text: str | None) -> Message:
    return Message(role="assistant", content=text or "")


def _prompt_and_completion(example: Example) -> Iterator[dict[str, Any]]:
    """A row an answer, after all that came before it: TRL puts the loss on completions alone, whatever the template."""
    turns = example.turns
    if example.rejected is not None:
        yield {"prompt": turns[:-1], "chosen": turns[-1:], "rejected": [_assistant(example.rejected)]}
        return
    for place, turn in enumerate(turns):
        if turn["role"] == "assistant":
            yield {"prompt": turns[:place], "completion": [turn]}


def _messages(example: Example) -> Iterator[dict[str, Any]]:
    if example.rejected is None:
        yield {"messages": example.turns}
    else:
        pair = {"chosen": example.turns[-1], "rejected": _assistant(example.rejected)}
        yield {"messages": example.turns[:-1], **pair}


def _yaml(settings: dict[str, Any]) -> str:
    return yaml.safe_dump({key: value for key, value in settings.items() if value is not None}, sort_keys=False)


def _trl(setup: Setup) -> dict[str, str]:
    settings = {
        "model_name_or_path": setup.model,
        "model_revision": setup.revision,
        "trust_remote_code": setup.trust_remote_code or None,
        "datasets": [{"path": "json", "data_files": DATA, "split": "train"}],
        "output_dir": "trained",
        "max_length": setup.length,
        **({"beta": setup.preset["beta"]} if setup.preference else {"completion_only_loss": True, "packing": False}),
        "eos_token": None if setup.preference else setup.turn_end,
        "chat_template_path": TEMPLATE if setup.template else None,
        "per_device_train_batch_size": AT_ONCE,
        "gradient_accumulation_steps": setup.accumulated,
        "learning_rate": setup.preset["learning_rate"],
        "lr_scheduler_type": setup.preset["lr_scheduler_type"],
        "warmup_steps": setup.warm_up,
        "num_train_epochs": setup.preset["num_train_epochs"],
        "save_strategy": "epoch",
        "report_to": "none",
    }
    return {f"{setup.method}.yaml": _yaml(settings)}


def _llama_factory(setup: Setup) -> dict[str, str]:
    settings = {
        "model_name_or_path": setup.model,
        "model_revision": setup.revision,
        "trust_remote_code": setup.trust_remote_code or None,
        "stage": setup.method,
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": ".",
        "dataset": NAME,
        "cutoff_len": setup.length,
        "packing": False,
        "train_on_prompt": False,
        **({"pref_beta": setup.preset["beta"], "pref_loss": "sigmoid"} if setup.preference else {}),
        "output_dir": "trained",
        "per_device_train_batch_size": AT_ONCE,
        "gradient_accumulation_steps": setup.accumulated,
        "learning_rate": setup.preset["learning_rate"],
        "lr_scheduler_type": setup.preset["lr_scheduler_type"],
        "warmup_steps": setup.warm_up,
        "num_train_epochs": setup.preset["num_train_epochs"],
        "bf16": True,
        "save_strategy": "epoch",
        "report_to": "none",
    }
    entries = {NAME: messages_entry(DATA, preference=setup.preference)}
    return {
        "dataset_info.json": orjson.dumps(entries, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode(),
        f"{setup.method}.yaml": _yaml(settings),
    }


def _axolotl(setup: Setup) -> dict[str, str]:
    template = {"chat_template": "jinja", "chat_template_jinja": TEMPLATE} if setup.template else {}
    data: dict[str, Any] = {"path": DATA, "ds_type": "json", "split": "train", "field_messages": "messages"}
    if setup.preference:
        data |= {"type": "chat_template.default", "field_chosen": "chosen", "field_rejected": "rejected"}
    else:
        # Where nothing is said here, the tokenizer's template is taken, whatever is said below.
        data |= {"type": "chat_template", "roles_to_train": ["assistant"], "train_on_eos": "turn", **template}
    settings = {
        "base_model": setup.model,
        "revision_of_model": setup.revision,
        "trust_remote_code": setup.trust_remote_code or None,
        **({"rl": "dpo", "rl_beta": setup.preset["beta"]} if setup.preference else {}),
        "datasets": [data],
        **(template or {"chat_template": "tokenizer_default"}),
        "eot_tokens": [setup.turn_end] if setup.turn_end else None,
        "train_on_inputs": False,
        "sequence_len": setup.length,
        "excess_length_strategy": "raise",
        "sample_packing": False,
        "output_dir": "trained",
        "micro_batch_size": AT_ONCE,
        "gradient_accumulation_steps": setup.accumulated,
        "learning_rate": setup.preset["learning_rate"],
        "optimizer": "adamw_torch",
        "lr_scheduler": setup.preset["lr_scheduler_type"],
        "warmup_steps": setup.warm_up,
        "num_epochs": setup.preset["num_train_epochs"],
        "bf16": "auto",
        "saves_per_epoch": 1,
    }
    return {"axolotl.yaml": _yaml(settings)}


def _unsloth(setup: Setup) -> dict[str, str]:
    template = f'\ntokenizer.chat_template = open("{TEMPLATE}", encoding="utf-8").read()' if setup.template else ""
    script = f'''"""Train with Unsloth: python train.py"""

from unsloth import FastLanguageModel  # first, before transformers and trl
from unsloth.chat_templates import train_on_responses_only

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained(
    {setup.model!r},
    revision={setup.revision!r},
    max_seq_length={setup.length},
    full_finetuning=True,
    load_in_4bit=False,
    trust_remote_code={setup.trust_remote_code!r},
){template}
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=load_dataset("json", data_files="{DATA}", split="train"),
    args=SFTConfig(
        output_dir="trained",
        max_length={setup.length},
        packing=False,
        per_device_train_batch_size={AT_ONCE},
        gradient_accumulation_steps={setup.accumulated},
        learning_rate={setup.preset["learning_rate"]},
        lr_scheduler_type="{setup.preset["lr_scheduler_type"]}",
        warmup_steps={setup.warm_up},
        num_train_epochs={setup.preset["num_train_epochs"]},
        save_strategy="epoch",
        report_to="none",
    ),
)
trainer = train_on_responses_only(trainer)  # finds the two roles in the chat template
trainer.train()
trainer.save_model("trained")
tokenizer.save_pretrained("trained")
'''
    return {"train.py": script}


TRAINERS: dict[str, Trainer] = {
    "trl": Trainer(_prompt_and_completion, _trl, "trl {method} --config {method}.yaml"),
    "llama-factory": Trainer(_messages, _llama_factory, "llamafactory-cli train {method}.yaml"),
    "axolotl": Trainer(_messages, _axolotl, "axolotl train axolotl.yaml"),
    "unsloth": Trainer(_messages, _unsloth, "python train.py", pairs=False),
}
