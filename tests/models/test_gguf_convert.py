from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from evolvent import errors
from evolvent.errors import InputError, ModelUnavailableError
from evolvent.models.gguf import convert
from evolvent.models.gguf.files import digest_of, find_gguf
from evolvent.models.opening import open_scorer
from tests.models.tiny_gguf import write_gguf

pytest.importorskip("gguf", reason="needs the gguf extra")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evolvent"


def test_a_gguf_file_is_a_base_model_converted_once(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    folder = cache / digest_of(file)
    left = folder.with_suffix(".part")  # by a process that was killed
    left.mkdir(parents=True)
    (left / "half").touch()
    scorer = open_scorer(f"gguf:{file}")
    assert "is converted for transformers, once" in caplog.text
    assert sorted(path.name for path in cache.iterdir()) == [folder.name, "lock"] and not (folder / "half").exists()
    [losses] = scorer.nll([scorer.tokenize("abc abc")], [1])
    assert losses is not None and np.isfinite(losses).all()
    monkeypatch.setattr(convert, "_convert", None)
    again = open_scorer(f"hf:{file}")
    assert again.identity == scorer.identity
    assert {path.stat().st_mtime for path in folder.iterdir()} == {0}


def test_an_architecture_that_transformers_does_not_know_is_named(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"transformers cannot read .*architecture zzz") as caught:
        open_scorer(f"gguf:{write_gguf(tmp_path / 'tiny.gguf', architecture='zzz')}")
    assert "hf:ID-or-folder" in caught.value.fix


def test_a_file_that_transformers_would_read_as_another_model_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="another order") as caught:
        open_scorer(f"gguf:{write_gguf(tmp_path / 'tiny.gguf', key_heads=False)}")
    assert "hf:ID-or-folder" in caught.value.fix
    assert not cache.exists()


def test_a_file_of_a_repository_comes_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert find_gguf("owner/name/file.gguf", "gguf:…") == tmp_path / "file.gguf"
    assert asked == [("owner/name", "file.gguf")]
    with pytest.raises(ModelUnavailableError, match="there is no file"):
        find_gguf("./owner/file.gguf", "gguf:…")


def test_without_accelerate_the_scores_of_a_gguf_file_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "accelerate" else name)
    with pytest.raises(InputError, match="accelerate is not installed") as caught:
        convert.transformers_folder(write_gguf(tmp_path / "tiny.gguf"), "gguf:tiny.gguf")
    assert "evolvent[local]" in caught.value.fix
