"""show: what a run folder holds, as data and as the command prints it."""

from dataclasses import replace
from math import log
from pathlib import Path

import pytest

import evolvent
from evolvent.errors import CallError, InputError, ModelUnavailableError
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling, TokenLogprob, Usage
from evolvent.report.printing import print_contents, print_run
from evolvent.report.summary import summary
from evolvent.responses.respond import respond
from tests.runs.staged import EVOLVER, OTHER, TEACHER, breaking_after, evolved, longer, write_seeds
from tests.scripted import Opened


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER, TEACHER, OTHER), longer)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    return opened


def leaking(prompt: str, sampling: Sampling) -> Reply:
    """Seeds 1 and 2 are not changed; a reply has three tokens, an unusable one before it five."""
    given = prompt.split("Prompt#:\n", 1)[-1].split("\n", 1)[0]
    return Reply(given, "stop", Usage(2, 5)) if "number 1:" in given else longer(prompt, sampling)


def test_what_a_folder_holds_as_data(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = leaking
    run = evolved(write_seeds(tmp_path, range(4)), tmp_path / "run")
    found = evolvent.show(run, examples=2)
    assert found == evolvent.show(str(tmp_path / "run"), examples=2)
    (stage,) = found.stages.values()
    assert (stage.state, stage.file, stage.there, stage.damaged) == ("done", run.output, True, False)
    assert stage.counts["ok"] == 3
    assert stage.paid[EVOLVER]["calls"] == stage.used[EVOLVER]["calls"] == 4
    assert stage.yields is not None
    assert (stage.yields.usable, stage.yields.rows, stage.yields.reasons) == (3, 4, {"unchanged": 1})
    assert (stage.yields.tokens, stage.yields.thrown_away) == (8, 5)
    assert [[row.round for row in example] for example in found.examples] == [[0, 1], [0, 1]]


def test_the_first_line_of_a_summary_is_the_yield(
    tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    models[EVOLVER].reply = leaking
    run = evolved(write_seeds(tmp_path, range(4)), tmp_path / "run")
    words = (
        "evolve: 3 of 4 rows usable by our rules (75%); not usable: unchanged 1; "
        "5 of 8 tokens out (62%) were spent on what was thrown away"
    )
    print_run(run)
    assert capsys.readouterr().out.splitlines()[0] == words
    respond(run, teacher=TEACHER, out=run.path)
    print_contents(evolvent.show(run))
    assert capsys.readouterr().out.splitlines()[:2] == [
        words,
        "respond: 3 of 3 rows usable by our rules (100%)",
    ]


def test_breadth_columns_of_an_evolution_are_shown_and_compared(
    tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    def sure(prompt: str, sampling: Sampling) -> Reply:
        number = int(prompt.split("number ")[1][0])
        if number == 3:
            raise CallError("down")
        chance = log((0.5, 0.25, 1.0)[number])
        tokens = () if number == 2 else (TokenLogprob("a", chance, (("b", chance),)),) * 7
        return replace(longer(prompt, sampling), text="" if number == 2 else f"{number}", logprobs=tokens)

    models[EVOLVER].reply = sure
    run = evolved(write_seeds(tmp_path, range(4)), tmp_path / "run", logprobs=True)
    shown = evolvent.show(run).breadth
    assert list(shown) == ["top1_first5", "top1", "entropy_first5", "entropy"]
    assert (shown["top1"].n, shown["top1"].absent, shown["top1"].mean) == (2, 6, pytest.approx(0.375))
    print_contents(evolvent.show(run))
    assert "breadth of the evolver's replies" in capsys.readouterr().out

    with pytest.raises(InputError, match=r"no .*scored\.parquet") as caught:
        evolvent.compare(run.path)
    assert str(run.output) in caught.value.fix
    seeds, replies = evolvent.compare(run.output, by="round").groups
    [top1] = [figure for figure in replies.figures if figure.name == "top1"]
    assert (top1.value, top1.n) == (pytest.approx(0.375), 2)
    assert top1.excluded == {"empty reply": 1, "failed": 1}
    assert seeds.figures[0].excluded == {"a seed is no reply": 4}
    assert {figure.name: figure.n for figure in seeds.figures}["distinct-1"] == 4
    by_evolver = evolvent.compare(run.output, by="evolver").groups
    assert [(group.name, group.rows) for group in by_evolver] == [("(none)", 4), (EVOLVER, 4)]
    assert evolvent.compare(run.output, by="operator").groups[1].rows == 1


def test_replies_that_were_asked_for_again_were_thrown_away(tmp_path: Path, models: Opened) -> None:
    def blank_first(prompt: str, sampling: Sampling) -> Reply:
        blank = len(models[EVOLVER].asked) == 1
        return Reply("", "stop", Usage(2, 7)) if blank else longer(prompt, sampling)

    models[EVOLVER].reply = blank_first
    run = evolved(write_seeds(tmp_path, range(2)), tmp_path / "run")
    stage = evolvent.show(run).stages["evolve"]
    assert stage.yields is not None
    assert (stage.yields.usable, stage.yields.tokens, stage.yields.thrown_away) == (2, 9, 7)


def test_a_damaged_file_and_one_that_is_gone_are_said_with_what_to_do(tmp_path: Path, models: Opened) -> None:
    run = evolved(write_seeds(tmp_path, range(4)), tmp_path / "run")
    respond(run, teacher=TEACHER, out=run.path)
    answers = run.path / "responses.parquet"
    content = answers.read_bytes()
    answers.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    found = evolvent.show(run)
    assert [stage.damaged for stage in found.stages.values()] == [False, True]
    (note,) = summary(found)[0].notes
    assert "responses.parquet is not as respond wrote it" in note and "--fresh makes it anew" in note
    answers.unlink()
    (note,) = summary(evolvent.show(run))[0].notes
    assert note == "responses.parquet is gone: the command of respond makes it again from the stored calls"
    assert len(models[TEACHER].asked) == 4
    assert respond(run, teacher=TEACHER, out=run.path).counts["ok"] == 4
    assert len(models[TEACHER].asked) == 4


@pytest.mark.parametrize("place", range(4, 100, 7))
def test_a_file_that_cannot_be_read_is_said_in_our_words(tmp_path: Path, models: Opened, place: int) -> None:
    run = evolved(write_seeds(tmp_path, range(4)), tmp_path / "run")
    content = run.output.read_bytes()
    at = len(content) * place // 100
    run.output.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    try:
        assert evolvent.show(run).stages["evolve"].damaged
    except InputError as error:
        assert "make it anew with --fresh" in error.fix
    assert models


def test_an_unfinished_stage(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = breaking_after(2, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(write_seeds(tmp_path, range(4)), tmp_path / "run", concurrency=1)
    stage = evolvent.show(tmp_path / "run").stages["evolve"]
    assert (stage.state, stage.there, stage.written, stage.of, stage.yields) == ("interrupted", False, 0, 4, None)
    assert stage.paid[EVOLVER]["calls"] == 2


def test_folders_in_a_folder_that_hold_stages_of_their_own_are_listed(
    tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evolved(write_seeds(tmp_path, range(4)), tmp_path / "run")
    answered = respond(run, teacher=TEACHER, out=run.path / "brief")
    (run.path / "empty").mkdir()
    (run.path / "b").mkdir()
    evolvent.select(
        answered.output, by="round", top=2, out=run.path / "b/kept.jsonl"
    )  # where a recipe's select:b writes, without a manifest
    found = evolvent.show(run)
    assert [(one.path.name, one.stages, list(one.noted)) for one in found.within] == [
        ("b", {}, ["select:kept.jsonl"]),
        ("brief", {"respond": "done"}, []),
    ]
    print_contents(found)
    printed = capsys.readouterr().out
    assert f"evolvent show {run.path / 'brief'} shows" in printed
    assert f"stands in {run.path / 'b/kept.jsonl.selection.json'}" in printed
    above = evolvent.show(tmp_path)  # no run folder itself
    assert (above.stages, [one.path for one in above.within]) == ({}, [run.path])
    assert list(evolvent.show(run.path / "b").noted) == ["select:kept.jsonl"]
    with pytest.raises(InputError, match="is not a run folder"):
        evolvent.show(run.path / "empty")


def test_a_shard_and_a_folder_of_shards(tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    evolved(write_seeds(tmp_path, range(130)), run, shard="2/2")
    shard = evolvent.show(run / "shards" / "2-of-2")
    stage = shard.stages["evolve"]
    assert (stage.state, stage.counts["ok"], stage.damaged) == ("shard", 64, False)
    print_contents(shard)
    said = " ".join(capsys.readouterr().out.split())
    assert "evolve: this shard is made; evolvent merge, in the folder of all shards, joins them" in said
    assert "│ evolve │ shard │" in said and "│ parts │" in said
    with pytest.raises(InputError, match=r"holds shards that are not merged \(2/2\)"):
        evolvent.show(run)
