"""Several runs against each other: only scores that the same models made with the same settings are one scale."""

from dataclasses import replace
from pathlib import Path

import orjson

from evolvent.files import MANIFEST
from evolvent.metrics.score import BY
from evolvent.ranking.result import BaseRanking
from evolvent.report.page.compared import compared
from evolvent.report.page.figures import figures_of
from evolvent.report.page.source import read_sources
from evolvent.report.page.verdict import verdicts
from tests.report.page.runs import JUDGED, SCORES, answers, evolutions, write


def scored(folder: Path, names: str) -> None:
    """Run folders with scored answers."""
    for name in names:
        (folder / name).mkdir()
        write(folder / name, "score", answers(evolutions([f"Mend sock {n}" for n in range(12)])), (*SCORES, *JUDGED))


def ranking_of(folder: Path, names: str) -> BaseRanking:
    found = compared(read_sources([folder / name for name in names]).runs)
    assert found is not None
    return found.rankings[0]


def made_otherwise(run: Path, before: str, after: str) -> None:
    """Change what a run's manifest says of what made its scores."""
    path = run / MANIFEST
    assert before.encode() in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(before.encode(), after.encode()))


def test_rewards_of_two_models_are_no_one_scale(tmp_path: Path) -> None:
    scored(tmp_path, "ab")
    assert {"reward", "ifd"} <= {order.figure for order in ranking_of(tmp_path, "ab").orders}
    made_otherwise(tmp_path / "b", f"{BY}hf:rewards", f"{BY}hf:others")
    ranking = ranking_of(tmp_path, "ab")
    figures = {order.figure for order in ranking.orders}
    assert "ifd" in figures and not [name for name in figures if "reward" in name]
    assert ranking.flags == ["b is not compared by reward: made by hf:others, auto, the others' by hf:rewards, auto"]


def test_settings_and_weights_count_as_the_model_does(tmp_path: Path) -> None:
    scored(tmp_path, "abc")
    made_otherwise(tmp_path / "b", "openai:b, paper, auto", "openai:b, chat, auto")
    manifest = orjson.loads((tmp_path / "c" / MANIFEST).read_bytes())
    manifest["stages"]["score"]["models"] = {"hf:rewards": "others"}
    (tmp_path / "c" / MANIFEST).write_bytes(orjson.dumps(manifest))
    ranking = ranking_of(tmp_path, "abc")
    by_figure = {order.figure: order for order in ranking.orders}
    assert set(by_figure["ifd"].goodness) == {"a", "c"} and set(by_figure["reward"].goodness) == {"a", "b"}
    assert by_figure["ifd"].without == {"b": "made by openai:b, chat, auto, the others' by openai:b, paper, auto"}
    assert "c is not compared by reward: made by hf:rewards, auto with other weights" in ranking.flags


def test_where_nothing_is_one_scale_it_is_said_beside_what_the_runs_have_made(tmp_path: Path) -> None:
    scored(tmp_path, "ab")
    for before in ("openai:b, paper", "hf:rewards", "minilm"):
        made_otherwise(tmp_path / "b", f"{BY}{before}", f"{BY}others:{before}")
    assert not ranking_of(tmp_path, "ab").orders
    sources = read_sources([tmp_path / name for name in "ab"])
    found = compared(sources.runs)
    assert found is not None
    said, *of_runs = verdicts(replace(sources, rankings=[found]))
    assert said.sentence.startswith("There is nothing to compare") and len(said.changes) == 3
    assert [one.sentence[:14] for one in of_runs] == [f"{name}: 32 of 32 sc" for name in "ab"]


def test_nor_are_they_drawn_on_one_axis(tmp_path: Path) -> None:
    scored(tmp_path, "abc")
    made_otherwise(tmp_path / "b", f"{BY}minilm, auto", f"{BY}hf:others, auto")
    made_otherwise(tmp_path / "c", "openai:b, paper, auto", "openai:c, paper, auto")
    figures = {one.name: one for one in figures_of(read_sources([tmp_path / name for name in "abc"]))}
    assert {one["run"] for one in figures["mnd"].spec["data"]["values"]} == {"a", "c"}
    assert "Scored by minilm. Not drawn, since other models or settings made its scores: b." in figures["mnd"].caption
    assert {one["run"] for one in figures["ifd"].spec["data"]["values"]} == {"a", "b"}
    assert figures["ifd"].caption.endswith("made its scores: c.")
