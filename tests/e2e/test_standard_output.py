"""Data on standard output: whatever that is, the command's own words are elsewhere."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.e2e.command import evolvent

CONVERT = ("convert", "seeds.jsonl", "/dev/stdout", "--to", "messages")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"instruction": f"Name {n} tools", "output": "A saw.", "q": n} for n in range(3)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    "typed",
    [
        CONVERT,
        ("convert", "seeds.jsonl", "-", "--to", "alpaca"),
        ("select", "seeds.jsonl", "--by", "q", "--top", "3", "--out", "/proc/self/fd/1"),
        ("calls", "run", "--out", "-"),
        ("run", "recipe.yaml"),
    ],
)
def test_a_pipe_holds_the_data_alone(typed: tuple[str, ...], folder: Path) -> None:
    if typed[0] == "calls":
        evolvent("evolve", "seeds.jsonl", "--model", "embedded", "--rounds", "1", "--out", "run", folder=folder)
    (folder / "recipe.yaml").write_text(
        "out: run\nevolve: {seeds: seeds.jsonl, model: embedded, rounds: 1}\n"
        "select: {data: seeds.jsonl, by: q, top: 3, out: /dev/stdout}\n"
    )
    ended = evolvent(*typed, folder=folder)
    assert ended.status == 0
    assert all(isinstance(json.loads(line), dict) for line in ended.output.splitlines())
    assert len(ended.output.splitlines()) == 3
    assert "3 " in ended.errors  # rows, calls
    assert not list(folder.glob("*.selection.json"))


@pytest.mark.parametrize(
    ("redirected", "status", "words"),
    [
        (">> log", 0, "3 rows of alpaca written as messages"),
        (">&-", 2, "/dev/stdout is not open to be written"),
        ("> full", 1, "no space is left to write /dev/stdout"),
    ],
)
def test_what_standard_output_may_be(redirected: str, status: int, words: str, folder: Path) -> None:
    (folder / "log").write_text("before\n")
    if "full" in redirected:
        try:
            os.mknod(folder / "full", 0o20666, os.makedev(1, 7))  # a character device, as /dev/full
            (folder / "full").open("wb").close()
        except OSError:
            pytest.skip("device nodes cannot be made here")
    command = f"{sys.executable} -m evolvent {' '.join(CONVERT)} {redirected}"
    ended = processes.finish(processes.start(["sh", "-c", command], folder=folder))
    assert (ended.status, ended.output) == (status, "")
    assert words in ended.errors and "Traceback" not in ended.errors
    assert len((folder / "log").read_text().splitlines()) == (4 if status == 0 else 1)
    assert (folder / "log").read_text().startswith("before\n")
