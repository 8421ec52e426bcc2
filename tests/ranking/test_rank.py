"""rank: candidates through their stages, what of them is compared, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from evolvent import evolve, rank_data, rank_evolvers, rank_teachers, show
from evolvent.errors import BudgetReachedError, CallError, InputError, ModelUnavailableError, RunError
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling
from evolvent.ranking import scoring
from evolvent.ranking.order import Order, Standing
from evolvent.ranking.rank import _seeds
from evolvent.ranking.result import BaseRanking, Ranked, RankingVerdict
from evolvent.records import Record
from evolvent.report.ranking import _figures, ranking_tables, verdicts
from evolvent.report.summary import conclusions, summary
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
    apart = [order for order in ranking.orders if sum(one.in_set for one in order.standings) == 1]
    return {order.figure: order.standings[0].candidate for order in apart}


def test_teachers(tmp_path: Path, models: Opened, instructions: Path) -> None:
    how = {**BASE, "judge": JUDGE, "sample": 20, "out": tmp_path / "run"}
    found = rank_teachers(instructions, teacher=[PLAIN, WORDY], **how)
    assert list(found.candidates) == [PLAIN, WORDY]
    assert firsts(found)["judge_score"] == firsts(found)["car(judge_score)"] == WORDY
    assert len(models[PLAIN].asked) == len(models[WORDY].asked) == 20
    assert found.costs[PLAIN]["calls"] == 20  # the judge's are not its own
    text = " ".join([str(list(ranking_tables(found))), *verdicts(found)])
    assert "judge_score: wordy is the best (n = 20 seeds); plain is worse by 60 [60, 60]" in text
    assert "fewer than 100 kept rows: plain (20), wordy (20)" in text
    written = (tmp_path / "run/ranking.json").read_bytes()
    rank_teachers(instructions, teacher=[PLAIN, WORDY], **how)  # asks nobody anything, and finds the same
    assert len(models[WORDY].asked) == 20
    assert (tmp_path / "run/ranking.json").read_bytes() == written
    shown = show(tmp_path / "run")
    assert shown.ranked is not None and repr(shown.ranked) == repr(found)
    lines = list(conclusions(shown))
    assert "  " + found.rankings[0].verdict.lines[0] in lines
    assert {table.title for table in summary(shown)} >= {"candidates", "candidates for embedded-base"}
    assert [(one.path.name, one.stages) for one in shown.within] == [
        (name, {"respond": "done", "score": "done"}) for name in ("plain", "wordy")
    ]


def test_a_ranking_that_was_stopped_and_one_that_is_damaged_are_shown_as_such(
    tmp_path: Path, models: Opened, instructions: Path
) -> None:
    models[WORDY].reply = models[PLAIN].reply = lambda *_: ""
    with pytest.raises(RunError):
        rank_teachers(instructions, teacher=[PLAIN, WORDY], **BASE, out=tmp_path / "run", sample=20)
    shown = show(tmp_path / "run")
    assert (shown.ranked, shown.planned, [one.path.name for one in shown.within]) == (None, True, ["plain", "wordy"])
    assert list(conclusions(shown)) == [
        "a ranking was planned here, and has not come to its end: start the same command again to go on"
    ]
    (tmp_path / "run/ranking.json").write_text('{"rankings": [{}]}')
    with pytest.raises(InputError, match=r"ranking\.json is no ranking of this version"):
        show(tmp_path / "run")


def test_the_plan_is_there_before_the_first_call_and_binds(tmp_path: Path, models: Opened, instructions: Path) -> None:
    def stop(*_: object) -> str:
        plan = json.loads((tmp_path / "run/plan.json").read_text())
        assert (plan["ranked"], plan["candidates"], plan["rows"]) == ("teachers", [PLAIN, WORDY], 10)
        raise ModelUnavailableError("the server is gone")

    models[PLAIN].reply = models[WORDY].reply = stop
    how = {**BASE, "teacher": [PLAIN, WORDY], "out": tmp_path / "run"}
    with pytest.raises(RunError, match=r"no candidate got through: .*plain.*the server is gone"):
        rank_teachers(instructions, sample=10, **how)
    another = r"plan\.json plans another ranking:\n  "
    with pytest.raises(InputError, match=another + r"rows: 10 in the folder, 12 now\n  sample: 10"):
        rank_teachers(instructions, sample=12, **how)
    sample = (tmp_path / "run/sample.jsonl").read_bytes()
    instructions.write_text(instructions.read_text().replace("Mend", "Wash"))
    with pytest.raises(InputError, match=another + r"input\.instructions: other content than it had\nTake"):
        rank_teachers(instructions, sample=10, **how)
    assert (tmp_path / "run/sample.jsonl").read_bytes() == sample
    (tmp_path / "run/plan.json").write_text("{")
    with pytest.raises(InputError, match=r"plan\.json is not JSON: line 1, column 2: "):
        rank_teachers(instructions, sample=10, **how)


def test_a_candidate_that_dies_ends_and_the_others_stand(tmp_path: Path, models: Opened, instructions: Path) -> None:
    def die(prompt: str, _: Sampling) -> str:
        raise ModelUnavailableError("out of order")

    models[PLAIN].reply = die
    found = rank_teachers(instructions, teacher=[PLAIN, WORDY, JUDGE], **BASE, out=tmp_path / "run", sample=10)
    assert list(found.ended) == [PLAIN] and "out of order" in found.ended[PLAIN]
    [ranking] = found.rankings
    assert {one.candidate for order in ranking.orders for one in order.standings} == {WORDY, JUDGE}
    assert all("plain has none: it ended before" in line for line in ranking.verdict.by_figure.values())
    assert ranking.verdict.together.endswith("plain cannot be judged so, for lack of a figure")
    assert ranking.flags[0].startswith("plain ended: ") and "out of order" in ranking.flags[0]


def test_a_candidate_without_a_figure_stands_below_the_others() -> None:
    standings = [Standing(name, 3, 1.0, 0.9, 1.1, 0.0, 0.0, 0.0, True, 1.0, 0.5, 0.0) for name in ("a", "b")]
    found = Order("reward", False, standings, {"c": "no reply"}, 3, 0.1, 5, {})
    short = {name: name for name in "abc"}
    table = _figures(BaseRanking("embedded-base", [found], RankingVerdict(), []), short)
    assert [row[1:3] for row in table.rows] == [("a", "3"), ("b", "3"), ("c", "none")]
    assert {len(row) for row in table.rows} == {len(table.columns)}


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
    assert (kept.figure, next(one.value for one in kept.standings), kept.seeds) == ("kept", 1.0, 20)
    assert found.fates[PLAIN]["evolve: ok"] + found.fates[PLAIN]["evolve: eliminated"] == 20
    assert found.fates[PLAIN]["evolve: ok"] == found.fates[PLAIN]["score: ok"] < 20


def test_of_evolutions_those_that_were_kept_are_counted(tmp_path: Path, models: Opened, instructions: Path) -> None:
    """And where no pair can be scored, what the evolutions tell stands."""

    def lazy(prompt: str, _: Sampling) -> str:
        number = int(prompt.split("sock ")[1].split()[0])
        mine = f"sock {number} of mine"
        return f"Explain how to mend {mine} in five steps, with a needle" if number % 2 else f"Mend {mine}"

    models[PLAIN].reply = models[WORDY].reply = lazy
    how = {**BASE, "model": [PLAIN, WORDY], "sample": 10}
    [ranking] = rank_evolvers(instructions, **how, out=tmp_path / "alone").rankings
    kept = round(10 * ranking.orders[0].standings[0].value)
    assert 0 < kept < 10 and f"fewer than 100 kept rows: plain ({kept}), wordy ({kept})" in ranking.flags
    models[JUDGE].reply = lambda *_: "With wool."

    def unable(*_: object, **__: object) -> None:
        raise RunError("the base model is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "score", unable)
        [ranking] = rank_evolvers(instructions, **how, teacher=JUDGE, out=tmp_path / "run").rankings
    assert [order.figure for order in ranking.orders] == ["kept"]
    assert any("the base model is gone" in flag for flag in ranking.flags)


def test_evolvers_without_a_teacher(tmp_path: Path, models: Opened, instructions: Path) -> None:
    for uri, steps in ((PLAIN, 3), (WORDY, 5)):
        models[uri].reply = lambda prompt, _, steps=steps: (  # type: ignore[misc]
            f"Explain how to mend sock {prompt.split('sock ')[1].split()[0]} of mine in {steps} steps, with a needle"
        )
    found = rank_evolvers(instructions, model=[PLAIN, WORDY], **BASE, out=tmp_path / "run", sample=10)
    assert [order.figure for order in found.rankings[0].orders] == ["kept"]
    assert found.rankings[0].flags[0] == "without --teacher nothing is answered: figures of pairs are left out"
    assert not models[JUDGE].asked
    assert "fewer than 100 kept rows: plain (10), wordy (10)" in found.rankings[0].flags
    with pytest.raises(InputError, match="--judge needs answers to the evolutions"):
        rank_evolvers(instructions, model=[PLAIN, WORDY], **BASE, judge=JUDGE, out=tmp_path / "other")


def test_data_sets_of_different_rows(tmp_path: Path) -> None:
    for name, answer in (("new", "Take red wool and mend it well."), ("old", "zq xv kw")):
        rows = [{"instruction": f"{name} question {n}", "output": f"{answer} {n}"} for n in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {name: str(tmp_path / f"{name}.jsonl") for name in ("new", "old")}
    found = rank_data(data, **BASE, out=tmp_path / "run", sample=15)
    assert [one.name for one in found.candidates.values()] == ["new", "old"]
    assert firsts(found)["grape"] == "new"
    assert found.rankings[0].orders[0].seeds == 30


def test_rows_without_an_answer_are_no_rows_to_rank_by(tmp_path: Path) -> None:
    answers = {"new": "Take red wool.", "old": ""}
    data = {name: [{"instruction": f"Sock {n}?", "output": of} for n in range(5)] for name, of in answers.items()}
    [ranking] = rank_data(data, **BASE, out=tmp_path / "run").rankings
    assert "fewer than 100 kept rows: new (5), old (0)" in ranking.flags


@pytest.mark.parametrize("rank", [rank_teachers, rank_evolvers])
def test_one_seed_is_refused_before_anything_is_called(tmp_path: Path, models: Opened, rank: Any) -> None:
    who = {"teacher" if rank is rank_teachers else "model": [PLAIN, WORDY]}
    with pytest.raises(InputError, match="all rows are of one seed"):
        rank([{"instruction": "Mend sock 1 of mine"}], **who, **BASE, out=tmp_path / "run")
    with pytest.raises(InputError, match="all rows are of one seed"):
        rank_data({name: [{"instruction": "a", "output": name}] for name in "ab"}, **BASE, out=tmp_path / "run")
    assert not (tmp_path / "run").exists() and not models[PLAIN].asked


def test_means_and_a_sweep_of_beta_stand_beside_the_figures(tmp_path: Path, models: Opened, instructions: Path) -> None:
    how = {**BASE, "judge": JUDGE, "sample": 10, "out": tmp_path / "run"}
    found = rank_teachers(instructions, teacher=[PLAIN, WORDY], **how)
    tables = {table.title: table for table in ranking_tables(found)}
    beside = tables["answers, as embedded-base reads them: means that put nobody first"]
    assert beside.columns == ("", "response_loss", "conditional_ppl", "response_tokens")
    assert [row[0] for row in beside.rows] == ["plain", "wordy"]
    sweep = tables["CAR for embedded-base, by beta"]
    assert sweep.rows[0] == ("car(judge_score)", "0", "wordy, plain") and len(sweep.rows) == 6


def test_replies_that_the_token_limit_cut_are_told(tmp_path: Path, models: Opened, instructions: Path) -> None:
    models[WORDY].reply = lambda prompt, _: Reply("", "length") if "sock 1" in prompt else "Take a needle."
    found = rank_teachers(instructions, teacher=[PLAIN, WORDY], **BASE, max_tokens=50, out=tmp_path / "run")
    [flag] = [one for one in found.rankings[0].flags if "cut" in one]
    assert flag == "wordy: 11 of its 30 rows of respond were cut at --max-tokens 50"


def test_a_budget_is_for_all_candidates_together(tmp_path: Path, models: Opened, instructions: Path) -> None:
    how = {**BASE, "teacher": [PLAIN, WORDY], "out": tmp_path / "run", "sample": 10, "price": "1000000,0"}
    with pytest.raises(BudgetReachedError):
        rank_teachers(instructions, **how, budget=300.0)  # a prompt is some 20 tokens: 1 each
    assert len(models[PLAIN].asked) == 10 > len(models[WORDY].asked) > 0
    assert not rank_teachers(instructions, **how, budget=1e9).ended
    with pytest.raises(BudgetReachedError, match="spent by the other candidates"):
        rank_teachers(instructions, **how, budget=1.0)


def test_prices_of_single_candidates(tmp_path: Path, models: Opened, instructions: Path) -> None:
    prices = ["plain=1000000,0", "wordy=0,1000000", "judge=0,0"]
    how = {**BASE, "judge": JUDGE, "sample": 10, "out": tmp_path / "run", "price": prices}
    found = rank_teachers(instructions, teacher=[PLAIN, WORDY], **how)
    assert not found.ended
    assert (found.costs[PLAIN]["cost"], found.costs[WORDY]["cost"]) == (
        sum(len(prompt) for prompt, _ in models[PLAIN].asked),
        sum(len(models[WORDY].reply(prompt, how)) for prompt, how in models[WORDY].asked),  # type: ignore[arg-type]
    )


def test_a_candidate_is_opened_as_it_was_named(tmp_path: Path, models: Opened, instructions: Path) -> None:
    named = [f"{uri}&api_key_env=KEY_{n}" for n, uri in enumerate((PLAIN, WORDY))]
    found = rank_teachers(instructions, teacher=named, **BASE, out=tmp_path / "run", sample=5)
    assert [uri for uri, _ in models.how] == named
    assert list(found.candidates) == [PLAIN, WORDY]


def test_an_evolver_that_yields_nothing_is_among_those_that_evolve(tmp_path: Path, instructions: Path) -> None:
    """Four that evolve, of which one only copies: it has no answers, and the length of those is not looked for."""
    uris = [f"openai:{name}?base_url=http://host:1/v1" for name in "abcd"]

    def evolved(number: int, steps: int) -> str:
        return f"Explain how to mend sock {number} of mine in {number + steps} steps, with a needle and red wool"

    def reply(steps: int) -> Any:
        return lambda prompt, _: evolved(int(prompt.split("sock ")[1].split()[0]), steps)

    opened = Opened([*uris, JUDGE], lambda *_: "With wool.")
    for place, uri in enumerate(uris[:3]):
        opened[uri].reply = reply(place)
    opened[uris[3]].reply = lambda prompt, _: f"Mend sock {prompt.split('sock ')[1].split()[0]} of mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_models, "open_chat", opened.open_chat)
        found = rank_evolvers(instructions, model=uris, teacher=JUDGE, **BASE, out=tmp_path / "run", sample=10)
    assert list(found.ended) == [uris[3]]
    kept = found.rankings[0].orders[0]
    assert {one.candidate: one.value for one in kept.standings}[uris[3]] == 0
    assert found.rankings[0].flags[0].startswith("d ended: ")
    assert all(
        order.without["openai:d?base_url=http://host:1/v1"] == "it ended before"
        for order in found.rankings[0].orders[1:]
    )


def test_rows_of_one_seed_are_one_item_where_a_run_is_ranked(tmp_path: Path, models: Opened) -> None:
    """Two rounds of ten seeds: twenty instructions to answer, ten seeds to draw from."""
    seeds = [{"instruction": f"Mend sock {n} of mine"} for n in range(10)]

    def evolved(prompt: str, _: Sampling) -> str:
        sock = f"sock {prompt.split('sock ')[1].split()[0]}"
        if "Explain" in prompt:
            return (
                f"Compare three ways to repair {sock} of a sailor, and give the cost of each in a table of two columns"
            )
        return f"Explain in {len(prompt)} steps how to mend {sock} with red wool"

    models[PLAIN].reply = evolved
    evolve(seeds, model=PLAIN, rounds=2, out=tmp_path / "evolved")
    models[PLAIN].reply = lambda *_: "By hand."
    found = rank_teachers(tmp_path / "evolved", teacher=[JUDGE, PLAIN], **BASE, out=tmp_path / "run")
    order = found.rankings[0].orders[0]
    assert order.seeds == 10 < order.standings[0].rows <= 20


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a b", "a_b"], "candidates have the same name: a b, a_b"),
        (["a", "A"], "candidates have the same name: A, a"),
        (["..", "b"], "'..' is no name for a candidate's folder"),
        (["plan.json", "b"], "'plan.json' is no name"),
        (["report.html", "b"], "'report.html' is no name"),
        (["n" * 256, "b"], "is too long for a folder's name: 256 bytes of 255"),
    ],
)
def test_names_that_are_none(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        rank_data({name: [{"instruction": "a", "output": "b"}] for name in names}, **BASE, out=tmp_path / "run")
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"teacher": [PLAIN]}, "there is nothing to rank: 1 candidate"),
        ({"teacher": [PLAIN, PLAIN]}, "a candidate is named twice"),
        ({"teacher": [PLAIN, WORDY], "base_model": []}, "no base model is named"),
        (
            {"teacher": [PLAIN, WORDY], "base_model": ["embedded-base"] * 2},
            "a base model is named twice: embedded-base",
        ),
        ({"teacher": [PLAIN, WORDY], "responses": {"a": "asked.jsonl"}}, "Give one of the two"),
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


def test_a_seed_and_what_was_evolved_from_it_stand_or_fall_together() -> None:
    seed, other = Record("a", "a", 0, "Knit."), Record("b", "b", 1, "Sew.")
    evolved = Record("a/r1", "a", 0, "Knit a hat.", round=1)
    assert _seeds([seed, other, evolved]) == {"Knit.": "a", "Knit a hat.": "a"}


def test_a_run_folder_takes_no_ranking(tmp_path: Path) -> None:
    evolve([{"instruction": "Knit a hat."}], model="embedded", out=tmp_path / "run", max_tokens=8)
    data = {name: [{"instruction": "a", "output": name}, {"instruction": "b", "output": name}] for name in "xy"}
    with pytest.raises(InputError, match="run is a run folder"):
        rank_data(data, base_model=["embedded-base"], out=tmp_path / "run")
    assert not (tmp_path / "run/plan.json").exists()
