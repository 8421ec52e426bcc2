"""One teacher's answer to one instruction; and the stage: each of its settings reaches the calls, and binds."""

import asyncio
import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from evolvent.call_store.key import call_seed
from evolvent.errors import CallError, InputError
from evolvent.evolution.evolve import evolve
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message, Record
from evolvent.responses.respond import FIRST_TURN_ONLY, OTHER_LANGUAGE, answer, question, respond
from evolvent.runs.run import Run
from tests.scripted import Opened, Scripted, write_both

TEACHER, OTHER, EVOLVER = (f"openai:{name}?base_url=http://host:1/v1" for name in ("teacher", "other", "evolver"))
RECORD = Record("s/r1", "s", 0, "Add them.", "3 and 4", "old", round=1)


def answered(reply: str | Reply, record: Record = RECORD) -> Record:
    return asyncio.run(answer(record, Scripted(lambda *_: reply), Sampling(0.0), 0, None))


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        ("7", "ok", None),
        ("Sorry, no.", "eliminated", "sorry"),
        ("It is.", "eliminated", "no words"),
        ("", "eliminated", "empty"),
        (Reply("Half", "content_filter"), "eliminated", "filtered"),
        (Reply("Half", "length"), "ok", None),
    ],
)
def test_the_rules_are_applied(reply: str | Reply, status: str, reason: str | None) -> None:
    row = answered(reply)
    assert (row.status, row.reason, row.teacher) == (status, reason, "scripted")
    assert row.id.startswith("s/r1/")
    assert row.output == (reply if isinstance(reply, str) else reply.text)


def test_a_failed_call_fails_the_row_in_the_servers_words() -> None:
    def refuse(*_: object) -> str:
        raise CallError("server said no")

    row = asyncio.run(answer(RECORD, Scripted(refuse), Sampling(0.0), 0, None))
    assert (row.status, row.reason, row.output) == ("failed", "server said no", "")


def test_what_is_asked() -> None:
    talk = [Message(role="system", content="Be brief."), Message(role="user", content="Add them.")]
    record = Record("s", "s", 0, "Add them.", messages=talk)
    assert question(RECORD, None) == [Message(role="user", content="Add them.\n3 and 4")]
    assert question(record, "Be kind.") == [Message(role="system", content="Be brief.\n\nBe kind."), talk[1]]


def test_what_is_to_be_said_of_an_answer_that_passes() -> None:
    turns = [Message(role=role, content="Add them.") for role in ("user", "assistant", "user")]
    assert answered("7", Record("s", "s", 0, "Add them.", messages=turns)).reason == FIRST_TURN_ONLY
    assert answered("это будет семь").reason == OTHER_LANGUAGE


def test_a_conversation_is_answered_as_one() -> None:
    talk = [Message(role="system", content="Be brief."), Message(role="user", content="Add them.")]
    row = answered("7", Record("s", "s", 0, "Add them.", messages=talk))
    assert row.messages == [*talk, Message(role="assistant", content="7")]
    assert answered("7").messages is None


def longer(prompt: str) -> str:
    """The instruction, and words that it does not have yet."""
    more = " by a steady hand at noon" if "thick" in prompt else " with thick thread"
    return prompt.split("Prompt#:\n", 1)[1].split("\n", 1)[0] + more


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((TEACHER, OTHER), lambda prompt, _: f"Answer to {prompt}")
    opened[EVOLVER] = Scripted(lambda prompt, _: longer(prompt))
    opened[EVOLVER].uri = EVOLVER
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    return opened


@pytest.fixture
def run(tmp_path: Path, models: Opened) -> Path:
    """A run folder of three seeds and two rounds."""
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"instruction": f"Mend sock {n}"}) + "\n" for n in range(3)))
    return evolve(seeds, model=EVOLVER, out=tmp_path / "run", rounds=2).path


def responded(run: Path, **options: Any) -> Run:
    return respond(run, **{"teacher": TEACHER, "out": run, "concurrency": 1, **options})


def test_the_sampling_and_the_seed_reach_every_call(run: Path, models: Opened) -> None:
    ids = [row.id for row in responded(run, temperature=0.5, top_p=0.9, max_tokens=77, seed=4)]
    teacher = hashlib.sha256(TEACHER.encode()).hexdigest()[:8]
    assert [id.split("/")[1:] for id in ids] == [["r1", teacher], ["r2", teacher]] * 3
    sampled = [sampling for _, sampling in models[TEACHER].asked]
    assert sampled == [Sampling(0.5, 0.9, 77, call_seed(4, id, "respond", attempt=0)) for id in ids]


def test_the_defaults_are_greedy(run: Path, models: Opened) -> None:
    respond(run, teacher=TEACHER, out=run)
    assert {(one.temperature, one.top_p, one.max_tokens) for _, one in models[TEACHER].asked} == {(0.0, 1.0, 2048)}
    assert [[turn["role"] for turn in turns] for turns in models[TEACHER].conversations] == [["user"]] * 6


@pytest.mark.parametrize(("round", "rounds"), [(None, [1, 2] * 3), (0, [0] * 3), (1, [1] * 3), (2, [2] * 3)])
def test_which_rounds_are_answered(run: Path, models: Opened, round: int | None, rounds: list[int]) -> None:
    assert [row.round for row in responded(run, round=round)] == rounds


def test_what_was_eliminated_is_not_answered(run: Path, models: Opened) -> None:
    models[EVOLVER].reply = lambda prompt, _: "Mend sock 1" if "sock 1" in prompt else longer(prompt)
    evolve(run.parent / "seeds.jsonl", model=EVOLVER, out=run, rounds=1, seed=1, fresh=True)
    result = responded(run)
    assert [row.seed_index for row in result] == [0, 2]
    assert result.counts["rows left out"] == 4


def test_system_and_limit_and_extra_fields(run: Path, models: Opened) -> None:
    result = responded(run, system="Be kind.", limit=2, extra_body={"top_k": 20}, teacher=[OTHER, TEACHER])
    assert [row.teacher for row in result] == [OTHER, TEACHER] * 2
    for uri in (OTHER, TEACHER):
        assert [turns[0] for turns in models[uri].conversations] == [{"role": "system", "content": "Be kind."}] * 2
    assert [how["extra_body"] for uri, how in models.how if uri != EVOLVER] == [{"top_k": 20}] * 2
    assert result.counts["instructions"] == 2


def test_how_a_data_file_is_read(tmp_path: Path, models: Opened) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(['{"ask": "a"}', '{"ask": ""}', '{"ask": "c"}', '{"ask": "d"}']))
    options: dict[str, Any] = {"format": "alpaca", "map": {"instruction": "ask"}, "skip_bad": True, "limit": 3}
    result = respond(path, teacher=TEACHER, out=tmp_path / "out", **options)
    assert [(row.seed_index, row.output) for row in result] == [(0, "Answer to a"), (2, "Answer to c")]
    assert result.counts["skipped rows"] == 1


def test_the_format_is_the_one_that_is_named_and_data_is_checked_once(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_both(tmp_path)
    for format, output in (None, "Answer to u"), ("alpaca", "Answer to a"):
        out = tmp_path / str(format)
        assert [row.output for row in respond(path, teacher=TEACHER, out=out, format=format)] == [output]
    monkeypatch.delattr(import_module("evolvent.datasets.load"), "_check_all")
    assert respond(path, teacher=TEACHER, out=out, format="alpaca").already_done


BOUND = {
    "teacher": OTHER,
    "round": 1,
    "limit": 2,
    "system": "Be kind.",
    "seed": 1,
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 99,
    "extra_body": {"top_k": 20},
}


@pytest.mark.parametrize("name", BOUND)
def test_what_changes_the_output_binds_the_folder(run: Path, models: Opened, name: str) -> None:
    responded(run)
    with pytest.raises(InputError, match=f"\n  {name}: .* in the folder, .* now"):
        responded(run, **{name: BOUND[name]})
    responded(run, **{name: BOUND[name]}, fresh=True)
    assert responded(run, **{name: BOUND[name]}).already_done


def test_how_calls_are_made_binds_nothing(run: Path, models: Opened) -> None:
    responded(run)
    for options in ({"concurrency": 5}, {"max_requests_per_minute": 9.0}, {"teacher": f"{TEACHER}&timeout=5"}):
        assert responded(run, **options).already_done


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"teacher": []}, "no teacher is named"),
        ({"teacher": [TEACHER, TEACHER]}, "a teacher is named twice"),
        ({"teacher": "nothing"}, "unknown model"),
        ({"round": 7}, "holds nothing to answer"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_what_cannot_work_is_refused(run: Path, models: Opened, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        responded(run, **options)
    assert not (run / "responses.parquet").exists()
