"""A model's licence is what its own files say, and else not known."""

import struct
from pathlib import Path

import pytest

from evolvent.publishing.licences import licence_of_model, only

CARD = "---\nlanguage: en\nlicense: {}\n---\n# A model\n"


def gguf(path: Path, license: str | None) -> Path:
    """A GGUF file of nothing but its metadata and one byte."""
    text = lambda value: struct.pack("<Q", len(value)) + value.encode()  # noqa: E731
    entries = [] if license is None else [text("general.license") + struct.pack("<I", 8) + text(license)]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + b"".join(entries) + b"\0")
    return path


def test_a_folder_says_it_in_its_readme_or_its_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert licence_of_model(f"hf:{tmp_path}") is None
    (tmp_path / "config.json").write_text('{"license": "MIT"}')
    assert licence_of_model(f"hf:{tmp_path}") == "mit"
    (tmp_path / "README.md").write_text(CARD.format("apache-2.0"))
    assert licence_of_model(f"vllm:{tmp_path}") == "apache-2.0"
    (tmp_path / "README.md").write_text("---\nlicense: [broken\n---\n")
    assert licence_of_model(f"hf:{tmp_path}") == "mit"


def test_a_gguf_file_says_it_in_its_header_or_the_readme_beside_it(tmp_path: Path) -> None:
    file = gguf(tmp_path / "m.gguf", "gemma")
    assert licence_of_model(f"gguf:{file}") == licence_of_model(f"gguf:{tmp_path}") == "gemma"
    gguf(file, None)
    assert licence_of_model(f"gguf:{file}") is None
    (tmp_path / "README.md").write_text(CARD.format("llama3.2"))
    assert licence_of_model(f"gguf:{file}") == "llama3.2"
    file.write_bytes(b"GGUF")
    assert licence_of_model(f"gguf:{file}") is None


@pytest.mark.parametrize("uri", ["openai:gpt", "hf:org/not-here", "hf:/gone", "no uri", "gguf:org/name/file.gguf"])
def test_of_what_is_not_here_it_is_not_known(uri: str) -> None:
    assert licence_of_model(uri) is None


def test_what_ships_has_the_licence_of_this_package() -> None:
    assert {licence_of_model(uri) for uri in ("embedded", "embedded-base", "smollm2", "minilm")} == {"apache-2.0"}


def test_one_licence_of_all() -> None:
    assert only(["mit", "mit"]) == "mit"
    assert only(["mit", None]) is None and only(["mit", "gemma"]) is None and only([]) is None
