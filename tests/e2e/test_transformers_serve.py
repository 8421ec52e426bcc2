"""An ``openai:`` model before a server that nobody here wrote: ``transformers serve``, in a process of its own."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import CallError, ModelUnavailableError
from evolvent.models.openai import OpenAIChat
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.records import Message
from tests.processes import LONG_S

MISSING = [
    name for name in ("torch", "transformers", "fastapi", "uvicorn", "openai", "accelerate") if not find_spec(name)
]
if MISSING:
    pytest.skip(f"transformers[serving] is not installed ({', '.join(MISSING)})", allow_module_level=True)
if tuple(map(int, version("transformers").split(".")[:2])) < (5, 5):
    pytest.skip("older servers count no tokens, and generate otherwise than the model alone", allow_module_level=True)

EMBEDDED = Path(__file__).parents[2] / "src/evolvent/models/embedded/instruct"
TEMPLATE = (
    "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}{% if add_generation_prompt %}assistant{% endif %}"
)
WORDS = ["system", "user", "assistant", "how", "many", "apples", "are", "left", "in", "the", "basket", "a", "pear"]
ASK: list[Message] = [{"role": "user", "content": "how many apples are left in the basket"}]


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights with a vocabulary of words and a chat template."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("random-llama")
    words = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(["<unk>", "</s>", *WORDS])}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words.get_vocab()), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=256, bos_token_id=None, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running ``transformers serve``."""
    folder = tmp_path_factory.mktemp("serve")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = folder / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "HF_HOME": str(folder)})
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(LONG_S)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + LONG_S
    while time.monotonic() < ends and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not start:\n{log.read_text()[-3000:]}")


def ask(base_url: str, model: str | Path, *samplings: Sampling, **options: Any) -> list[Reply]:
    """Replies to one conversation, asked for at the same time."""

    async def calls() -> list[Reply]:
        chat = OpenAIChat(str(model), uri="openai:served", base_url=base_url, api_key=None, **options)
        try:
            return await asyncio.gather(*(chat.chat(ASK, sampling) for sampling in samplings))
        finally:
            await chat.close()

    return asyncio.run(calls())


def generated(folder: Path, max_tokens: int) -> tuple[str, Usage]:
    """Greedy text and its token counts, by transformers in this process."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    inputs = tokenizer.apply_chat_template(ASK, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    stop = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(max_new_tokens=max_tokens, do_sample=False, eos_token_id=stop)
    length = inputs["input_ids"].shape[1]
    ids = model.generate(**inputs, pad_token_id=tokenizer.pad_token_id)[0, length:]
    return tokenizer.decode(ids, skip_special_tokens=True), Usage(length, len(ids))


def test_greedy_replies_equal_the_models_own(base_url: str, random_model: Path) -> None:
    text, usage = generated(random_model, 12)
    assert text
    replies = ask(base_url, random_model, *[Sampling(temperature=0, max_tokens=12)] * 8)
    assert {(reply.text, reply.usage) for reply in replies} == {(text, usage)}
    assert replies[0].finish_reason == ("length" if usage.completion_tokens == 12 else "stop")


def test_embedded_model_can_be_served(base_url: str) -> None:
    text, usage = generated(EMBEDDED, 24)
    (reply,) = ask(base_url, EMBEDDED, Sampling(temperature=0, max_tokens=24))
    assert (reply.text, reply.usage) == (text, usage)


def test_seed_decides_a_sampled_reply_asked_for_alone(base_url: str, random_model: Path) -> None:
    def text(seed: int) -> str:
        return ask(base_url, random_model, Sampling(temperature=1, top_p=0.95, max_tokens=16, seed=seed))[0].text

    first = text(1)
    assert text(1) == first
    assert len({text(seed) for seed in range(2, 6)} | {first}) > 1


def test_unknown_field_fails_the_call_in_the_servers_words(base_url: str, random_model: Path) -> None:
    with pytest.raises(CallError, match=r"HTTP 422: .*top_k") as caught:
        ask(base_url, random_model, Sampling(temperature=0, max_tokens=4), extra_body={"top_k": 5})
    assert "top_k" in caught.value.fix


def test_wrong_path_is_an_unavailable_model(base_url: str, random_model: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="usually ends in /v1"):
        ask(base_url.removesuffix("/v1"), random_model, Sampling(temperature=0, max_tokens=4))
