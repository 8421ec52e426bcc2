"""Arguments, paths and terminals that are not as expected: one message, never a traceback."""

import json
from pathlib import Path

import pytest

from tests.e2e.command import evolvent

LONG = "x" * 300


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Wie heißt du?", "output": "Größe ✓", "score": 1}\n')
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["evolve", LONG + ".jsonl", "--model", "embedded", "--out", "r"],
        ["evolve", "seeds.jsonl", "--model", "embedded", "--out", LONG],
        ["respond", LONG, "--teacher", "embedded", "--out", "r"],
        ["select", LONG, "--by", "score", "--top", "1", "--out", "o.jsonl"],
        ["select", "seeds.jsonl", "--by", "score", "--top", "1", "--out", LONG + ".jsonl"],
        ["convert", "seeds.jsonl", LONG + ".jsonl", "--to", "messages"],
        ["show", LONG],
        ["run", LONG],
        ["evolve", "seeds.jsonl", "--model", "embedded", "--out", "seeds.jsonl/r"],
        ["evolve", "seeds.jsonl", "--model", "embedded", "--out", "dangling"],
        ["evolve", "seeds.jsonl", "--model", "embedded", "--operators", ",", "--out", "r"],
        ["score", "seeds.jsonl", "--base-model", "embedded-base", "--metrics", "ifd,", "--out", "r"],
        ["evolve", "seeds.jsonl", "--model", "embedded", "--out", "r", "--system", b"\xff\xfe"],
    ],
    ids=lambda arguments: " ".join(str(argument)[:12] for argument in arguments),
)
def test_mistakes_are_explained(tmp_path: Path, seeds: Path, arguments: list[str | bytes]) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "else")
    ended = evolvent(*arguments, folder=tmp_path)
    assert "Traceback" not in ended.errors
    assert ended.errors.startswith("error: ")
    assert ended.status == 2
    assert not (tmp_path / "r" / "manifest.json").exists()


def test_debug_is_accepted_anywhere(tmp_path: Path) -> None:
    for arguments in (["--debug", "show", "nowhere"], ["show", "--debug", "nowhere"], ["show", "nowhere", "--debug"]):
        ended = evolvent(*arguments, folder=tmp_path)
        assert ended.status == 2
        assert "Traceback" in ended.errors
        assert "is not a run folder" in ended.errors
    assert "Traceback" not in evolvent("show", "--", "--debug", folder=tmp_path).errors


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_terminal_that_knows_ascii_only(tmp_path: Path, seeds: Path, variables: dict[str, str]) -> None:
    made = evolvent("evolve", "seeds.jsonl", "--model", "embedded", "--rounds", "1", "--out", "r", folder=tmp_path)
    assert made.status == 0, made.errors
    ended = evolvent("show", "r", folder=tmp_path, variables=variables)
    assert (ended.status, ended.errors) == (0, "")
    assert "Wie hei" in ended.output
    assert evolvent("--help", folder=tmp_path, variables=variables).status == 0


def test_a_damaged_file_of_a_run(tmp_path: Path, seeds: Path) -> None:
    run = ["--out", "r"]
    assert evolvent("score", "seeds.jsonl", "--base-model", "embedded-base", *run, folder=tmp_path).status == 0
    file = tmp_path / "r" / "scored.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    ended = evolvent("show", "r", folder=tmp_path)
    assert ended.status == 2
    assert "damaged" in ended.errors
    assert "Traceback" not in ended.errors


def test_a_column_is_named_as_its_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("instruction, answer\nHow?, So. \n")
    convert = ["convert", "x.csv", "y.jsonl", "--to", "alpaca", "--map", "instruction=instruction, output= answer"]
    ended = evolvent(*convert, folder=tmp_path)
    assert ended.status == 0, ended.errors
    assert json.loads((tmp_path / "y.jsonl").read_text())["output"] == " So. "
