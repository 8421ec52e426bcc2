"""The same weights through transformers and through llama.cpp: the same log probabilities, the same breadth."""

import asyncio
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolvent.models.opening import open_chat
from evolvent.models.output_breadth import ALTERNATIVES, output_breadth
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.records import Message
from tests.models.tiny_gguf import write_gguf

pytest.importorskip("xllamacpp", reason="needs the gguf extra")
pytest.importorskip("gguf", reason="needs the gguf extra")
pytest.importorskip("accelerate", reason="transformers reads no GGUF file without it")

TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}:"
QUESTIONS = ["abc", "Name a fruit.", "Why is the sky blue?", "7 + 8 = ", "x", "(){}[]", "One, two, three"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", template=TEMPLATE, scale=0.15, space_before=False)


@pytest.fixture(scope="module")
def folder(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as transformers reads it, in float32."""
    folder = tmp_path_factory.mktemp("hf")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    return folder


def replies(model: ChatModel) -> list[Reply]:
    sampling = Sampling(temperature=0, max_tokens=24, top_logprobs=ALTERNATIVES)

    async def all_of_them() -> list[Reply]:
        asked = [[Message(role="user", content=question)] for question in QUESTIONS]
        return await asyncio.gather(*(model.chat(turns, sampling) for turns in asked))

    return asyncio.run(all_of_them())


def test_hf_and_gguf_agree_along_a_greedy_reply(file: Path, folder: Path) -> None:
    one, other = (replies(open_chat(uri)) for uri in (f"hf:{folder}", f"gguf:{file}"))
    assert [reply.text for reply in one] == [reply.text for reply in other]
    assert [reply.usage for reply in one] == [reply.usage for reply in other]
    for mine, theirs in zip(one, other, strict=True):
        assert mine.logprobs and theirs.logprobs
        assert output_breadth(mine.logprobs) == pytest.approx(output_breadth(theirs.logprobs), abs=1e-3)
        for a, b in zip(mine.logprobs, theirs.logprobs, strict=True):
            assert a.logprob == pytest.approx(b.logprob, abs=1e-3)
            assert [logprob for _, logprob in a.top] == pytest.approx([logprob for _, logprob in b.top], abs=1e-3)
