"""The verdict of a page: what is said of evaluations and of rankings."""

from collections.abc import Sequence
from pathlib import Path

from evolvent.records import Column, Record
from evolvent.report.page.figures import evaluation
from evolvent.report.page.source import read_sources
from evolvent.report.page.verdict import verdicts
from tests.report.page.runs import write


def rated(folder: Path, ratings: Sequence[float], task: str = "mt_bench", column: str = "rating") -> Path:
    """A run folder with the evaluation of a task."""
    folder.mkdir()
    rows = [
        Record(f"i{n}", f"i{n}", n, "Say it.", output="So.", scores={"task": task, column: one})
        for n, one in enumerate(ratings)
    ]
    write(folder, "evaluate", rows, (Column("task", "string"), Column(column)))
    return folder


def test_points_are_no_per_cent(tmp_path: Path) -> None:
    sources = read_sources([rated(tmp_path / name, [6.0, 7.0, first, 8.0]) for name, first in (("a", 5), ("b", 7))])
    [verdict] = verdicts(sources)
    assert verdict.sentence.startswith("b against a: mt_bench, mean: 7.00 against 6.50, +0.50 points [+0.00, +1.50] on")
    [verdict] = verdicts(read_sources([tmp_path / "a"]))
    assert verdict.sentence.startswith("mt_bench, mean: 6.50 [") and "%" not in verdict.sentence
    [figure] = evaluation.figures(sources)
    x = figure.spec["layer"][1]["encoding"]["x"]
    assert x["title"] == "points" and "axis" not in x


def test_shares_and_points_have_an_axis_each(tmp_path: Path) -> None:
    folders = [rated(tmp_path / "a", [6.0, 7.0]), rated(tmp_path / "b", [1.0, 0.0], "embedded_sums", "right")]
    shares, points = sorted(evaluation.figures(read_sources(folders)), key=lambda figure: figure.name)
    assert (shares.name, points.name) == ("evaluation", "evaluation-points")
    assert shares.spec["layer"][1]["encoding"]["x"]["axis"] == {"format": "%"}
    assert "axis" not in points.spec["layer"][1]["encoding"]["x"]


def test_an_interval_that_does_not_exist_is_none(tmp_path: Path) -> None:
    sources = read_sources([rated(tmp_path / name, [6.0]) for name in ("a", "b")])
    [verdict] = verdicts(sources)
    assert "+0.00 points (too few items for an interval) on the same 1 item" in verdict.sentence
    [verdict] = verdicts(read_sources([tmp_path / "a"]))
    assert verdict.sentence == "mt_bench, mean: 6.00 (too few items for an interval) of 1 item"
    assert not verdict.changes
    [figure] = evaluation.figures(sources)
    assert figure.caption.endswith("2 of 2 figures are of too few items for an interval.")
