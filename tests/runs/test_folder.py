"""The run folder: what is the same run, what is refused, who may work in it."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from evolvent.errors import InputError, RunError
from evolvent.records import Column, Record
from evolvent.runs import folder, parts
from evolvent.runs.folder import RunFolder
from evolvent.runs.inputs import Listed
from evolvent.runs.lock import in_use
from evolvent.runs.manifest import read_manifest, write_manifest
from evolvent.runs.parts import Output, parts_folder
from evolvent.runs.run import Run

SETTINGS = {"rounds": 3, "model": "embedded"}
SOURCE = {"source": "seeds.jsonl", "digest": "abc", "rows": 2}
PAID = {"embedded": {"calls": 3, "prompt_tokens": 1, "completion_tokens": 1, "estimated": False, "cost": None}}


# Whose file in the same folder a stage reads.
READS = {"respond": "evolve", "score": "respond"}


def begin(
    run: RunFolder, stage: str = "evolve", digest: str = "abc", elsewhere: bool = False, **options: Any
) -> Run | None:
    source = {**SOURCE, "digest": digest, "stage": None if elsewhere else READS.get(stage)}
    return run.begin(stage, options.pop("settings", SETTINGS), source, **options)


def finish(folder: Path, stage: str = "evolve", digest: str = "abc", **options: Any) -> bool:
    """Begin and finish a stage; whether there was anything to do."""
    with RunFolder(folder) as run:
        if begin(run, stage, digest, **options):
            return False
        run.start(stage, {"embedded": "weights 1"})
        run.output(stage).write_text("rows")
        run.finish(stage, {"ok": 2}, {"embedded": {"calls": 4}}, PAID)
    return True


def interrupt(folder: Path, stage: str = "evolve", paid: dict[str, Any] = PAID, **options: Any) -> None:
    """Begin a stage, and stop it before it is done."""
    with RunFolder(folder) as run:
        assert begin(run, stage, **options) is None
        run.start(stage, {"embedded": "weights 1"})
        run.interrupt(stage, paid)


def test_the_same_again_is_nothing_to_do(tmp_path: Path) -> None:
    assert finish(tmp_path / "run") is True
    assert finish(tmp_path / "run") is False
    entry = read_manifest(tmp_path / "run")["evolve"]
    assert (entry.state, entry.counts, entry.used, entry.paid) == ("done", {"ok": 2}, {"embedded": {"calls": 4}}, PAID)
    output = tmp_path / "run" / "evolved.parquet"
    assert entry.output == {"name": "evolved.parquet", "digest": hashlib.sha256(output.read_bytes()).hexdigest()}
    assert (entry.started <= entry.finished, entry.versions["python"][0]) == (True, "3")


def test_nothing_is_written_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    finish(tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    finish(tmp_path)
    finish(tmp_path, retry_failed=True)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_lost_output_is_made_again(tmp_path: Path) -> None:
    finish(tmp_path)
    (tmp_path / "evolved.parquet").unlink()
    assert finish(tmp_path) is True


@pytest.mark.parametrize(
    ("settings", "digest", "words"),
    [
        ({**SETTINGS, "rounds": 2}, "abc", "rounds: 3 in the folder, 2 now"),
        ({"model": "embedded"}, "abc", "rounds: 3 in the folder, None now"),
        ({**SETTINGS, "judge": "x"}, "abc", "judge: None in the folder, 'x' now"),
        (SETTINGS, "other", r"input: other content than seeds\.jsonl had"),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_another_recipe_is_refused_with_the_difference(
    tmp_path: Path, settings: dict[str, object], digest: str, words: str, done: bool
) -> None:
    _ = finish(tmp_path) if done else interrupt(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with RunFolder(tmp_path) as run, pytest.raises(InputError, match=words):
        begin(run, digest=digest, settings=settings)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_limit_is_named_instead_of_other_content(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        run.begin("evolve", SETTINGS, {**SOURCE, "limit": 5}, fresh=False)
        run.start("evolve", {})
    with RunFolder(tmp_path) as run, pytest.raises(InputError, match="limit: 5 in the folder, 6 now"):
        run.begin("evolve", SETTINGS, {**SOURCE, "limit": 6, "digest": "longer"}, fresh=False)


def test_nothing_is_written_before_the_models_are_open(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        begin(run)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_fresh_makes_anew_and_marks_what_came_after_as_stale(tmp_path: Path) -> None:
    finish(tmp_path)
    finish(tmp_path, "respond", "first")
    assert finish(tmp_path, fresh=True) is True
    assert read_manifest(tmp_path)["respond"].state == "stale"
    assert finish(tmp_path, "respond", "first") is False
    assert read_manifest(tmp_path)["respond"].state == "done"


def test_a_stale_stage_whose_input_changed_is_made_anew_by_the_plain_command(tmp_path: Path) -> None:
    finish(tmp_path)
    finish(tmp_path, "respond", "first")
    finish(tmp_path, "score", "answers")
    finish(tmp_path, fresh=True)
    assert finish(tmp_path, "respond", "second") is True
    stages = read_manifest(tmp_path)
    assert (stages["respond"].state, stages["respond"].input["digest"]) == ("done", "second")
    assert stages["score"].state == "stale"
    assert finish(tmp_path, "respond", "second") is False


def test_a_stale_stage_with_other_settings_is_refused(tmp_path: Path) -> None:
    finish(tmp_path)
    finish(tmp_path, "respond", "first")
    finish(tmp_path, fresh=True)
    with pytest.raises(InputError, match="other content") as caught:
        finish(tmp_path, "respond", "second", settings={**SETTINGS, "rounds": 9})
    assert "rounds: 3 in the folder, 9 now" in str(caught.value)
    assert read_manifest(tmp_path)["respond"].state == "stale"


def test_a_done_stage_whose_input_changed_is_refused(tmp_path: Path) -> None:
    """Nothing was made anew in this folder: another input was named."""
    finish(tmp_path)
    finish(tmp_path, "respond", "first")
    with pytest.raises(InputError, match="other content"):
        finish(tmp_path, "respond", "second")


def test_stages_are_kept_in_their_order_whichever_came_first(tmp_path: Path) -> None:
    finish(tmp_path, "score")
    finish(tmp_path, "evolve")
    finish(tmp_path, "respond")
    assert list(read_manifest(tmp_path)) == ["evolve", "respond", "score"]


def test_an_interrupted_stage_goes_on_with_the_same_model_only(tmp_path: Path) -> None:
    interrupt(tmp_path)
    with RunFolder(tmp_path) as run:
        assert begin(run) is None
        run.start("evolve", {"embedded": "weights 1"})
        with pytest.raises(InputError, match=r"evolve in .* began with another embedded"):
            run.start("evolve", {"embedded": "weights 2"})
    assert read_manifest(tmp_path)["evolve"].paid == PAID


def test_the_time_of_interrupted_sessions_adds_up(tmp_path: Path) -> None:
    interrupt(tmp_path)
    manifest = orjson.loads((tmp_path / "manifest.json").read_bytes())
    manifest["stages"]["evolve"]["wall_s"] = 1000.0
    (tmp_path / "manifest.json").write_bytes(orjson.dumps(manifest))
    finish(tmp_path)
    assert 1000 <= read_manifest(tmp_path)["evolve"].wall_s < 1100


def test_a_stage_that_was_stopped_before_its_first_reply_binds_nobody(tmp_path: Path) -> None:
    interrupt(tmp_path, paid={})
    assert finish(tmp_path, digest="other", settings={"rounds": 1}) is True


def grown(folder: Path, stage: str, statuses: list[str]) -> Output:
    """A stage's output of one row a part, as many as there are statuses."""
    output = Output(folder / f"{parts_name(stage)}.parquet", len(statuses), columns=[Column("x", "string")])
    source = Listed([Record(f"s{n}", f"s{n}", n, "a") for n in range(99)], {})
    for place in output.places(output.missing(), source):
        status: Any = statuses[place.position]
        place.record.status = status
        output.add(place, [place.record], lambda tally, row: tally.count(row, "all"))
    return output


def parts_name(stage: str) -> str:
    return {"evolve": "evolved", "score": "scored"}[stage]


def test_a_stage_with_finished_parts_keeps_them_although_it_paid_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring pays for no call; all calls of a stage may be in the store already."""
    monkeypatch.setattr(parts, "PART", 1)
    interrupt(tmp_path, "score", paid={})
    grown(tmp_path, "score", ["ok"] * 3)
    assert len(list(parts_folder(tmp_path / "scored.parquet").iterdir())) == 2
    with RunFolder(tmp_path) as run:
        with pytest.raises(InputError, match="rounds: 3 in the folder, 1 now"):
            begin(run, "score", settings={**SETTINGS, "rounds": 1})
        assert begin(run, "score") is None
    assert len(list(parts_folder(tmp_path / "scored.parquet").iterdir())) == 2


def test_retry_failed_takes_a_finished_stage_apart_and_what_came_after_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", 1)
    with RunFolder(tmp_path) as run:
        begin(run)
        run.start("evolve", {"embedded": "weights 1"})
        tally = grown(tmp_path, "evolve", ["ok", "failed", "ok"]).finish()
        run.finish("evolve", tally.summary(), {}, PAID)
    assert not parts_folder(tmp_path / "evolved.parquet").exists()
    finish(tmp_path, "respond")
    with RunFolder(tmp_path) as run:
        assert begin(run) is not None  # without retry_failed there is nothing to do
        assert begin(run, retry_failed=True) is None
        run.start("evolve", {"embedded": "weights 1"})
    assert sorted(path.stem for path in parts_folder(tmp_path / "evolved.parquet").iterdir()) == ["000000", "000002"]
    stages = read_manifest(tmp_path)
    assert (stages["evolve"].state, stages["respond"].state) == ("running", "stale")


def test_fresh_drops_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 1)
    interrupt(tmp_path)
    grown(tmp_path, "evolve", ["ok"] * 3)
    kept = sorted(parts_folder(tmp_path / "evolved.parquet").iterdir())
    with RunFolder(tmp_path) as run:
        begin(run, fresh=True, settings={**SETTINGS, "rounds": 9})
        assert sorted(parts_folder(tmp_path / "evolved.parquet").iterdir()) == kept  # before it starts nothing changes
        run.start("evolve", {"embedded": "weights 1"})
    assert not parts_folder(tmp_path / "evolved.parquet").exists()


def test_an_interrupted_fresh_goes_on_with_the_same_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 1)
    finish(tmp_path)
    with RunFolder(tmp_path) as run:
        begin(run, fresh=True)
        run.start("evolve", {"embedded": "weights 1"})
        grown(tmp_path, "evolve", ["ok"] * 3)
        run.interrupt("evolve", PAID)
    for _ in range(2):
        with RunFolder(tmp_path) as run:
            assert begin(run, fresh=True) is None
            run.start("evolve", {"embedded": "weights 1"})
        assert len(list(parts_folder(tmp_path / "evolved.parquet").iterdir())) == 2
    with RunFolder(tmp_path) as run:  # with another model behind the name it is made anew
        assert begin(run, fresh=True) is None
        run.start("evolve", {"embedded": "weights 2"})
    assert not parts_folder(tmp_path / "evolved.parquet").exists()
    assert read_manifest(tmp_path)["evolve"].models == {"embedded": "weights 2"}


@pytest.mark.parametrize("options", [{"settings": {**SETTINGS, "rounds": 5}, "fresh": True}, {"fresh": True}])
def test_a_fresh_stage_that_came_to_nothing_leaves_all_as_it_was(tmp_path: Path, options: dict[str, Any]) -> None:
    finish(tmp_path)
    finish(tmp_path, "respond")
    before = read_manifest(tmp_path)
    interrupt(tmp_path, **options)
    assert read_manifest(tmp_path) == before
    assert (finish(tmp_path), finish(tmp_path, "respond")) == (False, False)
    more = {"embedded": {**PAID["embedded"], "calls": 4}}
    interrupt(tmp_path, paid=more, **options)  # it has paid for a call
    after = read_manifest(tmp_path)
    assert (after["evolve"].state, after["evolve"].paid, after["respond"].state) == ("running", more, "stale")


def test_columns_that_came_to_nothing_leave_those_that_are_there(tmp_path: Path) -> None:
    finish(tmp_path, "score")
    before = read_manifest(tmp_path)
    interrupt(tmp_path, "score", settings={**SETTINGS, "more": 1}, adds_to=SETTINGS)
    assert read_manifest(tmp_path) == before
    assert not parts_folder(tmp_path / "scored.parquet").exists()


def test_a_retry_where_nothing_was_run_is_a_wrong_folder(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path) as run,
        pytest.raises(InputError, match=r"--retry-failed: .* holds no evolve with failures"),
    ):
        begin(run, retry_failed=True)


@pytest.mark.parametrize(
    "setting", [{"stop": ("a", "b")}, [("deepening", "1")], {"nested": {"of": [(1, (2.5, None))]}}, float("nan")]
)
def test_what_a_file_gives_back_otherwise_is_no_other_setting(tmp_path: Path, setting: object) -> None:
    """A tuple comes back as a list."""
    settings = {**SETTINGS, "extra_body": setting}
    interrupt(tmp_path, settings=settings)
    assert finish(tmp_path, settings=settings) is True
    assert finish(tmp_path, settings=settings) is False


@pytest.mark.parametrize("setting", ["Be \ud800 brief.", {"top_k": {1, 2}}, {"stop": ["\udfff"]}, 1 << 64])
def test_a_setting_that_cannot_be_written_down_is_refused(tmp_path: Path, setting: object) -> None:
    with RunFolder(tmp_path) as run, pytest.raises(InputError, match="a setting of evolve cannot be written down: "):
        begin(run, settings={**SETTINGS, "system": setting})
    assert not (tmp_path / "manifest.json").exists()


def test_fresh_and_retry_failed_exclude_each_other(tmp_path: Path) -> None:
    finish(tmp_path)
    with RunFolder(tmp_path) as run, pytest.raises(InputError, match="--fresh and --retry-failed exclude each other"):
        begin(run, fresh=True, retry_failed=True)


def test_a_second_process_is_locked_out_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from evolvent.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    assert in_use(tmp_path)
    with pytest.raises(InputError, match=f"in use by another process .pid {process.pid}"), RunFolder(tmp_path):
        pass
    process.kill()
    process.wait()
    assert not in_use(tmp_path)
    with RunFolder(tmp_path) as run:
        assert run.stages == {}


def test_looking_does_not_take_the_lock(tmp_path: Path) -> None:
    assert not in_use(tmp_path)
    with RunFolder(tmp_path):
        assert in_use(tmp_path)
    assert not in_use(tmp_path)
    with RunFolder(tmp_path):
        pass


def test_one_that_only_looks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the lock for a moment, which the one that opens waits for; two that look do not see each other."""
    with RunFolder(tmp_path):
        pass
    looking = (tmp_path / ".lock").open()
    fcntl.flock(looking, fcntl.LOCK_SH)
    assert not in_use(tmp_path)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            looking.close()

    monkeypatch.setattr(folder.time, "sleep", wait)
    with RunFolder(tmp_path):
        assert in_use(tmp_path)
    assert len(waits) == 2


def test_a_lock_that_stays_is_waited_for_no_longer_than_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(folder.time, "sleep", waits.append)
    with RunFolder(tmp_path), pytest.raises(InputError, match="in use by another process"), RunFolder(tmp_path):
        pass
    assert sum(waits) < 0.5


@pytest.mark.parametrize("remake", [False, True])
@pytest.mark.parametrize("end", ["finish", "interrupt", "start"])
def test_the_manifest_is_not_written_into_a_folder_that_is_another(tmp_path: Path, remake: bool, end: str) -> None:
    out = tmp_path / "run"
    with RunFolder(out) as run:
        begin(run)
        if end != "start":
            run.start("evolve", {})
        shutil.rmtree(out)
        out.mkdir()
        if remake:
            with RunFolder(out):
                pass
        (out / "evolved.parquet").write_text("another's")
        before = sorted(out.iterdir())
        with pytest.raises(RunError, match="run went away while it was being used\nStart the same command again"):
            if end == "start":
                run.start("evolve", {})
            elif end == "finish":
                run.finish("evolve", {}, {}, PAID)
            else:
                run.interrupt("evolve", PAID)
        assert sorted(out.iterdir()) == before


@pytest.mark.parametrize("content", ["", "{}", '{"stages": {"evolve": 3}}', '{"stages": {"evolve": {"a": 1}}}', "[]"])
def test_a_broken_manifest_is_named_and_leaves_no_lock(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    for _ in range(2):
        with pytest.raises(InputError, match=r"manifest\.json is not a manifest"), RunFolder(tmp_path):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_out_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is a file"), RunFolder(tmp_path / "out"):
        pass


def test_only_what_reads_a_changed_file_goes_stale(tmp_path: Path) -> None:
    finish(tmp_path, "respond", elsewhere=True)
    finish(tmp_path, "score")
    finish(tmp_path)  # evolve's first run in this folder: nothing here was made of it
    assert {name: entry.state for name, entry in read_manifest(tmp_path).items()} == dict.fromkeys(
        ("evolve", "respond", "score"), "done"
    )
    finish(tmp_path, "respond", elsewhere=True, fresh=True)
    assert {name: entry.state for name, entry in read_manifest(tmp_path).items()} == {
        "evolve": "done",
        "respond": "done",
        "score": "stale",
    }


def test_a_stage_that_is_done_at_once_is_noted_and_goes_stale_like_any_other(tmp_path: Path) -> None:
    finish(tmp_path, "respond", elsewhere=True)
    finish(tmp_path, "score")
    with RunFolder(tmp_path) as run:
        (tmp_path / "train.jsonl").write_text("rows")
        run.note("select:train.jsonl", {"by": "ifd"}, {"digest": "x", "stage": "score"}, {}, tmp_path / "train.jsonl")
    assert read_manifest(tmp_path)["select:train.jsonl"].output["name"] == "train.jsonl"
    assert list(read_manifest(tmp_path)) == ["respond", "score", "select:train.jsonl"]
    finish(tmp_path, "respond", elsewhere=True, fresh=True)
    assert [entry.state for entry in read_manifest(tmp_path).values()] == ["done", "stale", "stale"]


def test_parts_of_other_package_versions_are_named_and_the_user_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", 1)
    now = {"python": "3.11", "evolvent": "0.1.0", "transformers": "5.22.0"}
    monkeypatch.setattr(folder, "versions", lambda: dict(now))
    interrupt(tmp_path)
    now["transformers"] = "5.23.0"
    with RunFolder(tmp_path) as run:
        assert begin(run) is None  # nothing is made yet that could be mixed
    with pytest.raises(RuntimeError, match="stopped"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Output, "finish", lambda _: (_ for _ in ()).throw(RuntimeError("stopped")))
        grown(tmp_path, "evolve", ["ok"] * 3).finish()
    with RunFolder(tmp_path) as run:
        with pytest.raises(InputError, match=r"transformers: 5\.22\.0 then, 5\.23\.0 now") as caught:
            begin(run)
        assert "--mix-versions" in caught.value.fix
        assert begin(run, mix_versions=True) is None
        run.start("evolve", {"embedded": "weights 1"})
    assert read_manifest(tmp_path)["evolve"].versions["transformers"] == "5.22.0 and 5.23.0"
    with RunFolder(tmp_path) as run:
        assert begin(run) is None


def test_parts_that_a_kill_left_of_a_finished_stage_go(tmp_path: Path) -> None:
    finish(tmp_path)
    parts_folder(tmp_path / "evolved.parquet").mkdir()
    assert finish(tmp_path) is False
    assert not parts_folder(tmp_path / "evolved.parquet").exists()


def test_versions_are_those_of_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of a start that made nothing; and a stage that went stale on its way is checked like any other."""
    monkeypatch.setattr(parts, "PART", 1)
    now = {"transformers": "1"}
    monkeypatch.setattr(folder, "versions", lambda: dict(now))
    interrupt(tmp_path)
    now["transformers"] = "2"
    interrupt(tmp_path)
    with pytest.raises(RuntimeError, match="stopped"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Output, "finish", lambda _: (_ for _ in ()).throw(RuntimeError("stopped")))
        grown(tmp_path, "evolve", ["ok"] * 3).finish()
    entries = read_manifest(tmp_path)
    assert entries["evolve"].versions == {"transformers": "2"}
    entries["evolve"].state = "stale"
    write_manifest(tmp_path, entries)
    now["transformers"] = "3"
    with RunFolder(tmp_path) as run, pytest.raises(InputError, match="transformers: 2 then, 3 now"):
        begin(run)


def test_a_stage_may_write_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evolvent import stages

    monkeypatch.setitem(stages.STAGES, "train", stages.StageRow(("select",), "student/", "evolvent train"))
    with RunFolder(tmp_path) as run:
        begin(run, "train")
        run.start("train", {})
        student = run.output("train")
        student.mkdir()
        (student / "weights").write_bytes(b"w")
        done = run.finish("train", {}, {}, {})
    assert done.output == tmp_path / "student"
    first = read_manifest(tmp_path)["train"].output
    with RunFolder(tmp_path) as run:
        assert begin(run, "train") is not None
        assert begin(run, "train", fresh=True) is None
        run.start("train", {})
        assert not student.exists()
        student.mkdir()
        (student / "weights").write_bytes(b"v")
        run.finish("train", {}, {}, {})
    second = read_manifest(tmp_path)["train"].output
    assert (first["name"], second["name"]) == ("student/", "student/")
    assert first["digest"] != second["digest"]


@pytest.mark.parametrize("content", [b"", b"ro", b"rows, edited", b"PAR1"])
@pytest.mark.parametrize("options", [{}, {"retry_failed": True}, {"settings": {**SETTINGS, "rounds": 9}}])
def test_a_finished_file_that_is_not_as_it_was_written_is_made_anew_if_it_is_asked_for(
    tmp_path: Path, content: bytes, options: dict[str, Any]
) -> None:
    """It may be damaged, or the user's own work: nobody writes over it unasked."""
    finish(tmp_path)
    path = tmp_path / "evolved.parquet"
    path.write_bytes(content)
    with RunFolder(tmp_path) as run, pytest.raises(InputError, match=r"is not as the stage wrote it.*\n.*--fresh"):
        begin(run, **options)
    assert path.read_bytes() == content
    assert finish(tmp_path, fresh=True)
    assert path.read_bytes() == b"rows"


def test_a_folder_that_was_refused_is_left_as_it_was(tmp_path: Path) -> None:
    for new in ("new", "of/several/new"):
        with pytest.raises(InputError, match="holds no evolve with failures"), RunFolder(tmp_path / new) as run:
            begin(run, retry_failed=True)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError), RunFolder(tmp_path / "there") as run:
        begin(run, retry_failed=True)
    assert list((tmp_path / "there").iterdir()) == []
    interrupt(tmp_path / "there")
    with pytest.raises(InputError, match="other settings"), RunFolder(tmp_path / "there") as run:
        begin(run, settings={"rounds": 9})
    assert (tmp_path / "there" / "manifest.json").is_file()
