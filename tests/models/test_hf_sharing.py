"""Weights are loaded once a process, whatever they are used for, and given back when nobody holds them any more."""

import asyncio
import gc
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from evolvent.models.folders import EMBEDDED_FOLDER
from evolvent.models.hf import loading
from evolvent.models.hf.chat import HFChat
from evolvent.models.hf.loading import load_weights
from evolvent.models.hf.scorer import HFScorer
from evolvent.models.protocols import Reply, Sampling
from tests.models.tiny_llama import save_tiny_llama, words


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are loaded."""
    loaded: list[str] = []
    pretrained = loading._pretrained

    def counted(name: str, *rest: Any) -> tuple[Any, Any]:
        loaded.append(name)
        return pretrained(name, *rest)

    monkeypatch.setattr(loading, "_pretrained", counted)
    return loaded


def ask(model: HFChat, *numbers: int) -> list[Reply]:
    async def together() -> list[Reply]:
        turns = [[{"role": "user", "content": words(number)}] for number in numbers]
        try:
            return await asyncio.gather(*(model.chat(turn, Sampling(0, max_tokens=12)) for turn in turns))
        finally:
            await model.close()

    return asyncio.run(together())


def test_chat_and_token_losses_of_a_folder_share_its_weights_and_the_last_gives_them_back(
    loads: list[str], tmp_path: Path
) -> None:
    folder = str(shutil.copytree(EMBEDDED_FOLDER / "instruct", tmp_path / "copy"))  # which no other test holds
    chat = HFChat.load(folder, uri="embedded", device="cpu")
    scorer = HFScorer.load(folder, uri="embedded", dtype="float32")
    module = weakref.ref(chat._weights.model)
    assert scorer._weights.model is module()
    assert scorer._weights.tokenizer is chat._weights.tokenizer
    assert scorer._weights.lock is chat._weights.lock
    assert loads == [folder]
    before = ask(chat, 20)  # closes it
    assert len(scorer.nll([[5, 6, 7]], [1])[0]) == 2
    del chat
    gc.collect()
    assert module() is scorer._weights.model
    again = HFChat.load(folder, uri="embedded")
    assert loads == [folder]
    assert ask(again, 20) == before
    del again, scorer
    gc.collect()
    assert module() is None
    assert HFScorer.load(folder, uri="embedded").nll([[5, 6]], [1])
    assert loads == [folder, folder]


def test_two_chat_models_of_one_folder_end_their_replies_alike_and_close_alone(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path)
    first, second = (HFChat.load(str(tmp_path), uri="hf:tiny") for _ in range(2))
    assert first._weights.model is second._weights.model
    assert first._ends == second._ends == [2]
    assert ask(first, *range(20, 30)) == ask(second, *range(20, 30)) == ask(first, *range(20, 30))


def test_they_work_at_once(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path)
    chat, scorer = HFChat.load(str(tmp_path), uri="hf:tiny"), HFScorer.load(str(tmp_path), uri="hf:tiny")
    texts = [[20 + place % 50 for place in range(length)] for length in range(2, 60)]
    replies, losses = ask(chat, *range(20, 40)), scorer.nll(texts, [1] * len(texts))
    with ThreadPoolExecutor(1) as pool:
        scored = pool.submit(scorer.nll, texts * 5, [1] * len(texts) * 5)
        assert ask(chat, *range(20, 40)) == replies
        for one, other in zip(scored.result(), losses * 5, strict=True):
            assert one == pytest.approx(other, abs=1e-5)


def test_threads_that_load_at_once_load_once(tmp_path: Path, loads: list[str]) -> None:
    save_tiny_llama(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        weights = list(pool.map(lambda _: load_weights(str(tmp_path), uri="hf:tiny"), range(8)))
    assert len({id(one.model) for one in weights}) == len(loads) == 1


def test_another_template_is_of_the_same_weights_and_another_identity(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path / "model")
    (tmp_path / "mine.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    own = load_weights(str(tmp_path / "model"), uri="hf:tiny")
    mine = load_weights(str(tmp_path / "model"), uri="hf:tiny", chat_template=str(tmp_path / "mine.jinja"))
    assert mine.model is own.model
    assert mine.template == "{{ messages[0].content }}" != own.template
    assert mine.identity != own.identity


def test_another_dtype_place_or_content_is_another_model(tmp_path: Path) -> None:
    folder = str(save_tiny_llama(tmp_path / "model"))
    first = load_weights(folder, uri="hf:tiny", device="cpu")
    assert load_weights(folder, uri="hf:tiny", device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16
    other = load_weights(str(save_tiny_llama(tmp_path / "other")), uri="hf:tiny", device="cpu")
    assert (other.identity, other.model is first.model) == (first.identity, False)
    assert load_weights(f"{folder}/../model", uri="hf:tiny", device="cpu").model is first.model
    save_tiny_llama(tmp_path / "model", context=64)  # written anew while it is held
    assert load_weights(folder, uri="hf:tiny", device="cpu").context == 64
