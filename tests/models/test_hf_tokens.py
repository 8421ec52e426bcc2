"""What a chat model's tokens say."""

import json

import pytest

from evolvent.models.hf.batching import Request
from evolvent.models.hf.loading import Weights, load_weights
from evolvent.models.hf.tokens import reply
from evolvent.models.protocols import Sampling
from tests.models.tiny_llama import EOS, save_tiny_llama

THINK, THOUGHT = 20, 21


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The tiny Llama; its words 20 and 21 are the tags of reasoning."""
    folder = save_tiny_llama(tmp_path_factory.mktemp("thinking"))
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for token, tag in ((THINK, "<think>"), (THOUGHT, "</think>")):
        content["model"]["vocab"][tag] = content["model"]["vocab"].pop(f"w{token}")
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return load_weights(str(folder), uri="hf:thinking")


@pytest.mark.parametrize(
    ("prompt", "tokens", "text", "reasoning", "finish_reason"),
    [
        ([30], [40, EOS], "w40", None, "stop"),
        ([30], [THINK, 40, THOUGHT, 41, EOS], "w41", "w40", "stop"),
        ([30], [40, 11, THOUGHT, 41, EOS], "w41", "w40", "stop"),  # the template opened it in words of its own
        ([30, THINK], [40, THOUGHT, 41, EOS], "w41", "w40", "stop"),
        ([30, THINK], [40, 41, 42, 43, 44], "", "w40w41w42w43w44", "length"),  # no answer yet
        ([30, THINK, 11], [40, 41, 42, 43, 44], "", "w40w41w42w43w44", "length"),
        ([THINK, 30], [40, 41, 42, 43, 44], "w40w41w42w43w44", None, "length"),
    ],
)
def test_reasoning_is_kept_beside_the_answer(
    thinking: Weights, prompt: list[int], tokens: list[int], text: str, reasoning: str | None, finish_reason: str
) -> None:
    made = reply(thinking, Request(prompt, Sampling(max_tokens=5), 5), tokens, [], finish_reason)
    assert (made.text, made.reasoning, made.finish_reason) == (text, reasoning, finish_reason)
