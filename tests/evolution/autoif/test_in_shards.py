"""AutoIF in shards: stage after stage, and all its files are those of one machine."""

from pathlib import Path

import pytest

from evolvent.errors import InputError
from evolvent.merge_run import merge
from evolvent.runs import parts
from evolvent.runs.manifest import read_manifest
from tests.evolution.autoif.test_autoif import JUDGE, TEACHER, made, models  # noqa: F401
from tests.sandbox.wall import needs_wall
from tests.scripted import Opened

FILES = ("instructions.parquet", "evolved.parquet", "functions.jsonl", "responses.parquet", "sft.jsonl", "dpo.jsonl")


@needs_wall
def test_all_files_are_those_of_one_machine(
    tmp_path: Path,
    models: Opened,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "PART", 1)
    how = {"teacher": TEACHER, "judge": JUDGE, "samples": 2, "rule": {"prompts": 1, "queries": 2, "responses": 2}}
    one, many = tmp_path / "one", tmp_path / "many"
    made(tmp_path, out=one, **how)
    for stage in ("self-instruct", "evolve", "respond"):
        for number in (2, 1):
            done = made(tmp_path, out=many, shard=f"{number}/2", **how)
            assert (done.stage, done.path) == (stage, many / "shards" / f"{number}-of-2")
        assert [run.stage for run in merge(many) if not run.already_done] == [stage]
    for name in FILES:
        assert (many / name).read_bytes() == (one / name).read_bytes(), name
    alone, merged = read_manifest(one), read_manifest(many)
    for stage, entry in alone.items():
        assert merged[stage].counts == entry.counts
        assert (merged[stage].paid, merged[stage].used) == (entry.paid, entry.used)
    assert made(tmp_path, out=many, shard="1/2", **how).path == many
    assert made(tmp_path, out=many, **how).already_done


def test_no_shard_is_made_afresh(tmp_path: Path) -> None:
    """It would be that of the first stage each time."""
    with pytest.raises(InputError, match="AutoIF has several stages"):
        made(tmp_path, out=tmp_path / "run", shard="1/2", fresh=True)
