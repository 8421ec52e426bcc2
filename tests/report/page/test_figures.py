"""The figures: which there are of what, what they say, and that Vega-Lite takes each."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from evolvent.report.page.compared import compared
from evolvent.report.page.drawing import write_figures
from evolvent.report.page.figures import figures_of, over_rounds
from evolvent.report.page.figures.figure import THEME, Figure
from evolvent.report.page.figures.funnel import funnel
from evolvent.report.page.figures.rounds import by_round
from evolvent.report.page.figures.win import bars
from evolvent.report.page.source import Sources, read_sources
from tests.report.page.runs import student, whole_run


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("runs")
    found = read_sources([whole_run(folder / name) for name in ("a", "b")])
    ranking = compared(found.runs)
    assert ranking is not None
    return Sources(found.runs, [ranking])


@pytest.fixture(scope="module")
def figures(sources: Sources) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures_of(sources)}


def values(figure: Figure) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = figure.spec["data"]["values"]
    return found


def test_there_is_a_figure_of_all_that_there_is(figures: dict[str, Figure]) -> None:
    assert {"funnel", "confidence-set", "behind-ifd", "difficulty-level", "difficulty-score", "mnd", "ifd"} <= set(
        figures
    )
    assert {"car-reward", "car-sweep-reward", "win", "tokens", "cost"} <= set(figures)
    assert not {"loss", "steps", "evaluation", "top1"} & set(figures)
    assert all(orjson.loads(orjson.dumps(figure.spec)) == figure.spec for figure in figures.values())


def test_the_funnel_adds_up_to_the_rows_of_each_stage(sources: Sources, figures: dict[str, Figure]) -> None:
    evolved = funnel(sources.runs[0])["evolved"]
    assert evolved == {"went on": 16, "paraphrase": 8}
    bar = [one["rows"] for one in values(figures["funnel"]) if one["stage"] == "evolved: a"]
    assert sum(bar) == 24
    assert figures["funnel"].caption == "Not usable, over all stages: paraphrase 16."


def test_a_reason_is_drawn_even_where_it_is_rare(figures: dict[str, Figure]) -> None:
    fates = figures["funnel"].spec["encoding"]["color"]["scale"]["domain"]
    assert fates == ["went on", "paraphrase"]


def test_shares_of_levels_are_those_of_paper_1() -> None:
    levels = ("very easy", "easy", "medium", "hard", "very hard")
    third = {"SLM": [77, 125, 4865, 12190, 34726], "LLM": [66, 1294, 19458, 19658, 11507]}
    figure = by_round({(who, "round 3"): dict(zip(levels, n, strict=True)) for who, n in third.items()})
    hardest = {one["rows"]: round(one["share"], 3) for one in values(figure) if one["level"] == "very hard"}
    assert hardest == {"round 3: SLM": 0.668, "round 3: LLM": 0.221}
    assert "103,966 instructions" in figure.caption


def test_wins_of_paper_1_stand_beside_ties_and_losses() -> None:
    figure = bars({"5 %": {"win": 421, "tie": 57, "lose": 327}})
    assert [(one["verdict"], one["n"]) for one in values(figure)] == [("win", 421), ("tie", 57), ("lose", 327)]
    assert round(sum(one["share"] for one in values(figure)), 6) == 1


def test_lines_of_equal_car_go_through_what_they_say(figures: dict[str, Figure]) -> None:
    lines = figures["car-reward"].spec["layer"][0]["data"]["values"]
    for line in lines:
        assert line["reward"] == pytest.approx(float(line["car"]) * (1 + 3 * line["loss"]), rel=0.02)


def test_vega_lite_draws_every_figure(figures: dict[str, Figure], tmp_path: Path) -> None:
    vl_convert = pytest.importorskip("vl_convert")
    for figure in figures.values():
        assert "<svg" in vl_convert.vegalite_to_svg({**figure.spec, "width": 400}, config=THEME)
    written = write_figures([figures["funnel"]], tmp_path / "figures")
    assert sorted(path.name for path in written) == ["funnel.png", "funnel.svg", "funnel.vl.json"]
    assert (tmp_path / "figures" / "funnel.png").read_bytes().startswith(b"\x89PNG")


def test_performance_over_rounds_goes_by_what_students_were_trained_on(tmp_path: Path) -> None:
    student(tmp_path / "run" / "third", {"1": 8}, [0, 0, 1, 1])  # whatever a folder's name says
    student(tmp_path / "run" / "b", {"3": 8}, [1, 1, 1, 0])
    student(tmp_path / "run" / "c", {"3": 8}, [1, 1, 1, 1], evolver="openai:n")
    student(tmp_path / "run" / "mixed", {"1": 4, "2": 4}, [1, 1, 1, 1])
    [figure] = over_rounds.figures(read_sources([tmp_path / "run"]))
    drawn = [(one["round"], one["value"], one["students of"], one["items"]) for one in values(figure)]
    assert sorted(drawn) == [(1, 0.5, "m", 4), (3, 0.75, "m", 4), (3, 1.0, "n", 4)]
    assert all(one["low"] < one["value"] or one["value"] == 1 for one in values(figure))
    assert "Left out: 1 student of several rounds." in figure.caption


def test_of_one_round_there_is_no_line_and_a_moved_run_finds_its_student(tmp_path: Path) -> None:
    student(tmp_path / "run" / "a", {"1": 8}, [0, 1])
    assert not list(over_rounds.figures(read_sources([tmp_path / "run"])))
    student(tmp_path / "run" / "b", {"2": 8}, [0, 1])
    (tmp_path / "run").rename(tmp_path / "moved")
    [figure] = over_rounds.figures(read_sources([tmp_path / "moved"]))
    write_figures([figure], tmp_path / "drawn")
    assert (tmp_path / "drawn" / "over-rounds-embedded_sums.svg").is_file()
    assert [one["round"] for one in values(figure)] == [1, 2]
