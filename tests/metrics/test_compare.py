"""compare: groups, reasons, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from evolvent import compare, score, select
from evolvent.errors import InputError
from evolvent.metrics.compare import Comparison, Group
from evolvent.models import models as opened_models
from evolvent.models.protocols import Sampling
from evolvent.report.comparison import comparison_tables
from tests.scripted import Opened

JUDGE = "openai:judge?base_url=http://host:1/v1"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers of two to six instructions each; the second's are judged to be harder, one of them unreadably."""

    def reply(prompt: str, _: Sampling) -> str:
        number, who = prompt.split("sock ")[1].split()[:2]
        return "none" if (number, who) == ("5", "b") else {"a": "10", "b": "60"}[who]

    opened = Opened([JUDGE], reply)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    rows = [
        {"instruction": f"Mend sock {n} {who}", "output": "" if n == 4 else "With wool.", "generator": who}
        for n in range(6)
        for who in "ab"
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    score(path, metrics=["ifd"], base_model="embedded-base", out=tmp_path / "run")
    score(path, metrics=["difficulty_score"], judge=JUDGE, out=tmp_path / "run")
    return tmp_path / "run"


def figures(group: Group) -> dict[str, Any]:
    return {figure.name: figure for figure in group.figures}


def test_groups_have_figures_and_say_what_they_leave_out_and_why(run: Path) -> None:
    found = compare(run, by="generator")
    first, second = found.groups
    assert (first.name, first.rows, first.seeds, second.name) == ("a", 6, 6, "b")
    assert figures(first)["difficulty_score"].value == 10
    harder = figures(second)["difficulty_score"]
    assert (harder.value, harder.n) == (60, 5)
    assert harder.excluded == {"the judge's reply gives no score": 1}
    assert figures(second)["ifd"].excluded == {"empty output": 1}
    text = str([table.rows for table in comparison_tables(found)])
    assert "the judge's reply gives no score" in text and "empty output" in text


def test_all_rows_are_one_group_if_no_column_is_named(run: Path) -> None:
    [group] = compare(run / "scored.parquet").groups
    assert (group.name, group.rows) == ("all rows", 12)


def test_what_cannot_be_compared_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have no column 'colour'") as caught:
        compare(run, by="colour")
    assert "generator" in caught.value.fix
    with pytest.raises(InputError, match="there is no") as caught:
        compare(tmp_path / "nowhere")
    assert "scored.parquet" in caught.value.fix
    with pytest.raises(InputError, match="holds no scores"):
        compare(tmp_path / "pairs.jsonl")


def test_a_comparison_is_a_value(run: Path) -> None:
    assert isinstance(compare(run), Comparison)


def test_near_duplicates_of_each_group_are_what_dedup_would_leave_out(tmp_path: Path) -> None:
    texts = [f"Name the {n} largest rivers of Asia and the seas that they reach" for n in "565"] + ["Praise the Ob."]
    rows = [{"instruction": text, "output": "The Ob.", "by": who} for who in "ab" for text in texts]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0] | {"by": "c"}]))
    score(tmp_path / "pairs.jsonl", metrics=["ifd"], base_model="embedded-base", out=tmp_path / "run")
    name = "near-duplicates (0.8)"
    groups = compare(tmp_path / "run", by="by").groups
    assert [figures(group)[name].value for group in groups] == [0.5, 0.5, 0.0]
    select(tmp_path / "run", by="ifd", top="100%", dedup=0.8, out=tmp_path / "train.jsonl", where=["by==a"])
    assert len((tmp_path / "train.jsonl").read_text().splitlines()) == 2
    [every] = compare(tmp_path / "run").groups
    assert figures(every)[name].value == pytest.approx(7 / 9)
