"""Any file that a stage wrote is DATA for any stage: taken, or refused with what it is before anything is paid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolvent.demo import SEEDS
from evolvent.errors import InputError, RunError
from evolvent.evolution.evolve import evolve
from evolvent.metrics.score import score
from evolvent.responses.respond import respond
from evolvent.selection.select import select

pytest.importorskip("torch")
pytest.importorskip("transformers")

FILES = ("evolved.parquet", "responses.parquet", "scored.parquet", "selected.jsonl", "selected.jsonl.selection.json")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("any") / "run"
    evolve(SEEDS, model="embedded", out=out, rounds=1, limit=4, max_tokens=128)
    respond(out, teacher="embedded", out=out, max_tokens=32)
    score(out, base_model="embedded-base", out=out)
    select(out, by="ifd", top="100%", out=out / "selected.jsonl")
    return out


STAGES: dict[str, Callable[..., Any]] = {
    "evolve": lambda data, out: evolve(data, model="embedded", out=out, rounds=1, max_tokens=128),
    "respond": lambda data, out: respond(data, teacher="embedded", out=out, max_tokens=16),
    "score": lambda data, out: score(data, base_model="embedded-base", out=out),
    "select": lambda data, out: select(data, by="seed_index", top="100%", out=out.with_suffix(".jsonl")),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", FILES)
def test_any_stage_takes_any_stages_file(run: Path, tmp_path: Path, stage: str, name: str) -> None:
    if name.endswith("selection.json"):
        with pytest.raises(InputError, match="select"):
            STAGES[stage](run / name, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return
    if (name, stage) == ("evolved.parquet", "score"):
        with pytest.raises(RunError, match=r"no row has a value of ifd and ic_ifd .*empty output"):
            STAGES[stage](run / name, tmp_path / "out")
        return
    done = STAGES[stage](run / name, tmp_path / "out")
    assert done.counts.get("ok") or done.counts.get("selected")


def test_answers_to_scored_rows_have_no_scores_of_other_answers(run: Path, tmp_path: Path) -> None:
    [first, *_] = respond(run / "scored.parquet", teacher="embedded", out=tmp_path / "out", max_tokens=16)
    assert first.scores == {}
