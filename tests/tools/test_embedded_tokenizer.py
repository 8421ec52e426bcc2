"""The tokenizer of the embedded models, trained small on the spot."""

import itertools

import pytest

pytest.importorskip("transformers")

from tools.embedded.corpus import PROMPTS, chats
from tools.embedded.methods import HEADINGS, STEPS
from tools.embedded.mixture import method_chats
from tools.embedded.tokenizer import fixed_lines, method_lines, train_tokenizer, with_method_lines


@pytest.fixture(scope="module")
def tokenizer():  # type: ignore[no-untyped-def]
    return train_tokenizer((chat.reply for chat in itertools.islice(chats(1), 300)), 700)


def test_it_is_lossless_and_splits_digits(tokenizer) -> None:  # type: ignore[no-untyped-def]
    assert len(tokenizer) == 700
    for text in ("a  b\n    return 'x'", "Ünïcode “quotes” 漢字", " 1,234.50 € ", "def f(x):\n    return x * 10\n"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert [tokenizer.decode([token]) for token in tokenizer("407", add_special_tokens=False)["input_ids"]] == list(
        "407"
    )


def test_it_adds_one_bos_and_nothing_else(tokenizer) -> None:  # type: ignore[no-untyped-def]
    encoded = tokenizer("hello")
    assert set(encoded.keys()) == {"input_ids", "attention_mask"}
    assert encoded["input_ids"].count(tokenizer.bos_token_id) == 1
    assert tokenizer.pad_token_id not in (tokenizer.eos_token_id, tokenizer.bos_token_id)


@pytest.mark.parametrize("name", [name for name in PROMPTS if name != "equality"])
def test_fixed_lines_of_the_prompts_are_single_tokens(tokenizer, name: str) -> None:  # type: ignore[no-untyped-def]
    assert all(len(tokenizer(line, add_special_tokens=False)["input_ids"]) == 1 for line in fixed_lines())
    prompt = PROMPTS[name].render(instruction="x", input="y")
    tokens = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(tokens) == prompt
    assert len(tokens) <= 25


def test_chat_template(tokenizer) -> None:  # type: ignore[no-untyped-def]
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": " Hi \n"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "<s><|system|>Be kind.<|user|>Hi<|assistant|>"
    whole = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": "Hello"}], tokenize=False)
    assert whole == "<s><|system|>Be kind.<|user|>Hi<|assistant|>Hello</s>"


def test_the_methods_fixed_lines_are_further_single_tokens_and_the_old_ones_stay(tokenizer) -> None:  # type: ignore[no-untyped-def]
    grown = with_method_lines(tokenizer)
    lines = method_lines()
    assert len(tokenizer) == 700 and len(grown) == 700 + len(lines)
    known = tokenizer.get_vocab()
    assert {token: index for token, index in grown.get_vocab().items() if token in known} == known
    assert all(len(grown(line, add_special_tokens=False)["input_ids"]) == 1 for line in lines)
    assert {name for name in method_lines() if name.startswith("Step ")} >= {*STEPS, *HEADINGS}
    for chat in itertools.islice(method_chats(1), 200):
        assert grown.decode(grown(chat.reply, add_special_tokens=False)["input_ids"]) == chat.reply
