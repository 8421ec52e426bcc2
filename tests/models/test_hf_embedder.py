"""HFEmbedder beside plain forward passes of a tiny random encoder, one text at a time."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.models.hf.embedder import HFEmbedder
from evolvent.models.protocols import Stopped
from tests.models.tiny_llama import save_tiny_llama, words

TEXTS = ["", *[words(*range(3, 3 + length)) for length in (1, 2, 7, 30, 40)], "🧦", "قطة", words(5) * 300]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=40,
    )
    folder = tmp_path_factory.mktemp("encoder")
    return save_tiny_llama(folder, model=BertModel(config).eval(), template=None)


def saved(
    encoder: Path, folder: Path, pooling: dict[str, Any] | None, *, length: int | None = None, **more: str
) -> Path:
    """A copy of the encoder with the files that sentence-transformers writes beside it."""

    shutil.copytree(encoder, folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", **more}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    return folder


def alone(folder: Path, text: str, how: str, length: int) -> np.ndarray:
    """A text's vector from a forward pass of its own."""
    ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"][:length]
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
    vector = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[how]
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize(
    ("pooling", "how", "length"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean", None),
        ({"pooling_mode_cls_token": True}, "cls", 12),
        ({"pooling_mode_lasttoken": True}, "last", 40),
        ({"pooling_mode": "mean"}, "mean", 20),
        ({"pooling_mode": "lasttoken"}, "last", None),
    ],
)
def test_vectors_are_those_of_a_pass_alone(
    encoder: Path, tmp_path: Path, pooling: dict[str, Any], how: str, length: int | None
) -> None:
    folder = saved(encoder, tmp_path / "own", pooling, length=length)
    embedder = HFEmbedder.load(str(folder), uri="hf:own", batch_tokens=64)
    assert (embedder.dimensions, embedder.context) == (32, length or 40)
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.abs(vector - alone(folder, text, how, length or 40)).max() < 1e-5
    assert np.abs(embedder.embed(TEXTS[::-1])[::-1] - vectors).max() < 1e-6


def test_without_word_of_it_tokens_are_averaged(encoder: Path, tmp_path: Path) -> None:
    plain = HFEmbedder.load(str(encoder), uri="hf:own")
    assert np.abs(plain.embed([TEXTS[3]])[0] - alone(encoder, TEXTS[3], "mean", 40)).max() < 1e-5
    other = HFEmbedder.load(str(saved(encoder, tmp_path / "x", {"pooling_mode_cls_token": True})), uri="hf:own")
    assert plain.identity != other.identity


@pytest.mark.parametrize(
    ("pooling", "more", "words"),
    [
        ({"pooling_mode_max_tokens": True}, {}, "pools by pooling_mode_max_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, {}, "pools by"),
        ({"pooling_mode_mean_tokens": True}, {"2_Dense": "Dense"}, "asks for Dense"),
    ],
)
def test_what_is_not_known_is_refused(
    encoder: Path, tmp_path: Path, pooling: dict[str, Any], more: dict[str, str], words: str
) -> None:
    folder = saved(encoder, tmp_path / "own", pooling, **more)
    with pytest.raises(InputError, match=words):
        HFEmbedder.load(str(folder), uri="hf:own")


def test_a_damaged_file_beside_the_weights_is_said(encoder: Path, tmp_path: Path) -> None:
    folder = saved(encoder, tmp_path / "own", {})
    (folder / "modules.json").write_text("{")
    with pytest.raises(ModelUnavailableError, match=r"modules.json is damaged"):
        HFEmbedder.load(str(folder), uri="hf:own")


def test_it_stops_when_told(encoder: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        HFEmbedder.load(str(encoder), uri="hf:own").embed(TEXTS, stop=stop)
