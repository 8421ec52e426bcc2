"""A trial: students of every candidate are trained, and what they score puts the candidates in order."""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evolvent.datasets.training_examples import example_of
from evolvent.errors import BudgetReachedError, EvolventError, RunError
from evolvent.interrupts import Interrupted
from evolvent.ranking.candidates import TRIAL, Candidates
from evolvent.ranking.figures import RankedBy
from evolvent.ranking.options import Trial
from evolvent.ranking.order import Order, trial_order
from evolvent.ranking.result import Tried
from evolvent.ranking.sample import write_sample
from evolvent.ranking.setup import Setup
from evolvent.ranking.students import PRESET, Student, base_losses, student
from evolvent.ranking.sufficiency import Learned, learned
from evolvent.ranking.training_seeds import SeedAgreement, between_seeds
from evolvent.ranking.trial_rows import TrialRows, trial_rows
from evolvent.records import Record
from evolvent.runs.inputs import Data, Wanted, stage_input
from evolvent.runs.progress import say, time_words
from evolvent.stages import read_by
from evolvent.training.order import steps_of
from evolvent.training.settings import Settings, settings_of


def chosen_rows(pairs: Mapping[str, Data], setup: Setup) -> TrialRows:
    """Choose the rows of a trial, and write them beside each candidate's."""
    answered = {name: _trainable(data) for name, data in pairs.items()}
    rows = trial_rows(answered, setup.seeds, setup.trial.trial_rows, setup.given.seed)
    for name, of in rows.trained.items():
        write_sample(of, _rows_file(setup.candidates.folders[name]))
    if rows.held_out:
        write_sample(rows.held_out, _held_out_file(setup.given.out))
    return rows


def _trainable(data: Data) -> list[Record]:
    """The rows of a candidate that can be trained on."""
    source = stage_input(data, before=read_by("score"), wanted=Wanted())
    return [record for record in source if not isinstance(example_of(record, preference=False), str)]


def _rows_file(folder: Path) -> Path:
    return folder / TRIAL / "rows.jsonl"


def _held_out_file(out: Path) -> Path:
    return out / TRIAL / "held_out.jsonl"


def tried(base_model: str, rows: TrialRows, setup: Setup) -> tuple[list[Order], Tried]:
    """Train and evaluate the students of one base model, seed by seed; those that are there already are not made again.

    Returns:
        The candidates' order by each task, those left out whose students did not learn; and what else there is to say.

    Raises:
        BudgetReachedError: the budget is spent.
    """
    given, trial = setup.given, setup.trial
    trying = Candidates({name: setup.candidates.folders[name] for name in rows.trained})
    lacking, found = dict(rows.lacking), dict[str, list[Student]]()
    place, held_out = Path(TRIAL) / re.sub(r"[^\w.#-]", "_", base_model), _held_out_file(given.out)
    tell = say if setup.calling.progress is not False else _nothing

    def calls(folder: Path) -> dict[str, Any]:
        return {**setup.calls(folder), "progress": False, "show": 0}

    size, count = len(next(iter(rows.trained.values()), ())), len(rows.trained) * trial.trial_seeds
    settings, _ = settings_of("sft", PRESET, trial.trial_lora, trial.trial_set)
    steps = steps_of(max(1, size), settings.num_train_epochs, settings.batch_size)
    began, before, known = time.monotonic(), np.empty(0), (given.out / place).exists()
    try:
        if rows.held_out:
            before = base_losses(base_model, held_out, given.out / place, **calls(given.out))
    except (BudgetReachedError, Interrupted):
        raise
    except EvolventError as error:
        none = dict.fromkeys(rows.trained, error.message)
        return compared({}, before, rows, {**lacking, **none}, trial, seed=given.seed)
    of = f"{len(rows.trained)} candidates x {trial.trial_seeds} seeds, {size:,} rows and {steps:,} steps each"
    tell(f"trial: {count} students of {base_model}: {of}{'' if known else _pace(began, before, steps, settings)}")
    done, longest = 0, 0.0

    def make(name: str, folder: Path, number: int) -> None:
        nonlocal done, longest
        began = time.monotonic()
        where, of_seed = folder / place / f"seed-{number}", given.seed + number
        how = {"seed": of_seed, "judge": given.judge, **calls(folder)}
        one = student(_rows_file(folder), held_out, where, base_model, trial, **how)
        found.setdefault(name, []).append(one)
        done, longest = done + 1, max(longest, time.monotonic() - began)
        scores = ", ".join(f"{task} {of[np.isfinite(of)].mean():.3f}" for task, of in one.scores.items())
        left = time_words(longest * (count - done))
        tell(f"trial: student {done} of {count}: {folder.name}, seed {of_seed}: {scores}; {left} left")

    with suppress(RunError):  # none got through: each has its reason
        for number in range(trial.trial_seeds if trying.folders else 0):
            trying.each(partial(make, number=number))
    lacking |= trying.ended
    students = {name: of for name, of in found.items() if name not in lacking}
    return compared(students, before, rows, lacking, trial, seed=given.seed)


def _pace(began: float, losses: np.ndarray, steps: int, settings: Settings) -> str:
    """About how long a training takes, by how long the base model took for the losses of the held-out rows.

    It read each twice; a row that is trained on is read once, and back, which takes twice as long.
    """
    each = (time.monotonic() - began) / (2 * max(1, len(losses))) * 3 * steps * settings.batch_size
    return f"; about {time_words(each)} of training each, by the pace of the base model's losses, then their evaluation"


def compared(
    students: Mapping[str, Sequence[Student]],
    before: np.ndarray,
    rows: TrialRows,
    lacking: Mapping[str, str],
    trial: Trial,
    *,
    seed: int,
) -> tuple[list[Order], Tried]:
    """Put candidates in order by their students.

    Args:
        students: by candidate its students, one a training seed.
        before: the base model's losses of the held-out rows, of shape [rows].
        rows: the rows of the trial.
        lacking: by candidate without students, why.
        trial: what was asked for.
        seed: of the draws.
    """
    units = np.unique(rows.units, return_inverse=True)[1]
    had = {name: _learned(of, before, units) for name, of in students.items()}
    why = {name: f"the trial is not sufficient: {one.lacking}" for name, one in had.items() if one.lacking}
    lacking = {**lacking, **why}
    ranked = [name for name in students if name not in lacking]
    orders, agreement, left_out = list[Order](), dict[str, SeedAgreement](), dict[str, int]()
    for task in trial.trial_tasks:
        figure = RankedBy(f"{TRIAL}:{task}", (), _itself)
        every = [np.array([one.scores[task] for one in students[name]]) for name in ranked]
        values = np.stack(every, axis=-1).swapaxes(0, 1) if every else np.empty((0, trial.trial_seeds, 0))
        whole = np.isfinite(values).all(axis=(1, 2))
        left_out[task] = int((~whole).sum())
        if every and whole.sum() > 1:
            orders.append(trial_order(figure, ranked, values[whole], lacking, seed=seed))
            agreement[task] = between_seeds(values[whole])
        else:
            none = dict.fromkeys(ranked, "fewer than two items have a verdict for all students")
            orders.append(
                Order(figure.name, False, [], {**none, **lacking}, 0, float("nan"), None, {}, trial.trial_seeds)
            )
    size = len(next(iter(rows.trained.values()), ()))
    return orders, Tried(size, had, agreement, left_out)


def _itself(value: Any) -> Any:
    return value


def _learned(students: Sequence[Student], before: np.ndarray, units: np.ndarray) -> Learned:
    """What a candidate's students learned; rows of one seed are one row."""
    after = np.array([one.losses for one in students]).reshape(len(students), -1).T
    whole = np.isfinite(before) & np.isfinite(after).all(axis=1)
    _, of = np.unique(units[whole], return_inverse=True)
    counts = np.bincount(of)
    single = np.bincount(of, before[whole]) / counts
    several = [np.bincount(of, one) / counts for one in after[whole].T]
    return learned([one.curve for one in students], single, np.array(several).T)


def _nothing(_: str) -> None:
    """Says nothing."""
