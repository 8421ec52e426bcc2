"""The students of a trial: each trained, evaluated and measured on held-out rows in a folder of its own."""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolvent.errors import EvolventError, InputError, require_extra
from evolvent.evaluation.evaluate import evaluate
from evolvent.evaluation.figures import task_of
from evolvent.evaluation.task import Measure
from evolvent.evaluation.tasks import TASKS
from evolvent.metrics.options import SCORE
from evolvent.metrics.score import own_columns, score
from evolvent.models.models import Models
from evolvent.options import collect
from evolvent.ranking.candidates import folder_name
from evolvent.ranking.options import Trial
from evolvent.ranking.sufficiency import STEPS, too_few
from evolvent.records import Record
from evolvent.runs.record_files import read_records
from evolvent.training.train import AnotherTrainingError, train

PRESET = "trial"
LOSS = "response_loss"
# Options of train and evaluate that a trial has, by other names.
RENAMED = re.compile(r"--(data|limit|lora|set|tasks)\b")
EXTRAS = {"torch": "train", "transformers": "train", "trl": "train", "peft": "train", "lm_eval": "evaluate"}


@dataclass(frozen=True, slots=True)
class Student:
    """What was found of a student.

    Attributes:
        curve: its training loss, step by step.
        scores: by task what it scores on each item, of shape [items]; NaN where there is no verdict.
        units: by task for each item what it stands or falls with, and its kind, where kinds weigh the same.
        losses: of the held-out rows, in nats a token, of shape [rows]; NaN where there is none.
        new: whether it was made now; else all of it was there.
    """

    curve: Sequence[float]
    scores: Mapping[str, np.ndarray]
    units: Mapping[str, Sequence[tuple[str, str]]]
    losses: np.ndarray
    new: bool = True


def scored_by(task: str) -> list[Measure]:
    """The figures of a task that take each item as a whole, the strictest first; an item may have a part of them."""
    return [one for one in TASKS[task].measures if one.of is None]


def score_of(row: Record) -> float:
    """What an item's row counts for a trial: the most lenient of these that it has; NaN where it has no verdict."""
    found = [row.scores.get(one.column) for one in scored_by(task_of(row))]
    return next((float(one) for one in reversed(found) if isinstance(one, int | float)), float("nan"))


def unit_of(row: Record) -> tuple[str, str]:
    """What an item's row stands or falls with, and its kind, as the figure has it that counts (``score_of``)."""
    measure = scored_by(task_of(row))[-1]
    cluster, kind = (row.scores.get(name) if name else None for name in (measure.cluster, measure.groups))
    return str(cluster or row.id), str(kind or "")


@contextmanager
def _options_of_a_trial() -> Iterator[None]:
    """Errors of training and evaluation name their options as a ranking calls them."""
    try:
        yield
    except EvolventError as error:
        error.message, error.fix = (RENAMED.sub(r"--trial-\1", text) for text in (error.message, error.fix))
        raise


@_options_of_a_trial()
def check_trial(given: Trial, base_models: Sequence[str], judge: str | None) -> dict[str, Any]:
    """Check, before anything is called, that students can be trained and evaluated.

    Returns:
        What a plan says of it.

    Raises:
        InputError: an extra, a chat template, the data of a task or the judge that it needs is not there.
        ModelUnavailableError: a base model cannot be found.
    """
    for module, extra in EXTRAS.items():
        require_extra(module, extra)
    from evolvent.evaluation import harness
    from evolvent.training.base_model import find_base
    from evolvent.training.order import steps_of
    from evolvent.training.settings import as_noted, settings_of

    settings, lora = settings_of("sft", PRESET, given.trial_lora, given.trial_set)
    for task in given.trial_tasks:
        if TASKS[task].judged and judge is None:
            raise InputError(f"{task} needs a model that judges", fix="Name one: --judge URI.")
    items = {}
    for name in given.trial_tasks:
        ids = [f"{one.id} {one.meta}" for one in harness.items(name, given.trial_data, given.trial_limit)]
        if len(ids) < 2:
            raise InputError(f"task {name} has fewer than two items", fix="Name another --trial-data, or another task.")
        items[name] = {"count": len(ids), "digest": hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]}
    steps = steps_of(given.trial_rows, settings.num_train_epochs, settings.batch_size)
    if steps < STEPS:
        raise InputError(too_few(steps), fix="--trial-set num_train_epochs=N or batch_size=N makes more of them.")
    folders = {uri: folder_name(uri) for uri in base_models}
    if len(set(folders.values())) < len(folders):
        raise InputError(
            f"the students of these base models would have one folder: {', '.join(folders)}",
            fix="Rank by each in an --out of its own.",
        )
    return {
        "base_models": {uri: find_base(uri, None).mark for uri in base_models},
        "items": items,
        "scored_by": {name: [one.name for one in scored_by(name)] for name in given.trial_tasks},
        "rows": given.trial_rows,
        "seeds": given.trial_seeds,
        "training": as_noted(settings, lora, "sft"),
    }


def base_losses(base_model: str, held_out: Path, folder: Path, **calls: Any) -> np.ndarray:
    """The base model's losses of the held-out rows, as ``Student.losses``."""
    with Models() as models:
        return losses_of(held_out, base_model, folder, models, calls)


@_options_of_a_trial()
def student(
    rows: Path,
    held_out: Path,
    folder: Path,
    base_model: str,
    given: Trial,
    *,
    seed: int,
    judge: str | None,
    **calls: Any,
) -> Student:
    """Train a student, evaluate it and measure its losses; what of that is done already is not done again.

    Args:
        rows: what it is trained on.
        held_out: rows that no student is trained on.
        folder: its run folder.
        base_model: what it is made of.
        given: the trial.
        seed: of its training.
        judge: of tasks that need one.
        calls: how calls are made.
    """
    how = {"base_model": base_model, "out": folder / "student", "preset": PRESET, "seed": seed}
    how |= {"set": given.trial_set, "lora": given.trial_lora, "progress": False}
    try:
        trained = train(rows, **how)
    except AnotherTrainingError:  # planned anew, or candidates came or went: nothing here is of this trial
        _remove(folder)
        trained = train(rows, **how)
    uri = f"hf:{trained.path}"
    asked = {"tasks": given.trial_tasks, "data": given.trial_data, "limit": given.trial_limit, "judge": judge}
    with Models() as models:
        done = evaluate(uri, **asked, out=folder, **calls, models=models).stages["evaluate"]
        losses = losses_of(held_out, uri, folder, models, calls)
    judged: dict[str, list[Record]] = {name: [] for name in given.trial_tasks}
    for row in read_records(done.output):
        judged[task_of(row)].append(row)
    curve = [loss for _, loss in trained.loss]
    scores = {name: np.array([score_of(row) for row in of]) for name, of in judged.items()}
    units = {name: [unit_of(row) for row in of] for name, of in judged.items()}
    return Student(curve, scores, units, losses, new=not (trained.already_done and done.already_done))


def losses_of(held_out: Path, uri: str, folder: Path, models: Models, calls: Mapping[str, Any]) -> np.ndarray:
    """A model's losses of the held-out rows, in its chat template; NaN for a row without one."""
    how = {"base_model": uri, "metrics": ("grape",), "layout": "chat", "out": folder}
    try:
        done = score(held_out, **how, **calls, models=models)
    except InputError:  # other rows were held out before; what cannot be scored at all is refused again
        done = score(held_out, **how, **{**calls, "fresh": True}, models=models)
    asked, _, called = collect(SCORE, {**how, **calls})
    column = own_columns(folder, asked, called)[
        LOSS
    ]  # beside it another model's may stand, or what this one gave before
    found = [row.scores.get(column) for row in read_records(done.output)]
    return np.array([float("nan") if one is None else float(one) for one in found])


def _remove(folder: Path) -> None:
    """Remove a student's folder, as a whole or not at all."""
    old = folder.with_name(f".old-{folder.name}")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    shutil.rmtree(old)
