"""Tokens counted without a model: the same as with it where its tokenizer is there, about where not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.errors import CallError, InputError
from evolvent.models.folders import EMBEDDED_FOLDER
from evolvent.models.hf.loading import load_weights
from evolvent.models.hf.tokens import conversation_tokens, token_ids
from evolvent.models.token_counts import open_counter
from evolvent.records import Message
from tests.models.tiny_llama import save_tiny_llama

WEIGHTS = load_weights(str(EMBEDDED_FOLDER / "instruct"), uri="embedded")
COUNTER = open_counter("embedded")
texts = st.text(max_size=80)
turns = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=texts)


@settings(deadline=None)
@given(texts, st.lists(turns, min_size=1, max_size=3))
def test_embedded_is_counted_as_when_it_is_asked(text: str, messages: list[Message]) -> None:
    assert COUNTER.exact
    assert COUNTER.text(text) == len(token_ids(WEIGHTS, text, special=False))
    try:
        asked = len(conversation_tokens(WEIGHTS, "embedded", messages, generation_prompt=True))
    except CallError:
        with pytest.raises(CallError, match="template refuses"):
            COUNTER.prompt(messages)
    else:
        assert COUNTER.prompt(messages) == asked


def test_a_folders_tokenizer_counts_without_its_weights(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    counter = open_counter(f"hf:{folder}")
    assert counter.exact
    assert counter.text("w5 w6 w7") == 3
    # <s>, w90 user w91 … w92, w90 assistant w91
    assert counter.prompt([Message(role="user", content="w5 w6")]) == 1 + 3 + 2 + 1 + 3


def test_a_template_file_counts_instead_of_the_models_own(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path / "tiny", template=None)
    with pytest.raises(InputError, match="has no chat template"):
        open_counter(f"hf:{folder}")
    file = tmp_path / "short.jinja"
    file.write_text("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    counter = open_counter(f"hf:{folder}?chat_template={file}")
    assert counter.prompt([Message(role="user", content="w5 w6")]) == 2
    with pytest.raises(InputError, match="cannot read the chat template"):
        open_counter(f"hf:{folder}?chat_template={tmp_path}/none.jinja")


@pytest.mark.parametrize("uri", ["openai:m?base_url=http://host:1/v1", "hf:no-such-org/no-such-model-anywhere"])
def test_where_the_tokenizer_is_not_known_it_is_about_and_says_so(uri: str) -> None:
    counter = open_counter(uri)
    assert not counter.exact
    assert counter.how.startswith("about 4 characters a token: ")
    assert (counter.text(""), counter.text("abcd"), counter.text("abcde")) == (0, 1, 2)
    assert counter.prompt([Message(role="system", content="abc"), Message(role="user", content="de")]) == 2


def test_a_cached_model_is_counted_and_the_hub_is_not_asked(tmp_path: Path) -> None:
    cached = tmp_path / "models--org--name"
    save_tiny_llama(cached / "snapshots" / "abc")
    (cached / "snapshots" / "abc" / "model.safetensors").unlink()
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    code = """
import socket
def connect(*_):
    raise SystemExit("the network was asked")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = connect
from evolvent.models.token_counts import open_counter
for uri in ("hf:org/name", "hf:org/name@main", "hf:org/other", "hf:org/name@other"):
    counter = open_counter(uri)
    print(uri, counter.exact, counter.text("w5 w6 w7"))
"""
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment["HF_HUB_CACHE"] = str(tmp_path)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.splitlines() == [
        "hf:org/name True 3",
        "hf:org/name@main True 3",
        "hf:org/other False 2",
        "hf:org/name@other False 2",
    ]


def test_a_servers_tokens_are_counted_without_transformers() -> None:
    code = """
import sys
from evolvent.models.token_counts import open_counter
open_counter("openai:m?base_url=http://host:1/v1").text("x")
print(*(name for name in ("torch", "transformers", "aiohttp", "pyarrow") if name in sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
