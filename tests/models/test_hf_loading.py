"""Loading local models: what cannot be used is said in plain words, and equal weights have equal identities."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.models.hf.loading import load_weights
from evolvent.models.hf.tokens import token_ids
from tests.models.tiny_llama import BOS, save_tiny_llama, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


def test_what_is_loaded(folder: Path) -> None:
    weights = load_weights(str(folder), uri="hf:tiny", device="cpu")
    assert weights.context == 128
    assert weights.model.dtype == torch.float32
    assert not weights.model.training
    assert json.loads(weights.identity).keys() == {"backend", "dtype", "template", "weights"}
    assert json.loads(weights.identity)["dtype"] == "float32"


@pytest.mark.parametrize("text", ["w20 w21\nw22", "", "w20 </s> w21", "nothing it knows"])
def test_token_ids_are_those_of_the_tokenizer(folder: Path, text: str) -> None:
    weights = load_weights(str(folder), uri="hf:tiny", device="cpu")
    for special in (True, False):
        expected = weights.tokenizer(text, add_special_tokens=special).input_ids
        assert token_ids(weights, text, special=special) == expected


def test_a_tokenizer_saved_with_truncation_and_padding_gives_whole_texts(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(copy / "tokenizer.json"))
    assert len(tokenizer.encode("w20").ids) == 16
    weights = load_weights(str(copy), uri="hf:tiny", device="cpu")
    assert token_ids(weights, words(*range(20, 30)), special=True) == [BOS, *range(20, 30)]


def test_identity_is_of_the_content_not_the_place(folder: Path, tmp_path: Path) -> None:
    def identity(place: Path, **options: str) -> str:
        return load_weights(str(place), uri="hf:tiny", device="cpu", **options).identity

    shutil.copytree(folder, tmp_path / "copy")
    assert identity(tmp_path / "copy") == identity(folder)
    (tmp_path / "copy" / "README.md").write_text("words", encoding="utf-8")
    assert identity(tmp_path / "copy") == identity(folder)
    assert identity(folder, dtype="bfloat16") != identity(folder)
    (tmp_path / "mine.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    assert identity(folder, chat_template=str(tmp_path / "mine.jinja")) != identity(folder)
    weights = load_file(tmp_path / "copy" / "model.safetensors")
    weights["lm_head.weight"][0, 0] += 1
    save_file(weights, tmp_path / "copy" / "model.safetensors", metadata={"format": "pt"})
    assert identity(tmp_path / "copy") != identity(folder)


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="there is no folder"):
        load_weights(str(tmp_path / "none"), uri="hf:none")
    with pytest.raises(ModelUnavailableError, match=r"holds no config\.json"):
        load_weights(str(tmp_path), uri="hf:empty")
    with pytest.raises(ModelUnavailableError, match="no folder has this name"):
        load_weights("~nobody-of-this-name/model", uri="hf:~nobody")
    with pytest.raises(ModelUnavailableError, match="no folder has this name"):
        load_weights("x" * 300, uri="hf:long")


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("config.json", {"hidden_size": "abc"}),
        ("config.json", {"hidden_size": 64}),
        ("config.json", {"num_attention_heads": 0}),
        ("config.json", None),
        ("tokenizer.json", {"model": {"type": "Nobody"}}),
        ("tokenizer.json", None),
    ],
)
def test_damaged_folders(folder: Path, tmp_path: Path, file: str, changed: dict[str, object] | None) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    content = (copy / file).read_text(encoding="utf-8")
    broken = content[:20] if changed is None else json.dumps(json.loads(content) | changed)
    (copy / file).write_text(broken, encoding="utf-8")
    with pytest.raises(ModelUnavailableError, match=r"cannot be loaded: .") as caught:
        load_weights(str(copy), uri="hf:tiny")
    assert "config.json" in caught.value.fix


def test_a_hub_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailableError, match="hf:nobody/nothing cannot be loaded") as caught:
        load_weights("nobody/nothing", uri="hf:nobody/nothing")
    assert "network" in caught.value.fix


def test_a_folder_without_weights_or_with_too_few(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError, match=r"lack 1 tensors of a LlamaForCausalLM, model\.norm\.weight"):
        load_weights(str(copy), uri="hf:tiny")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        load_weights(str(copy), uri="hf:tiny")
    (copy / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        load_weights(str(copy), uri="hf:tiny")


def test_models_of_an_unknown_kind_and_with_code_of_their_own(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "nobody-knows"}))
    with pytest.raises(ModelUnavailableError, match="nobody-knows"):
        load_weights(str(copy), uri="hf:tiny")
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (copy / "config.json").write_text(json.dumps(config | own))
    with pytest.raises(InputError, match="Python code of its own") as caught:
        load_weights(str(copy), uri="hf:tiny")
    assert "trust_remote_code=true" in caught.value.fix


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"device": "cuda:99"}, "device cuda:99 asked for"),
        ({"dtype": "int3"}, "unknown dtype 'int3'"),
        ({"chat_template": "/nowhere/x.jinja"}, "cannot read the chat template"),
        ({"chat_template": "~nobody-of-this-name/x.jinja"}, "cannot read the chat template"),
    ],
)
def test_options_that_cannot_be(folder: Path, options: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_weights(str(folder), uri="hf:tiny", **options)
