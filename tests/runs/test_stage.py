"""A stage is plain data: any part of it can be made on its own, by whoever is sent the stage."""

import pickle
import random
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from evolvent.call_store.store import CallStore
from evolvent.call_store.stored import StoredModels
from evolvent.evolution.evolve import evolve_stage, read_seeds
from evolvent.evolution.options import EvolInstructOptions, Evolve
from evolvent.models.models import Models, Need
from evolvent.options import Calling, Reading
from evolvent.responses.options import Respond
from evolvent.responses.respond import respond_stage
from evolvent.runs.local import make_parts, run
from evolvent.runs.parts import Output, parts_folder
from evolvent.runs.stage import Stage, Work, no_trial, notes_of
from tests.runs.staged import EVOLVER, TEACHER, write_seeds
from tests.scripted import Opened


def make_part(stage: Stage, number: int, folder: Path) -> Path:
    """What a worker on another machine would do with a stage and a number: a store and a folder of its own."""
    folder.mkdir()
    output = Output(folder / "rows.parquet", stage.source.rows, columns=stage.columns)

    async def make() -> None:
        opened = {need: models.open(need) for need in stage.needs}
        with closing(CallStore(folder / "calls.sqlite")) as store:
            async with cast(Work, stage.work).open(StoredModels(opened, store, stage.name)) as made:
                await make_parts(stage, made, output, [number], 3, lambda **_: None)

    with Models() as models:
        models.run(make())
    return parts_folder(output.path) / f"{number:06}.parquet"


def stages(tmp_path: Path) -> list[Stage]:
    seeds, out = write_seeds(tmp_path, range(11)), tmp_path / "whole"
    given = Evolve(model=EVOLVER, out=out)
    source = read_seeds(seeds, given, Reading())
    evolving = evolve_stage(source, given, EvolInstructOptions(rounds=2), Calling(concurrency=3))
    with Models() as models:
        evolved = run(evolving, out, models, Calling())
    answering = respond_stage(evolved, Respond(teacher=(TEACHER,), out=out), Reading(limit=14), Calling(concurrency=3))
    return [evolving, answering]


def test_parts_made_apart_in_any_order_are_those_of_one_run(tmp_path: Path, models: Opened) -> None:
    for number, stage in enumerate(stages(tmp_path)):
        sent = pickle.dumps(stage)
        with Models() as opened:
            whole = run(stage, tmp_path / f"run{number}", opened, Calling()).output.read_bytes()
        output = Output(tmp_path / f"joined{number}.parquet", stage.source.rows, columns=stage.columns)
        parts = output.missing()
        assert len(parts) in (3, 4)
        for part in random.Random(number).sample(parts, len(parts)):
            made = make_part(pickle.loads(sent), part, tmp_path / f"part{number}-{part}")
            shutil.move(made, parts_folder(output.path))
        joined = Output(output.path, stage.source.rows, columns=stage.columns)
        assert joined.missing() == []
        joined.finish()
        assert joined.path.read_bytes() == whole


def plain(stage: Stage) -> Stage:
    """A stage without what compares by what it is bound to: methods of the work."""
    return replace(stage, source=None, trial=no_trial, notes=notes_of)  # type: ignore[arg-type]


def test_a_stage_holds_nothing_that_is_open(tmp_path: Path, models: Opened) -> None:
    """Sent to another process it is the same stage."""
    for stage in stages(tmp_path):
        sent: Any = pickle.loads(pickle.dumps(stage))
        assert plain(sent) == plain(stage)
        assert list(sent.source) == list(stage.source)


def test_models_are_opened_once_and_closed_once_whatever_fails(tmp_path: Path, models: Opened) -> None:
    stage = stages(tmp_path)[0]
    models.how.clear()
    models[EVOLVER].reply = lambda *_: (_ for _ in ()).throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"), Models() as opened:
        for out in ("a", "b"):
            with pytest.raises(RuntimeError, match="broken"):
                run(stage, tmp_path / out, opened, Calling())
            assert not models[EVOLVER].closed
        raise RuntimeError("broken")
    assert [uri for uri, _ in models.how] == [EVOLVER]
    assert models[EVOLVER].closed


def test_a_model_that_does_not_close_keeps_no_other_open(models: Opened) -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    opened = Models()
    for uri in (EVOLVER, TEACHER):
        opened.open(Need("chat", uri))
    models[EVOLVER].close = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="broken"):
        opened.close()
    assert models[TEACHER].closed
    opened.close()


def test_a_stage_whose_second_model_cannot_be_opened_closes_the_first(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolvent.errors import ModelUnavailableError
    from evolvent.responses.respond import respond

    opened = models.open_chat

    def second_is_gone(uri: str, **how: Any) -> Any:
        if uri != TEACHER:
            raise ModelUnavailableError("no such model")
        return opened(uri, **how)

    monkeypatch.setattr("evolvent.models.models.open_chat", second_is_gone)
    with pytest.raises(ModelUnavailableError):
        respond([{"instruction": "Sing"}], teacher=[TEACHER, EVOLVER], out=tmp_path / "run")
    assert models[TEACHER].closed
