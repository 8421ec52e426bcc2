"""Text files: one instruction a line."""

import gzip
from pathlib import Path

import pytest

from evolvent.datasets.load import load
from evolvent.errors import InputError


def test_each_line_is_an_instruction(tmp_path: Path) -> None:
    path = tmp_path / "instructions.txt"
    path.write_bytes(b"\xef\xbb\xbfUse no commas.\r\n\n  \nSay \xe2\x80\x9cyes\xe2\x80\x9d twice. ")
    assert [record.instruction for record in load(path)] == ["Use no commas.", "Say “yes” twice."]
    (tmp_path / "instructions.txt.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert [record.id for record in load(tmp_path / "instructions.txt.gz")] == [record.id for record in load(path)]
    assert [record.instruction for record in load(path).records(1)] == ["Say “yes” twice."]


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "instructions.txt"
    path.write_bytes(b"Use no commas.\n\nUse \xff\n")
    with pytest.raises(InputError, match=r"line 3 \(row 2\): not UTF-8"):
        load(path)
    assert load(path, skip_bad=True).skipped == 1


def test_a_file_of_blank_lines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "instructions.txt"
    path.write_text("\n \n")
    with pytest.raises(InputError):
        load(path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('[\n  {\n    "instruction": "Name a river."\n  }\n]', "json"),
        ('[{"instruction": "Name a river."}]', "json"),
        ('{"instruction": "Name a river."}\n{"instruction": "Name two."}\n', "jsonl"),
        ('\n{\n "instruction": "Name a river."\n}', "json"),
        ("instruction,input,output\nName a river.,,The Nile.\n", "csv"),
        ('"id", "Question"\n1, "Name a river."\n', "csv"),
    ],
)
def test_data_of_another_kind_is_told_by_how_it_begins(tmp_path: Path, content: str, kind: str) -> None:
    path = tmp_path / "rows.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=f"is {kind.upper()}, not one instruction a line\nRename it: rows.{kind}$"):
        load(path)


@pytest.mark.parametrize(
    "line", ['{"a": 1}, {"b": 2}: which keys are there?', '["b", "a"]', "Prompt the user, then wait"]
)
def test_instructions_may_begin_like_data(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.txt"
    path.write_text(line)
    assert [record.instruction for record in load(path)] == [line]
