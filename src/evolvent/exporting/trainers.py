"""The trainers: how each wants its rows, and its configuration.

Settings are those of the papers on 64 sequences a step: SFT as arXiv 2412.11231 (table 6), DPO as AutoIF (arXiv
2406.13542, App. B). What decides whether the data is learnt at all is written out, whatever the trainer's defaults are:
no text is cut, the loss is on the answers and on the token that ends each, and no sample sees another's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from evolvent.datasets.dataset_info import messages_entry
from evolvent.datasets.training_examples import Example
from evolvent.records import Message

DATA, TEMPLATE, NAME = "train.jsonl", "chat_template.jinja", "train"

AT_ONCE, STEPS = 4, 16  # sequences on a device, and how many times before the weights move
SEQUENCES = AT_ONCE * STEPS

# What is allowed is a multiple of this above the longest example: a template of another wording must cut nothing.
ROOM = 64


@dataclass(frozen=True, slots=True)
class Training:
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
    def rate(self) -> float:
        return 5e-7 if self.preference else 2e-5

    @property
    def epochs(self) -> int:
        return 2 if self.preference else 3

    @property
    def warm_up(self) -> int:
        """Steps; as a number, since trainers call a share of them by different names."""
        steps = -(-self.rows // SEQUENCES) * self.epochs
        return round(steps * (0.1 if self.preference else 0.03))


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
    files: Callable[[Training], dict[str, str]]
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


def _method(training: Training) -> str:
    return "dpo" if training.preference else "sft"


def _trl(training: Training) -> dict[str, str]:
    settings = {
        "model_name_or_path": training.model,
        "model_revision": training.revision,
        "trust_remote_code": training.trust_remote_code or None,
        "datasets": [{"path": "json", "data_files": DATA, "split": "train"}],
        "output_dir": "trained",
        "max_length": training.length,
        **({"beta": 0.3} if training.preference else {"completion_only_loss": True, "packing": False}),
        "eos_token": None if training.preference else training.turn_end,
        "chat_template_path": TEMPLATE if training.template else None,
        "per_device_train_batch_size": AT_ONCE,
        "gradient_accumulation_steps": STEPS,
        "learning_rate": training.rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": training.warm_up,
        "num_train_epochs": training.epochs,
        "save_strategy": "epoch",
        "report_to": "none",
    }
    return {f"{_method(training)}.yaml": _yaml(settings)}


def _llama_factory(training: Training) -> dict[str, str]:
    settings = {
        "model_name_or_path": training.model,
        "model_revision": training.revision,
        "trust_remote_code": training.trust_remote_code or None,
        "stage": _method(training),
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": ".",
        "dataset": NAME,
        "cutoff_len": training.length,
        "packing": False,
        "train_on_prompt": False,
        **({"pref_beta": 0.3, "pref_loss": "sigmoid"} if training.preference else {}),
        "output_dir": "trained",
        "per_device_train_batch_size": AT_ONCE,
        "gradient_accumulation_steps": STEPS,
        "learning_rate": training.rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": training.warm_up,
        "num_train_epochs": training.epochs,
        "bf16": True,
        "save_strategy": "epoch",
        "report_to": "none",
    }
    entries = {NAME: messages_entry(DATA, preference=training.preference)}
    return {
        "dataset_info.json": orjson.dumps(entries, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode(),
        f"{_method(training)}.yaml": _yaml(settings),
    }


def _axolotl(training: Training) -> dict[str, str]:
    template = {"chat_template": "jinja", "chat_template_jinja": TEMPLATE} if training.template else {}
    data: dict[str, Any] = {"path": DATA, "ds_type": "json", "split": "train", "field_messages": "messages"}
    if training.preference:
        data |= {"type": "chat_template.default", "field_chosen": "chosen", "field_rejected": "rejected"}
    else:
        # Where nothing is said here, the tokenizer's template is taken, whatever is said below.
        data |= {"type": "chat_template", "roles_to_train": ["assistant"], "train_on_eos": "turn", **template}
    settings = {
        "base_model": training.model,
        "revision_of_model": training.revision,
        "trust_remote_code": training.trust_remote_code or None,
        **({"rl": "dpo", "rl_beta": 0.3} if training.preference else {}),
        "datasets": [data],
        **(template or {"chat_template": "tokenizer_default"}),
        "eot_tokens": [training.turn_end] if training.turn_end else None,
        "train_on_inputs": False,
        "sequence_len": training.length,
        "excess_length_strategy": "raise",
        "sample_packing": False,
        "output_dir": "trained",
        "micro_batch_size": AT_ONCE,
        "gradient_accumulation_steps": STEPS,
        "learning_rate": training.rate,
        "optimizer": "adamw_torch",
        "lr_scheduler": "cosine",
        "warmup_steps": training.warm_up,
        "num_epochs": training.epochs,
        "bf16": "auto",
        "saves_per_epoch": 1,
    }
    return {"axolotl.yaml": _yaml(settings)}


def _unsloth(training: Training) -> dict[str, str]:
    template = f'\ntokenizer.chat_template = open("{TEMPLATE}", encoding="utf-8").read()' if training.template else ""
    script = f'''"""Train with Unsloth: python train.py"""

from unsloth import FastLanguageModel  # first, before transformers and trl
from unsloth.chat_templates import train_on_responses_only

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained(
    {training.model!r},
    revision={training.revision!r},
    max_seq_length={training.length},
    full_finetuning=True,
    load_in_4bit=False,
    trust_remote_code={training.trust_remote_code!r},
){template}
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=load_dataset("json", data_files="{DATA}", split="train"),
    args=SFTConfig(
        output_dir="trained",
        max_length={training.length},
        packing=False,
        per_device_train_batch_size={AT_ONCE},
        gradient_accumulation_steps={STEPS},
        learning_rate={training.rate},
        lr_scheduler_type="cosine",
        warmup_steps={training.warm_up},
        num_train_epochs={training.epochs},
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
