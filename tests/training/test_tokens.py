"""The tokens that carry loss, beside a computation by hand and TRL's own."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from evolvent.errors import InputError
from evolvent.models.chat_template import FOLDER
from evolvent.models.folders import EMBEDDED_FOLDER
from evolvent.records import Message
from evolvent.training.tokens import IGNORED, end_token, special_tokens, tokens_of

ONE = [Message(role="user", content="What is 2 plus 2?"), Message(role="assistant", content="It is 4.")]
TWO = [*ONE, Message(role="user", content="And plus 3?"), Message(role="assistant", content="7, then.")]
LAST_ONLY = "{% for m in messages %}{{ m.role if loop.last else m.content }}:{{ m.content }}</s>{% endfor %}"


def tokenizer(template: str | None = None):  # type: ignore[no-untyped-def]
    found = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER / "base")
    found.chat_template = template or found.chat_template
    return found


def by_hand(written: list[tuple[str, bool]]) -> tuple[list[int], list[int]]:
    """Ids and labels of stretches of text, each with whether it carries loss."""
    ids: list[int] = []
    labels: list[int] = []
    for text, carries in written:
        found = tokenizer()(text, add_special_tokens=False)["input_ids"]
        ids += found
        labels += found if carries else [IGNORED] * len(found)
    return ids, labels


def test_one_answer() -> None:
    tokens = tokens_of(tokenizer(), ONE)
    stretches = [("<s><|user|>What is 2 plus 2?<|assistant|>", False), ("It is 4.</s>", True)]
    assert (tokens.ids, tokens.labels()) == by_hand(stretches)


def test_every_answer_of_a_conversation() -> None:
    tokens = tokens_of(tokenizer(), TWO)
    stretches = [
        ("<s><|user|>What is 2 plus 2?<|assistant|>", False),
        ("It is 4.</s>", True),
        ("<|user|>And plus 3?<|assistant|>", False),
        ("7, then.</s>", True),
    ]
    assert (tokens.ids, tokens.labels()) == by_hand(stretches)
    assert not tokens.last_only and not tokens.shifted


def test_the_last_answer_alone_where_the_template_writes_earlier_ones_otherwise() -> None:
    tokens = tokens_of(tokenizer(LAST_ONLY), TWO)
    assert tokens.last_only and len(tokens.spans) == 1
    assert tokenizer().decode(tokens.ids[slice(*tokens.spans[0])]).endswith("7, then.</s>")


@pytest.mark.parametrize("template", [None, "alpaca.jinja"])
def test_the_same_as_trl(tmp_path: Path, template: str | None) -> None:
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    ours = tokenizer((FOLDER / template).read_text() if template else None)
    talks = [ONE, [Message(role="system", content="Be brief."), *ONE]]
    trainer = SFTTrainer(
        model=str(EMBEDDED_FOLDER / "base"),
        args=SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, max_length=None, report_to="none"),
        train_dataset=Dataset.from_list([{"prompt": talk[:-1], "completion": talk[-1:]} for talk in talks]),
        processing_class=ours,
    )
    for talk, row in zip(talks, trainer.train_dataset, strict=True):
        tokens = tokens_of(ours, talk)
        assert (tokens.ids, tokens.labels()) == (row["input_ids"], row["labels"])


def test_what_ends_an_answer() -> None:
    found = tokenizer()
    tokens = tokens_of(found, ONE)
    assert end_token(tokens.ids, special_tokens(found)) == found.eos_token_id
    assert end_token(found("no end", add_special_tokens=False)["input_ids"], special_tokens(found)) is None


def test_a_template_that_refuses() -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InputError, match=r"refuses a conversation of user, assistant: roles must alternate"):
        tokens_of(tokenizer(template), ONE)
