"""Short names and plain words."""

import pytest

from evolvent.models.short_names import short_names
from evolvent.runs.progress import time_words


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("openai:m?base_url=http://h/v1", "m"),
        ("openai:org/m?base_url=http://h/v1", "m"),
        ("hf:/data/checkpoints/run-17/", "run-17"),
        ("hf:ORG/NAME@v2", "NAME"),
        ("gguf:/m/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b-instruct-q4_k_m"),
        ("gguf:big-00001-of-00003.gguf", "big"),
        ("gguf:.gguf", "gguf"),
        ("embedded", "embedded"),
        ("round 3", "round 3"),
        ("", ""),
    ],
)
def test_a_short_name(name: str, short: str) -> None:
    notes = (f"{short}: {name}",) if short != name else ()
    assert short_names([name, name]) == ({name: short}, notes)


def test_equal_names_are_numbered() -> None:
    names, notes = short_names(["hf:a/m", "hf:n", "openai:m"])
    assert names == {"hf:a/m": "m #1", "hf:n": "n", "openai:m": "m #2"}
    assert notes == ("m #1: hf:a/m", "n: hf:n", "m #2: openai:m")
    assert short_names(["gguf:m.gguf", "hf:m"])[0] == {"gguf:m.gguf": "m #1", "hf:m": "m #2"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.9, "9.9 s"),
        (119, "119 s"),
        (120, "2.0 min"),
        (7_100, "118.3 min"),
        (9e4, "25.0 h"),
    ],
)
def test_a_time(seconds: float, words: str) -> None:
    assert time_words(seconds) == words
