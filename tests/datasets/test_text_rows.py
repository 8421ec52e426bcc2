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
