"""The verdict of a page: what is said of evaluations and of rankings."""

from collections.abc import Sequence
from pathlib import Path

from evolvent.ranking.order import Order
from evolvent.ranking.result import BaseRanking, Ranked, Tried
from evolvent.ranking.sufficiency import Learned
from evolvent.ranking.verdict import verdict_of
from evolvent.records import Column, Record
from evolvent.report.page.figures import evaluation
from evolvent.report.page.figures import ranking as of_rankings
from evolvent.report.page.source import Sources, read_sources
from evolvent.report.page.verdict import Verdict, verdicts
from tests.report.page.runs import ordered, write


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


CHANGES = {"a": (-0.3, -0.4, -0.2), "b": (0.0, -1.0, 1.0)}
TRIAL = Tried(40, {name: Learned(30, 0.5, 0.4, 0.6, *change) for name, change in CHANGES.items()}, {}, {})


def ranked(orders: Sequence[Order], trial: Tried | None = None) -> Ranked:
    """A ranking of a and b."""
    place = Path("nowhere")
    candidates = {name: place / name for name in "ab"}
    verdict = verdict_of(orders, {"a": "a", "b": "b"}, trial=trial is not None)
    return Ranked(place, place, candidates, {}, [BaseRanking("openai:b", orders, verdict, [], trial)], {}, {})


def of_ranking(orders: Sequence[Order], trial: Tried | None = None) -> Verdict:
    [verdict] = verdicts(Sources([], [ranked(orders, trial)]))
    return verdict


def test_without_a_trial_it_is_what_the_figures_say_together() -> None:
    verdict = of_ranking([ordered("ifd", {"a": 0, "b": 1}), ordered("grape", {"b": 0, "a": 1})])
    assert verdict.sentence == "The figures contradict each other: each candidate is ruled out by one of them"
    assert [line.partition(":")[0] for line in verdict.behind] == ["ifd", "grape"]
    assert verdict.changes == ["figures shortlist; a trial training of those that may be the best decides"]


def test_with_a_trial_it_is_what_that_decides() -> None:
    orders = [ordered("ifd", {"b": 0, "a": 1}), ordered("trial:sums", {"a": 0, "b": 1}, students=3)]
    verdict = of_ranking(orders, TRIAL)
    assert verdict.sentence == "The trial decides: a"
    assert [line.partition(":")[0] for line in verdict.behind] == ["ifd", "by the only figure, ifd", "trial"]
    assert not verdict.changes


def test_a_trial_asks_for_items_and_students_and_no_seeds() -> None:
    figure = ordered("ifd", {"a": 0, "b": 1}, apart=False, needed=600)
    trial = ordered("trial:sums", {"a": 0, "b": 1}, apart=False, needed=600, students=3)
    told = "so many would tell the first two apart:"
    assert of_ranking([figure, trial], TRIAL).changes == [
        f"more seeds: {told} about 600 by ifd",
        f"more items and students: {told} about 600 items x 30 students by trial:sums",
    ]


def test_what_students_learned_is_drawn_with_their_order() -> None:
    orders = [ordered("ifd", {"a": 0, "b": 1}), ordered("trial:sums", {"a": 0, "b": 1}, students=3)]
    figures = {one.name: one for one in of_rankings.figures(Sources([], [ranked(orders, TRIAL)]))}
    drawn = [(one["candidate"], one["change"], one["fate"]) for one in figures["learned"].spec["data"]["values"]]
    assert drawn == [("a", -0.3, "learned"), ("b", 0, "not shown to have learned")]
    assert "when seeds, of a trial items and students, were drawn again" in figures["confidence-set"].caption
