"""rank: candidates through their stages, what of them is compared, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from evolvent import rank_data, rank_evolvers, rank_teachers
from evolvent.errors import BudgetReachedError, CallError, InputError, ModelUnavailableError, RunError
from evolvent.models import models as opened_models
from evolvent.models.protocols import Sampling
from evolvent.ranking.rank import Ranked
from evolvent.report.ranking import ranking_tables, verdicts
from tests.scripted import Opened

URIS = [f"openai:{name}?base_url=http://host:1/v1" for name in ("plain", "wordy", "judge")]
PLAIN, WORDY, JUDGE = URIS
BASE: dict[str, Any] = {"base_model": ["embedded-base"]}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Two candidates of which a judge likes the wordy one better, and the judge."""

    def reply(prompt: str, _: Sampling) -> str:
        number = prompt.split("sock ")[1].split()[0]
        return f"Use wool {number}."

    opened = Opened(URIS, reply)
    opened[WORDY].reply = lambda prompt, _: f"First find some wool of colour {prompt.split('sock ')[1]}, then a needle."
    opened[JUDGE].reply = lambda prompt, _: "80" if "needle" in prompt else "20"
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    return opened


@pytest.fixture
def instructions(tmp_path: Path) -> Path:
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(f'{{"instruction": "Mend sock {n} of mine"}}\n' for n in range(30)))
    return path


def firsts(found: Ranked) -> dict[str, str]:
    [ranking] = found.rankings
    return {order.figure.name: order.standings[0].candidate for order in ranking.orders if order.apart}


def test_teachers(tmp_path: Path, models: Opened, instructions: Path) -> None:
    how = {**BASE, "judge": JUDGE, "sample": 20, "out": tmp_path / "run"}
    found = rank_teachers(instructions, teacher=[PLAIN, WORDY], **how)
    assert list(found.candidates) == [PLAIN, WORDY]
    assert firsts(found)["judge_score"] == firsts(found)["car(judge_score)"] == WORDY
    assert len(models[PLAIN].asked) == len(models[WORDY].asked) == 20
    assert found.costs[PLAIN]["calls"] == 40  # the judge's, too
    text = " ".join([str(list(ranking_tables(found))), *verdicts(found)])
    assert "judge_score: wordy is the best (n = 20 seeds); plain is worse by 60 [60, 60]" in text
    assert "fewer than 100 kept rows: plain (20), wordy (20)" in text
    written = (tmp_path / "run/ranking.json").read_bytes()
    rank_teachers(instructions, teacher=[PLAIN, WORDY], **how)  # asks nobody anything, and finds the same
    assert len(models[WORDY].asked) == 20
    assert (tmp_path / "run/ranking.json").read_bytes() == written


def test_the_plan_is_there_before_the_first_call_and_binds(tmp_path: Path, models: Opened, instructions: Path) -> None:
    def stop(*_: object) -> str:
        plan = json.loads((tmp_path / "run/plan.json").read_text())
        assert (plan["ranked"], plan["candidates"], plan["rows"]) == ("teachers", [PLAIN, WORDY], 10)
        raise ModelUnavailableError("the server is gone")

    models[PLAIN].reply = models[WORDY].reply = stop
    how = {**BASE, "teacher": [PLAIN, WORDY], "out": tmp_path / "run"}
    with pytest.raises(RunError, match=r"no candidate got through: .*plain.*the server is gone"):
        rank_teachers(instructions, sample=10, **how)
    with pytest.raises(InputError, match=r"plan\.json plans another ranking: rows was 10, and is 12; sample was 10"):
        rank_teachers(instructions, sample=12, **how)


def test_a_candidate_that_dies_ends_and_the_others_stand(tmp_path: Path, models: Opened, instructions: Path) -> None:
    def die(prompt: str, _: Sampling) -> str:
        raise ModelUnavailableError("out of order")

    models[PLAIN].reply = die
    found = rank_teachers(instructions, teacher=[PLAIN, WORDY, JUDGE], **BASE, out=tmp_path / "run", sample=10)
    assert list(found.ended) == [PLAIN] and "out of order" in found.ended[PLAIN]
    assert {one.candidate for order in found.rankings[0].orders for one in order.standings} == {WORDY, JUDGE}


def test_answers_that_exist_take_part_without_a_call(tmp_path: Path, models: Opened) -> None:
    rows = [{"instruction": f"Mend sock {n} of mine", "output": f"By hand, {n}."} for n in range(12)]
    for name, part in (("mine", rows[:10]), ("theirs", rows[2:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    found = rank_teachers(
        responses={name: str(tmp_path / f"{name}.jsonl") for name in ("mine", "theirs")},
        teacher=[WORDY],
        **BASE,
        out=tmp_path / "run",
    )
    assert len(models[WORDY].asked) == 8  # the instructions that both files answer
    assert [order.seeds for order in found.rankings[0].orders] == [8] * 4
    assert [one.name for one in found.candidates.values()] == ["wordy", "mine", "theirs"]


def test_evolvers(tmp_path: Path, models: Opened, instructions: Path) -> None:
    """One evolver's evolutions are kept, of the other's every second is a copy of the seed."""

    def evolved(prompt: str, _: Sampling) -> str:
        number = int(prompt.split("sock ")[1].split()[0])
        return f"Explain how to mend sock {number} of mine in {number + 3} steps, with a needle and red wool"

    def lazy(prompt: str, how: Sampling) -> str:
        number = int(prompt.split("sock ")[1].split()[0])
        return evolved(prompt, how) if number % 2 else f"Mend sock {number} of mine"

    models[PLAIN].reply, models[WORDY].reply = lazy, evolved
    models[JUDGE].reply = lambda *_: "With wool."
    found = rank_evolvers(instructions, model=[PLAIN, WORDY], teacher=JUDGE, **BASE, out=tmp_path / "run", sample=20)
    assert firsts(found)["kept"] == WORDY
    kept = found.rankings[0].orders[0]
    assert (kept.figure.name, next(one.value for one in kept.standings), kept.seeds) == ("kept", 1.0, 20)
    assert found.fates[PLAIN]["evolve: ok"] + found.fates[PLAIN]["evolve: eliminated"] == 20
    assert found.fates[PLAIN]["evolve: ok"] == found.fates[PLAIN]["score: ok"] < 20


def test_data_sets_of_different_rows(tmp_path: Path) -> None:
    for name, answer in (("new", "Take red wool and mend it well."), ("old", "zq xv kw")):
        rows = [{"instruction": f"{name} question {n}", "output": f"{answer} {n}"} for n in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {name: str(tmp_path / f"{name}.jsonl") for name in ("new", "old")}
    found = rank_data(data, **BASE, out=tmp_path / "run", sample=15)
    assert [one.name for one in found.candidates.values()] == ["new", "old"]
    assert firsts(found)["grape"] == "new"
    assert found.rankings[0].orders[0].seeds == 30


def test_a_budget_is_for_all_candidates_together(tmp_path: Path, models: Opened, instructions: Path) -> None:
    how = {**BASE, "teacher": [PLAIN, WORDY], "out": tmp_path / "run", "sample": 10, "price": "1000000,0"}
    with pytest.raises(BudgetReachedError):
        rank_teachers(instructions, **how, budget=300.0)  # a prompt is some 20 tokens: 1 each
    assert len(models[PLAIN].asked) == 10 > len(models[WORDY].asked) > 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"teacher": [PLAIN]}, "there is nothing to rank: 1 candidate"),
        ({"teacher": [PLAIN, PLAIN]}, "a candidate is named twice"),
        ({"teacher": [PLAIN, WORDY], "base_model": []}, "no base model is named"),
        ({"teacher": [PLAIN, WORDY], "responses": {"a": "asked.jsonl"}}, "Give one of both"),
    ],
)
def test_what_is_no_ranking(tmp_path: Path, instructions: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        rank_teachers(instructions, **{**BASE, "out": tmp_path / "run", **given})
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_failed_calls_are_a_candidates_own(tmp_path: Path, models: Opened, instructions: Path) -> None:
    def sometimes(prompt: str, _: Sampling) -> str:
        if int(prompt.split("sock ")[1].split()[0]) % 3 == 0:
            raise CallError("no")
        return "Use wool."

    models[PLAIN].reply = sometimes
    found = rank_teachers(instructions, teacher=[PLAIN, WORDY], **BASE, out=tmp_path / "run")
    assert found.fates[PLAIN] == {"respond: ok": 20, "respond: failed": 10, "score: ok": 20}
    assert not found.ended
