"""The figures of CAR: a ranking's are its own, with its beta, its shifts and its base models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from evolvent.files import MANIFEST
from evolvent.ranking.order import Order
from evolvent.ranking.result import BaseRanking, Ranked, RankingVerdict
from evolvent.report.page.figures import reward
from evolvent.report.page.figures.figure import Figure
from evolvent.report.page.source import Sources, read_sources
from tests.report.page.runs import JUDGED, SCORES, answers, evolutions, ordered, write

LOSSES = {"a": 1.0, "b": 2.0}


def valued(order: Order, values: Mapping[str, float]) -> Order:
    """The order with values of its own."""
    return replace(order, standings=[replace(one, value=values[one.candidate]) for one in order.standings])


def ranking(base: str, cars: Mapping[str, float]) -> BaseRanking:
    """The ranking for a base model: by reward, and by CAR those that have it."""
    without = {name: "below 0" for name in LOSSES if name not in cars}
    orders: list[Order] = [
        valued(ordered("reward", {"a": 0, "b": 1}), {"a": -2.0, "b": -3.0}),
        valued(ordered("car(reward)", dict.fromkeys(cars, 0.0), without=without), cars),
    ]
    sweep: dict[str, dict[str, Sequence[str]]] = {"car(reward)": {"0": ["b", "a"], "3": ["a", "b"]}}
    return BaseRanking(base, orders, RankingVerdict(), [], means={"response_loss": LOSSES}, sweep=sweep)


def drawn(folder: Path, rankings: Sequence[BaseRanking]) -> dict[str, Figure]:
    plan = folder / "plan.json"
    plan.write_bytes(orjson.dumps({"beta": 0.5}))
    ranked = Ranked(folder, plan, {name: folder / name for name in LOSSES}, {}, rankings, {}, {})
    return {one.name: one for one in reward.figures(Sources([], [ranked]))}


def points(figure: Figure) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = figure.spec["data"]["values"]
    return found


def test_it_is_of_the_beta_and_the_shift_of_the_ranking(tmp_path: Path) -> None:
    cars = {"a": (-2 + 10) / (1 + 0.5 * 1), "b": (-3 + 10) / (1 + 0.5 * 2)}
    figures = drawn(tmp_path, [ranking("embedded-base", cars)])
    against, sweep = figures["car-reward"], figures["car-sweep-reward"]
    assert against.title == "CAR for embedded-base: reward against loss"
    assert points(against) == [
        {"candidate": "a", "reward": 8.0, "loss": 1.0},
        {"candidate": "b", "reward": 7.0, "loss": 2.0},
    ]
    assert "lines of equal CAR = (reward + 10) / (1 + 0.5 · loss)" in against.caption
    for line in against.spec["layer"][0]["data"]["values"]:
        assert line["reward"] == pytest.approx(float(line["car"]) * (1 + 0.5 * line["loss"]), rel=0.02)
    assert [(one["beta"], one["candidate"]) for one in points(sweep)] == [
        *(("0", "b"), ("0", "a")),
        *(("3", "a"), ("3", "b")),
    ]


def test_each_base_model_has_its_own_if_it_has_any(tmp_path: Path) -> None:
    two = [ranking("embedded-base", {}), ranking("hf:org/other", {"a": 5.0})]
    figures = drawn(tmp_path, two)
    assert [(name, one.title) for name, one in figures.items()] == [
        ("car-reward", "CAR for other: reward against loss")
    ]
    assert figures["car-reward"].caption.endswith("Without CAR: b.")
    assert not drawn(tmp_path, two[:1])


def test_runs_with_losses_by_two_base_models_have_a_figure_each(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        write(tmp_path / name, "score", answers(evolutions(["one", "two", "three"])), (*SCORES, *JUDGED))
    manifest = tmp_path / "b" / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b"scores by openai:b, ", b"scores by openai:c, "))
    figures = list(reward.figures(read_sources([tmp_path / "a", tmp_path / "b"])))
    assert [one.title for one in figures if "against" in one.title] == [
        f"CAR for {base}: reward against loss" for base in "bc"
    ]
    assert all("Rewards by hf:rewards, auto; losses by openai:" in one.caption for one in figures)


def test_answers_of_nobody_are_their_runs(tmp_path: Path) -> None:
    rows = [replace(row, teacher=None) for row in answers(evolutions(["one", "two", "three"]))]
    for name in "ab":
        (tmp_path / name).mkdir()
        write(tmp_path / name, "score", rows, (*SCORES, *JUDGED))
    [against, _] = reward.figures(read_sources([tmp_path / "a", tmp_path / "b"]))
    assert [one["candidate"] for one in points(against)] == ["a", "b"]
