"""A list is cut into the rows that the standard library's parser sees, wherever a block ends."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolvent.datasets import json_files
from evolvent.errors import InputError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"', "\\", '\\"', "]", "{", "},{"]
)
leaf = st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | text
value = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(value, max_size=6),
    block=st.integers(16, 40),
    indent=st.none() | st.integers(0, 2),
    ascii=st.booleans(),
)
def test_a_list_in_small_blocks(
    rows: list[object], block: int, indent: int | None, ascii: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "BLOCK", block)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii))
    source_rows = list(json_files.json_rows(path))
    assert [row.value for row in source_rows] == rows
    assert all(row.problem is None for row in source_rows)


def test_lines_of_a_list(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('\n[\n{"a":\n1},\n\n{"a": "\\n"}, {"a": 3}\n\n]\n')
    assert [(row.line, row.value) for row in json_files.json_rows(path)] == [
        (3, {"a": 1}),
        (6, {"a": "\n"}),
        (6, {"a": 3}),
    ]


def test_a_row_longer_than_a_block(tmp_path: Path) -> None:
    rows = [{"a": "x" * 3_000_000}, {"a": 'y\\"' * 500_000}, {"a": "z"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert [row.value for row in json_files.json_rows(tmp_path / "rows.json")] == rows


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"a": "b"},\n\n{"a": "never closed},\n' + '{"a": 1},\n' * 1000, 3),
        ('[{"a": "b"},\n{"a": [1,\n' + "{},\n" * 1000, 2),
        ("[\n" + "1, " * 1000, 1),
        ('{"a": 1}\n{"a": "' + "x" * 2000, 2),
    ],
)
def test_a_row_without_an_end_is_not_read_whole(
    text: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "BLOCK", 64)
    monkeypatch.setattr(json_files, "ROW_LIMIT", 1000)
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"line {line}: .* is longer than 1,000 bytes"):
        list(json_files.json_rows(path))
