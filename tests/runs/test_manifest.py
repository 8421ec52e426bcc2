"""A manifest that was edited by hand: what is of another type in it is named, whoever reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.report.contents import contents
from evolvent.runs.folder import RunFolder
from evolvent.runs.inputs import stage_input
from evolvent.runs.manifest import StageEntry, read_manifest, write_manifest

ACCOUNT = {"calls": 1, "prompt_tokens": 2, "completion_tokens": 3, "estimated": False}
ENTRY = StageEntry(
    {"rounds": 1},
    {"digest": "d", "rows": 2},
    state="done",
    models={"m": "{}"},
    served={"m": [["a", None]]},
    counts={"ok": 2, "groups": {"round 1": {"ok": 2}}, "notes": {"cut": 1}},
    paid={"m": ACCOUNT},
    used={"m": ACCOUNT},
    wall_s=1,
)


def put(path: Path, *keys: str, value: object) -> None:
    content = json.loads(path.read_text())
    place: Any = content["stages"]["evolve"]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (("state",), 5, "state of evolve is '5'"),
        (("state",), "finished", "state of evolve is 'finished'"),
        (("counts",), [1], "counts of evolve is "),
        (("counts", "groups"), ["a"], "groups of evolve is "),
        (("counts", "groups", "round 1"), 3, "groups of evolve is "),
        (("counts", "notes"), {"cut": "many"}, "notes of evolve is "),
        (("settings",), None, "settings of evolve is 'None'"),
        (("input",), "seeds.jsonl", "input of evolve is "),
        (("input",), {"rows": 2}, "digest of evolve is 'None'"),
        (("models",), {"m": 3}, "models of evolve is "),
        (("served",), {"m": ["a"]}, "served of evolve is "),
        (("paid", "m"), 3, "paid of evolve is "),
        (("paid", "m", "calls"), "1", "calls of evolve is '1'"),
        (("used", "m", "completion_tokens"), None, "completion_tokens of evolve is 'None'"),
        (("output",), [], "output of evolve is "),
        (("wall_s",), "long", "wall_s of evolve is 'long'"),
        (("finished",), 2026, "finished of evolve is '2026'"),
        (("versions",), {"torch": 2}, "versions of evolve is "),
        (("further",), 1, "it is of another form"),
    ],
)
def test_what_is_of_another_type_is_named(tmp_path: Path, keys: tuple[str, ...], value: object, words: str) -> None:
    write_manifest(tmp_path, {"evolve": ENTRY})
    assert read_manifest(tmp_path) == {"evolve": ENTRY}
    put(tmp_path / "manifest.json", *keys, value=value)
    reading: list[Callable[[Path], object]] = [read_manifest, contents, lambda run: RunFolder(run).__enter__()]
    (tmp_path / "evolved.parquet").touch()
    for read in [*reading, lambda run: stage_input(run, before="evolve")]:
        with pytest.raises(InputError, match=rf"manifest\.json is not a manifest of evolvent: {words}") as error:
            read(tmp_path)
        assert error.value.fix == "Restore it, or use another --out."
