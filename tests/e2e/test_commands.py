"""The commands as a user types them, mistakes included, against the tests' server and plain files."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import evolvent as api
from evolvent.runs.record_files import read_records
from tests.e2e.command import evolvent, server, server_stats

SEEDS = [
    {"instruction": "How do I mend a sock?", "input": "", "output": "With wool.", "topic": "home"},
    {"instruction": "Add the numbers.", "input": "3 and 4", "output": "7", "topic": "sums"},
    {"instruction": "How do I mend a sock?", "input": "", "output": "With wool.", "topic": "again"},
]


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    return path


@pytest.fixture
def model() -> Iterator[str]:
    with server() as url:
        yield f"openai:m?base_url={url}"


def test_evolve_respond_select(tmp_path: Path, seeds: Path, model: str) -> None:
    evolved = evolvent("evolve", seeds, "--model", model, "--rounds", "2", "--out", "run", folder=tmp_path)
    assert evolved.status == 0, evolved.errors
    assert "1 exact duplicates" in evolved.output
    rows = list(read_records(tmp_path / "run/evolved.parquet"))
    assert [(row.seed_index, row.round) for row in rows] == [(i, r) for i in range(3) for r in range(3)]
    assert rows[6].id == f"{rows[0].id}-2"
    assert {row.status for row in rows} == {"ok"}
    assert rows[1].meta == '{"topic":"home"}'

    other = f"{model}&timeout=9"
    answered = evolvent("respond", "run", "--teacher", model, "--out", "run", folder=tmp_path)
    assert answered.status == 0, answered.errors
    responses = list(read_records(tmp_path / "run/responses.parquet"))
    assert [row.id.rpartition("/")[0] for row in responses] == [row.id for row in rows if row.round]
    assert {row.teacher for row in responses} == {model}
    again = evolvent("respond", "run", "--teacher", other, "--out", "run", folder=tmp_path)
    assert "nothing to do" in again.output  # how long to wait for a server is no other setting

    command = [
        "select",
        "run/responses.parquet",
        "--by",
        "round",
        "--top",
        "50%",
        "--out",
        "run/best.csv",
        "--to",
        "alpaca",
    ]
    chosen = evolvent(*command, folder=tmp_path)
    assert chosen.status == 0, chosen.errors
    assert "3 selected" in chosen.output
    assert json.loads((tmp_path / "run/best.csv.selection.json").read_text())["how"]["by"] == "round"


def test_two_teachers_and_the_seeds_themselves(tmp_path: Path, seeds: Path, model: str) -> None:
    second = model.replace("openai:m", "openai:n")
    ended = evolvent("respond", seeds, "--teacher", model, "--teacher", second, "--out", "run", folder=tmp_path)
    assert ended.status == 0, ended.errors
    rows = list(read_records(tmp_path / "run/responses.parquet"))
    assert [row.teacher for row in rows] == [model, second] * 3
    # Equal questions at temperature 0 are one call.
    assert server_stats(model.partition("base_url=")[2])["requests"] == 4
    twice = evolvent("respond", seeds, "--teacher", model, "--teacher", model, "--out", "other", folder=tmp_path)
    assert twice.status == 2
    assert "named twice" in twice.errors


def test_more_rounds_use_the_stored_calls(tmp_path: Path, seeds: Path, model: str) -> None:
    url = model.partition("base_url=")[2]
    arguments = ["evolve", seeds, "--model", model, "--out", "run", "--rounds"]
    assert evolvent(*arguments, "1", folder=tmp_path).status == 0
    first = server_stats(url)["requests"]
    grown = evolvent(*arguments, "2", folder=tmp_path)
    assert (grown.status, "evolve: rounds 1 → 2: going on" in grown.errors) == (0, True)
    stats = server_stats(url)
    assert (first, stats["requests"], stats["repeated"]) == (3, 6, 0)
    refused = evolvent(*arguments, "1", folder=tmp_path)
    assert (refused.status, "rounds: 2 in the folder, 1 now" in refused.errors) == (2, True)


def test_the_python_functions_are_the_commands(tmp_path: Path, seeds: Path, model: str) -> None:
    evolvent("evolve", seeds, "--model", model, "--out", "run", folder=tmp_path)
    run = api.evolve(SEEDS, model=model, out=tmp_path / "api")
    assert list(run) == list(read_records(tmp_path / "run/evolved.parquet"))
    answered = api.respond(run, teacher=model, out=run.path)
    assert answered.counts["ok"] == 9
    assert api.respond(run, teacher=model, out=run.path).already_done


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evolve", "nowhere.jsonl", "--model", "embedded", "--out", "r"], "There is no file nowhere.jsonl"),
        (["evolve", "seeds.jsonl", "--model", "embeded", "--out", "r"], "unknown model 'embeded'"),
        (["evolve", "seeds.jsonl", "--model", "openai:m", "--out", "r"], "OPENAI_API_KEY holds no key"),
        (["evolve", "seeds.jsonl", "--model", "hf:./nowhere", "--out", "r"], "nowhere"),
        (["evolve", "seeds.jsonl", "--model", "embedded", "--out", "seeds.jsonl"], "is a file"),
        (["evolve", "seeds.jsonl", "--model", "embedded", "--out", "r", "--operators", "a,b"], "no prompt template"),
        (["evolve", "seeds.jsonl", "--model", "embedded", "--out", "r", "--method", "magic"], "unknown method"),
        (["evolve", "seeds.jsonl", "--model", "embedded", "--out", "r", "--temperature", "-1"], "temperature is -1"),
        (
            ["evolve", "seeds.jsonl", "--model", "embedded", "--out", "r", "--profile", "paper", "--judge", "embedded"],
            "takes no judge",
        ),
        (["evolve", "seeds.jsonl", "--model", "embedded", "--out", "r", "--extra-body", "{}x"], "--extra-body"),
        (["evolve", "seeds.jsonl", "--model", "embedded", "--out", "r", "--map", "instruction"], "--map"),
        (["evolve", "empty.jsonl", "--model", "embedded", "--out", "r"], "empty"),
        (["evolve", "broken.jsonl", "--model", "embedded", "--out", "r"], "line 2"),
        (
            ["respond", "seeds.jsonl", "--teacher", "openai:m?base_url=http://127.0.0.1:9/v1", "--out", "r"],
            "127.0.0.1:9",
        ),
        (["score", "seeds.jsonl", "--base-model", "openai:m?base_url=http://h/v1", "--out", "r"], "cannot score"),
        (
            ["score", "seeds.jsonl", "--base-model", "embedded-base", "--metrics", "iffd", "--out", "r"],
            "unknown metric",
        ),
        (["score", "seeds.jsonl", "--base-model", "embedded-base", "--layout", "x", "--out", "r"], "unknown layout"),
        (["select", "seeds.jsonl", "--by", "ifd", "--top", "25%", "--out", "x.jsonl"], "no column ifd"),
        (["select", "seeds.jsonl", "--by", "topic", "--top", "25", "--out", "x.jsonl"], "topic holds no number"),
        (["show", "nowhere"], "is not a run folder"),
        (["run", "nowhere.yaml"], "no recipe"),
        (["convert", "seeds.jsonl", "x.txt", "--to", "alpaca"], ".txt"),
        (["convert", "seeds.jsonl", "x.jsonl", "--to", "alpakka"], "alpakka"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path, seeds: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction": \n')
    ended = evolvent(*arguments, folder=tmp_path)
    assert ended.status == 2, ended
    assert words in ended.errors
    assert "Traceback" not in ended.errors
    assert not (tmp_path / "r" / "evolved.parquet").exists()


def test_a_stage_without_its_input_names_the_command(tmp_path: Path, seeds: Path, model: str) -> None:
    evolvent("evolve", seeds, "--model", model, "--out", "run", folder=tmp_path)
    ended = evolvent("score", "run", "--base-model", "embedded-base", "--out", "run", folder=tmp_path)
    assert ended.status == 2
    assert "evolvent respond run --teacher URI --out run" in ended.errors


def test_a_runs_own_files_are_not_overwritten(tmp_path: Path, seeds: Path, model: str) -> None:
    evolvent("evolve", seeds, "--model", model, "--out", "run", folder=tmp_path)
    before = (tmp_path / "run/evolved.parquet").read_bytes()
    converted = evolvent("convert", seeds, "run/evolved.parquet", "--to", "alpaca", folder=tmp_path)
    selected = ["select", seeds, "--by", "seed_index", "--top", "50%", "--out", "run/evolved.parquet"]
    for ended in (converted, evolvent(*selected, folder=tmp_path)):
        assert ended.status == 2
        assert "is a file of a run" in ended.errors
    assert (tmp_path / "run/evolved.parquet").read_bytes() == before


def test_a_wrong_model_leaves_nothing_behind(tmp_path: Path, seeds: Path) -> None:
    ended = evolvent("evolve", seeds, "--model", "hf:./nowhere", "--out", "run", folder=tmp_path)
    assert ended.status == 2
    assert not (tmp_path / "run/manifest.json").exists()
    assert "base model" in evolvent("evolve", seeds, "--model", "embedded-base", "--out", "r", folder=tmp_path).errors


def test_another_limit_is_named(tmp_path: Path, seeds: Path, model: str) -> None:
    arguments = ["evolve", seeds, "--model", model, "--out", "run", "--limit"]
    evolvent(*arguments, "2", folder=tmp_path)
    assert "limit: 2 in the folder, 1 now" in evolvent(*arguments, "1", folder=tmp_path).errors


def test_a_stale_file_is_not_read(tmp_path: Path, seeds: Path, model: str) -> None:
    evolve = ["evolve", seeds, "--model", model, "--out", "run", "--rounds"]
    respond = ["respond", "run", "--teacher", model, "--out", "run"]
    evolvent(*evolve, "1", folder=tmp_path)
    evolvent(*respond, folder=tmp_path)
    evolvent(*evolve, "2", "--fresh", folder=tmp_path)
    stale = evolvent("score", "run", "--base-model", "embedded-base", "--out", "run", folder=tmp_path)
    assert stale.status == 2
    assert "responses.parquet is stale" in stale.errors
    other = evolvent(*respond, "--max-tokens", "9", folder=tmp_path)
    assert (other.status, "max_tokens: 2048 in the folder, 9 now" in other.errors) == (2, True)
    assert evolvent(*respond, folder=tmp_path).status == 0  # only what it read is another: it is made anew
    assert len(list(read_records(tmp_path / "run/responses.parquet"))) == 2 * len(SEEDS)
    evolvent(*evolve, "2", "--fresh", folder=tmp_path)
    assert "nothing to do" in evolvent(*respond, folder=tmp_path).output


def test_fresh_and_retry_failed_exclude_each_other(tmp_path: Path, seeds: Path, model: str) -> None:
    arguments = ["evolve", seeds, "--model", model, "--out", "run", "--fresh", "--retry-failed"]
    ended = evolvent(*arguments, folder=tmp_path)
    assert (ended.status, "--fresh and --retry-failed exclude each other" in ended.errors) == (2, True)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_server_that_is_not_there_fails_early_and_keeps_the_folder_usable(
    tmp_path: Path, seeds: Path, model: str
) -> None:
    dead = "openai:m?base_url=http://127.0.0.1:9/v1"
    ended = evolvent("evolve", seeds, "--model", dead, "--out", "run", folder=tmp_path)
    assert ended.status == 2
    assert "127.0.0.1:9" in ended.errors
    assert "interrupted" in evolvent("show", "run", folder=tmp_path).output
    assert evolvent("evolve", seeds, "--model", model, "--out", "run", folder=tmp_path).status == 0


def test_show_and_doctor(tmp_path: Path, seeds: Path, model: str) -> None:
    evolvent("evolve", seeds, "--model", model, "--out", "run", folder=tmp_path)
    shown = evolvent("show", "run", folder=tmp_path)
    assert "round 3" in shown.output
    assert "How do I mend a sock?" in shown.output
    doctor = evolvent("doctor", folder=tmp_path)
    assert doctor.status == 0
    assert "embedded-base" in doctor.output
