import subprocess
import sys
from pathlib import Path

import pytest

from evolvent.errors import InputError
from evolvent.runs.folder import RunFolder
from evolvent.runs.manifest import read_manifest
from evolvent.runs.stored import Tally

SETTINGS = {"rounds": 3, "model": "embedded"}
SOURCE = {"source": "seeds.jsonl", "digest": "abc", "rows": 2}


def finish(folder: Path, stage: str = "evolve", digest: str = "abc", fresh: bool = False) -> bool:
    """Begin and finish a stage; whether there was anything to do."""
    with RunFolder(folder) as run:
        if run.begin(stage, SETTINGS, {**SOURCE, "digest": digest}, fresh=fresh):
            return False
        run.output(stage).write_text("rows")
        run.finish(stage, {"ok": 2}, {"embedded": Tally(made=3, reused=1)})
    return True


def test_the_same_again_is_nothing_to_do(tmp_path: Path) -> None:
    assert finish(tmp_path / "run") is True
    assert finish(tmp_path / "run") is False
    entry = read_manifest(tmp_path / "run")["evolve"]
    assert (entry.state, entry.counts, entry.usage["embedded"]["calls_made"]) == ("done", {"ok": 2}, 3)


def test_a_lost_output_is_made_again(tmp_path: Path) -> None:
    finish(tmp_path)
    (tmp_path / "evolved.parquet").unlink()
    assert finish(tmp_path) is True


@pytest.mark.parametrize(
    ("settings", "digest", "words"),
    [
        ({**SETTINGS, "rounds": 2}, "abc", "rounds: 3 in the folder, 2 now"),
        ({"model": "embedded"}, "abc", "rounds: 3 in the folder, None now"),
        (SETTINGS, "other", r"input: other content than seeds\.jsonl had"),
    ],
)
def test_another_recipe_is_refused_with_the_difference(
    tmp_path: Path, settings: dict[str, object], digest: str, words: str
) -> None:
    finish(tmp_path)
    with RunFolder(tmp_path) as run, pytest.raises(InputError, match=words):
        run.begin("evolve", settings, {**SOURCE, "digest": digest}, fresh=False)
    assert (tmp_path / "evolved.parquet").is_file()


def test_fresh_makes_anew_and_marks_what_came_after_as_stale(tmp_path: Path) -> None:
    finish(tmp_path)
    finish(tmp_path, "respond", "first")
    assert finish(tmp_path, fresh=True) is True
    assert read_manifest(tmp_path)["respond"].state == "stale"
    assert finish(tmp_path, "respond", "first") is False
    assert read_manifest(tmp_path)["respond"].state == "done"


def test_a_stale_stage_with_a_changed_input_is_refused(tmp_path: Path) -> None:
    finish(tmp_path)
    finish(tmp_path, "respond", "first")
    finish(tmp_path, fresh=True)
    with pytest.raises(InputError, match="other content"):
        finish(tmp_path, "respond", "second")


def test_an_interrupted_stage_goes_on_with_the_same_model_only(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        run.begin("evolve", SETTINGS, SOURCE, fresh=False)
        run.check_models("evolve", {"hf:m": "weights 1"})
        run.interrupt("evolve", {"hf:m": Tally(made=5)})
    with RunFolder(tmp_path) as run:
        assert run.begin("evolve", SETTINGS, SOURCE, fresh=False) is None
        run.check_models("evolve", {"hf:m": "weights 1"})
        with pytest.raises(InputError, match="hf:m"):
            run.check_models("evolve", {"hf:m": "weights 2"})
        run.output("evolve").write_text("rows")
        run.finish("evolve", {}, {"hf:m": Tally(made=2, reused=5)})
    assert read_manifest(tmp_path)["evolve"].usage["hf:m"]["calls_made"] == 7


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
    with pytest.raises(InputError, match=f"in use by another process .pid {process.pid}"), RunFolder(tmp_path):
        pass
    process.kill()
    process.wait()
    with RunFolder(tmp_path) as run:
        assert run.stages == {}


@pytest.mark.parametrize("content", ["", "{}", '{"stages": {"evolve": 3}}', '{"stages": {"evolve": {"a": 1}}}', "[]"])
def test_a_broken_manifest_is_named_and_leaves_no_lock(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    for _ in range(2):
        with pytest.raises(InputError, match=r"manifest\.json is not a manifest"), RunFolder(tmp_path):
            pass


def test_out_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is a file"), RunFolder(tmp_path / "out"):
        pass
