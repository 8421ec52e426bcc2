"""The evolve stage: each of its settings reaches the calls or the rows, and binds the run folder."""

import json
from importlib import import_module
from math import log
from pathlib import Path
from typing import Any

import pytest

from evolvent.call_store.key import call_seed
from evolvent.errors import CallError, InputError
from evolvent.evolution.evolve import evolve
from evolvent.evolution.judging import QUESTIONS
from evolvent.evolution.templates import load_prompt
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling, TokenLogprob
from evolvent.runs.manifest import read_manifest
from evolvent.runs.run import Run
from tests.scripted import Opened, knows, write_both

EVOLVER, JUDGE, OTHER = (f"openai:{name}?base_url=http://host:1/v1" for name in ("evolver", "judge", "other"))
SEEDS = [{"instruction": f"Mend sock {n}", "input": "wool"} for n in range(3)]


def longer(prompt: str, _: Sampling) -> str:
    if "The First Prompt" in prompt:
        return knows(prompt) or ("Equal" if "sock 1" in prompt else "Not Equal")
    return prompt.split("Prompt#:\n", 1)[1].split("\n", 1)[0] + " with thread"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER, JUDGE, OTHER), longer)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    return opened


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    return path


def evolved(seeds: Path, **options: Any) -> Run:
    return evolve(seeds, **{"model": EVOLVER, "out": seeds.parent / "run", "rounds": 1, "concurrency": 1, **options})


def test_the_sampling_and_the_seed_reach_every_call(seeds: Path, models: Opened) -> None:
    ids = [row.id for row in evolved(seeds, temperature=0.5, top_p=0.9, max_tokens=77, seed=4) if row.round]
    sampled = [sampling for _, sampling in models[EVOLVER].asked]
    assert sampled == [Sampling(0.5, 0.9, 77, call_seed(4, id, "evolve", attempt=0)) for id in ids]


def test_the_defaults(seeds: Path, models: Opened) -> None:
    run = evolve(seeds, model=EVOLVER, out=seeds.parent / "run")
    assert {(one.temperature, one.top_p, one.max_tokens) for _, one in models[EVOLVER].asked} == {(0.7, 0.95, 2048)}
    assert [row.operator for row in run if row.seed_index == 0] == [None, "constraints", "deepening", "concretizing"]
    assert {conversation[0]["role"] for conversation in models[EVOLVER].conversations} == {"user"}


def test_log_probabilities_of_the_reply_that_made_a_row_score_it(seeds: Path, models: Opened) -> None:
    def sure_of(prompt: str, sampling: Sampling) -> Reply:
        """The first draw is eliminated; the second draw's tokens have a probability of one half."""
        first = len(models[EVOLVER].asked) == 1
        chance = log(0.9 if first else 0.5)
        return Reply(
            "" if "sock 1" in prompt else "Mend sock 0" if first else longer(prompt, sampling),
            "stop",
            logprobs=() if "sock 1" in prompt else (TokenLogprob("a", -9.0, (("b", chance),)),) * 7,
        )

    models[EVOLVER].reply = sure_of
    run = evolved(seeds, logprobs=True, retry_eliminated=1, judge=JUDGE, limit=2)
    assert {sampling.top_logprobs for _, sampling in models[EVOLVER].asked} == {20}
    assert {sampling.top_logprobs for _, sampling in models[JUDGE].asked} == {0}
    seed, made, _, empty = run
    assert set(seed.scores.values()) == {None}
    assert made.status == "ok" and made.scores["output_positions"] == 7
    assert made.scores["top1"] == made.scores["top1_first5"] == pytest.approx(0.5)
    assert empty.status == "eliminated" and empty.scores == dict.fromkeys(made.scores) | {"output_positions": 0}
    assert "notes" not in run.counts


def test_an_evolver_without_log_probabilities_is_counted(seeds: Path, models: Opened) -> None:
    def failing(prompt: str, sampling: Sampling) -> str:
        if "sock 2" in prompt:
            raise CallError("down")
        return longer(prompt, sampling)

    models[EVOLVER].reply = failing
    run = evolved(seeds, logprobs=True)
    assert [row.status for row in run if row.round] == ["ok", "ok", "failed"]
    assert {value for row in run for value in row.scores.values()} == {None}
    assert run.counts["notes"] == {"the evolver gives no log probabilities": 2}


def test_autoif_takes_no_log_probabilities(seeds: Path, models: Opened) -> None:
    with pytest.raises(InputError, match=r"--logprobs is an option of .*, not of autoif\nLeave it out"):
        evolve(method="autoif", model=EVOLVER, out=seeds.parent / "run", queries=seeds, logprobs=True)


def test_rows_have_no_such_columns_unless_they_are_asked_for(seeds: Path, models: Opened) -> None:
    assert {tuple(row.scores) for row in evolved(seeds)} == {()}


def test_the_evolver_gets_the_system_prompt_and_the_judge_does_not(seeds: Path, models: Opened) -> None:
    evolved(seeds, system="Be terse.", judge=JUDGE)
    assert [turns[0] for turns in models[EVOLVER].conversations] == [{"role": "system", "content": "Be terse."}] * 3
    assert [[turn["role"] for turn in turns] for turns in models[JUDGE].conversations[-3:]] == [["user"]] * 3


def test_the_judge_eliminates(seeds: Path, models: Opened) -> None:
    run = evolved(seeds, judge=JUDGE, max_tokens=55)
    assert [row.reason for row in run if row.round] == [None, "equal", None]
    assert run.counts["groups"] == {"round 1": {"eliminated: equal": 1, "ok": 2}}
    assert {(one.temperature, one.max_tokens) for _, one in models[JUDGE].asked} == {(0.0, 55)}


def test_rounds(seeds: Path, models: Opened) -> None:
    assert [row.round for row in evolved(seeds, rounds=2)] == [0, 1, 2] * 3


def test_the_paper_profile_hides_the_input_and_eliminates_nothing(seeds: Path, models: Opened) -> None:
    models[EVOLVER].reply = lambda prompt, _: "Mend sock 0" if "sock 0" in prompt else "Mend sock 0 with thread"
    assert {row.status for row in evolved(seeds, profile="paper")} == {"ok"}
    assert not any("wool" in prompt for prompt, _ in models[EVOLVER].asked)
    assert {row.reason for row in evolved(seeds, out=seeds.parent / "other") if row.round} == {"unchanged", None}


@pytest.mark.parametrize(
    ("options", "operators"),
    [
        ({"breadth": False, "rounds": 5}, ["constraints", "deepening", "concretizing", "reasoning", "constraints"]),
        ({"breadth": True, "rounds": 5}, ["constraints", "deepening", "concretizing", "reasoning", "breadth"]),
        ({"operators": ["breadth", "reasoning"], "rounds": 3}, ["breadth", "reasoning", "breadth"]),
    ],
)
def test_the_operators(seeds: Path, models: Opened, options: dict[str, Any], operators: list[str]) -> None:
    rows = [row for row in evolved(seeds, **options) if row.seed_index == 0]
    assert [row.operator for row in rows[1:]] == operators


def write_template(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "deepening.j2").write_text(text + "\n#The Given Prompt#:\n{{ instruction }}\n")
    return folder


def test_a_template_of_ones_own(seeds: Path, models: Opened) -> None:
    folder = write_template(seeds.parent / "mine", "Dig deeper.")
    rows = list(evolved(seeds, templates=folder, operators=["deepening"]))
    assert all("Dig deeper." in prompt for prompt, _ in models[EVOLVER].asked)
    assert {row.prompt_version for row in rows if row.round} == {load_prompt("deepening", folder).version}
    write_template(folder, "Dig much deeper.")
    with pytest.raises(InputError, match="operators: "):
        evolved(seeds, templates=folder, operators=["deepening"])


def test_extra_fields_reach_the_server_of_every_model(seeds: Path, models: Opened) -> None:
    evolved(seeds, judge=JUDGE, extra_body={"top_k": 20})
    assert [(uri, how["extra_body"]) for uri, how in models.how] == [(EVOLVER, {"top_k": 20}), (JUDGE, {"top_k": 20})]


def test_how_the_seeds_are_read(tmp_path: Path, models: Opened) -> None:
    path = tmp_path / "seeds.jsonl"
    rows = ['{"ask": "Mend sock 0", "instruction": 3}', '{"ask": ""}', '{"ask": "Mend sock 2"}', '{"ask": "Mend 3"}']
    path.write_text("\n".join(rows))
    run = evolved(path, format="alpaca", map={"instruction": "ask"}, skip_bad=True, limit=3)
    assert [row.seed_index for row in run if not row.round] == [0, 2]
    assert (run.counts["seeds"], run.counts["skipped rows"]) == (2, 1)
    assert read_manifest(run.path)["evolve"].input["format"] == "alpaca"


def test_the_format_is_the_one_that_is_named(tmp_path: Path, models: Opened) -> None:
    path = write_both(tmp_path)
    assert [row.instruction for row in evolved(path) if not row.round] == ["u"]
    rows = evolved(path, format="alpaca", out=tmp_path / "alpaca")
    assert [row.instruction for row in rows if not row.round] == ["a"]


def test_seeds_are_checked_once(seeds: Path, models: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    evolved(seeds)
    monkeypatch.delattr(import_module("evolvent.datasets.load"), "_check_all")
    assert evolved(seeds).already_done


BOUND = {
    "profile": "paper",
    "operators": ["deepening"],
    "breadth": False,
    "model": OTHER,
    "judge": JUDGE,
    "system": "Be terse.",
    "seed": 1,
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 99,
    "extra_body": {"top_k": 20},
    "logprobs": True,
    "limit": 2,
}


@pytest.mark.parametrize("name", BOUND)
def test_what_changes_the_output_binds_the_folder(seeds: Path, models: Opened, name: str) -> None:
    evolved(seeds)
    with pytest.raises(InputError, match=f"\n  {'operators' if name == 'breadth' else name}: .* in the folder, .* now"):
        evolved(seeds, **{name: BOUND[name]})
    evolved(seeds, **{name: BOUND[name]}, fresh=True)
    assert evolved(seeds, **{name: BOUND[name]}).already_done


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 5},
        {"max_requests_per_minute": 60_000.0},
        {"max_tokens_per_minute": 60_000.0},
        {"price": "1,2"},
        {"price": "1,2", "budget": 5.0},
        {"progress": True},
        {"retry_failed": True},
        {"model": f"{EVOLVER}&timeout=5"},
    ],
)
def test_how_calls_are_made_binds_nothing(seeds: Path, models: Opened, options: dict[str, Any]) -> None:
    evolved(seeds)
    assert evolved(seeds, **options).already_done


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounds": 0}, "rounds is 0"),
        ({"profile": "both"}, "has no profile 'both'"),
        ({"method": "auto"}, "unknown method 'auto'"),
        ({"profile": "paper", "judge": JUDGE}, "takes no judge"),
        ({"operators": ["deepening", "deepening"]}, "named twice"),
        ({"operators": ["breadth"], "breadth": False}, "leaves it out"),
        ({"operators": ["equality"]}, "no operator"),
        ({"temperature": 9}, "temperature is 9"),
        ({"model": "nothing"}, "unknown model"),
        ({"limit": 0}, "limit is 0"),
        ({"templates": "nowhere"}, "is not a folder"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    seeds: Path, models: Opened, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        evolved(seeds, **options)
    assert [path.name for path in seeds.parent.iterdir()] == ["seeds.jsonl"]


def test_a_misspelled_option_is_none(seeds: Path, models: Opened) -> None:
    with pytest.raises(TypeError, match="no option 'limitt'"):
        evolved(seeds, limitt=3)
    assert not models[EVOLVER].asked


def test_a_judge_that_does_not_discriminate_is_refused_before_anything_is_evolved(seeds: Path, models: Opened) -> None:
    models[JUDGE].reply = lambda *_: "Equal"
    for _ in range(2):  # its calls are stored: the second time it is asked nothing
        with pytest.raises(InputError, match="right on 8 of 8 that ask for the same and on 0 of 8"):
            evolved(seeds, judge=JUDGE)
    assert (len(models[JUDGE].asked), models[EVOLVER].asked) == (len(QUESTIONS), [])
    assert evolved(seeds, judge=None, fresh=True).counts["ok"] == 3


def test_a_dry_run_throws_no_made_up_reply_away_and_tries_no_judge(seeds: Path, models: Opened) -> None:
    estimate = evolved(seeds, judge=JUDGE, rounds=4, dry_run=True).estimate
    assert estimate is not None
    assert [model.calls for model in estimate.models] == [12, 12]
    assert models[JUDGE].asked == []


def test_notes_fences_and_quotes_around_an_evolution_are_no_part_of_it(seeds: Path, models: Opened) -> None:
    around = [
        "Sure! Here's a more complex version:\n\n```\n{}\n```\n\nThis adds a constraint.",
        "{}\n\n**Explanation:** I added a constraint.",
        '"{}"',
    ]
    new = "Mend sock {} with thread and say why."
    models[EVOLVER].reply = lambda prompt, _: next(
        text.format(new.format(n)) for n, text in enumerate(around) if f"sock {n}" in prompt
    )
    assert [row.instruction for row in evolved(seeds) if row.round] == [new.format(n) for n in range(3)]
