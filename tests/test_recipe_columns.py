"""What select goes by is known before anything is paid."""

from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.metrics.all_metrics import chosen
from evolvent.recipe import run
from evolvent.records import Record, schema
from evolvent.runs.record_files import record_table
from evolvent.selection.columns import FIRST, first_columns

NEITHER = "neither a score of the recipe nor a column of its data"


def recipe(out: Path, seeds: object, **select: object) -> dict[str, Any]:
    return {
        "out": str(out),
        "evolve": {"seeds": seeds, "model": "embedded"},
        "respond": {"teacher": "embedded"},
        "score": {"base_model": "embedded-base"},
        "select": {"top": "5%", **select},
    }


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "q", "output": "a"}\n{"instruction": "r", "output": "a", "mine": 3}\n')
    return path


def test_a_column_that_nothing_has(tmp_path: Path, seeds: Path) -> None:
    scores = ", ".join(metric.name for metric in chosen(["ifd", "ic_ifd"]))
    for data in (str(seeds), [{"instruction": "q", "mine": 3}]):
        with pytest.raises(InputError, match=rf"select\.by names ic_idf, {NEITHER}\nScores: {scores}\.$"):
            run(recipe(tmp_path / "r", data, by="ic_idf"))
        with pytest.raises(InputError, match=rf"select\.by names teacher, {NEITHER}"):
            run(recipe(tmp_path / "r", data, by="teacher"))
        with pytest.raises(InputError, match=rf"select\.where names lenght, {NEITHER}"):
            run(recipe(tmp_path / "r", data, by="ifd", where=["ifd<1", "lenght>3"]))
    assert not (tmp_path / "r").exists()


def test_a_score_that_is_not_computed(tmp_path: Path, seeds: Path) -> None:
    content = recipe(tmp_path / "r", str(seeds), by="ic_ifd")
    content["score"]["metrics"] = "ifd"
    with pytest.raises(InputError, match=r"select\.by names ic_ifd, .*\nAdd it to score\.metrics\.$"):
        run(content)


def test_the_line_is_named(tmp_path: Path, seeds: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"out: {tmp_path}/r\nevolve: {{seeds: {seeds}, model: embedded}}\nrespond: {{teacher: embedded}}\n"
        "score: {base_model: embedded-base}\nselect:\n  top: 5%\n  by: idf\n"
    )
    with pytest.raises(InputError, match=r"recipe\.yaml, line 7: select\.by names idf"):
        run(path)


@pytest.mark.parametrize(
    "select",
    [
        {"by": "mine"},
        {"by": "round"},
        {"by": "ifd", "where": "mine>2"},
        {"by": "ifd_ppl"},
        {"by": "ifd", "where": ["teacher==embedded", "base_model!=x"], "best_per": "seed_id"},
    ],
)
def test_what_may_be_named(
    tmp_path: Path, seeds: Path, select: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    assert set(run(recipe(tmp_path / "r", str(seeds), **select), dry_run=True).stages) == {"evolve"}
    assert not caplog.records


def test_of_data_that_is_not_known_yet_a_warning_is_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="There is no file"):
        run(recipe(tmp_path / "r", str(tmp_path / "none.jsonl"), by="mine"))
    assert "select.by: mine is no score of the recipe; the data has to have it" in caplog.text


def test_columns_of_a_run_and_of_its_file(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    record = Record("a", "a", 0, "q", meta='{"mine": 3}')
    pq.write_table(record_table([record], schema()), tmp_path / "evolved.parquet")
    found = {"mine", "round", "seed_index"}
    assert first_columns(str(tmp_path / "evolved.parquet"), None) == found
    assert first_columns(tmp_path, "evolve") == found
    assert first_columns(tmp_path, "respond") is None


def test_what_can_be_read_once_is_left_alone() -> None:
    rows = iter([{"instruction": "q"}])
    assert first_columns(rows, None) is None
    assert next(rows)
    assert first_columns([{"a": n} if n < FIRST else {"b": n} for n in range(FIRST + 1)], None) == {"a"}


def test_scores_of_another_model_that_the_folder_holds_are_not_gone_by(tmp_path: Path) -> None:
    """A recipe whose base model or layout was changed adds columns; the plain names are still the first ones."""
    rows = [{"instruction": f"Mend sock {n}", "output": f"With wool {n}."} for n in range(4)]
    scores = {"data": rows, "base_model": "embedded-base"}
    content = {"out": str(tmp_path), "score": scores, "select": {"by": "ifd", "top": "50%"}}
    run(content)
    scores["layout"] = "chat"
    with pytest.raises(InputError, match=r"select\.by names ifd, .*; its own is ifd@embedded-base\nName ifd@embedded"):
        run(content)
    content["select"] = {"by": "ifd@embedded-base", "where": "ifd_ppl@embedded-base<9", "top": "50%"}
    assert run(content).stages["select"].counts["selected"] == 2
    content["select"] = {"by": "ifd", "top": "50%"}
    assert run(content, fresh=True).stages["select"].counts["selected"] == 2
