"""A trial: students of every candidate are trained, and what they score puts the candidates in order."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evolvent.datasets.training_examples import example_of
from evolvent.errors import BudgetReachedError, EvolventError, RunError
from evolvent.interrupts import Interrupted
from evolvent.ranking.candidates import TRIAL, Candidates, folder_name
from evolvent.ranking.figures import RankedBy, itself
from evolvent.ranking.order import Order, no_order, trial_order
from evolvent.ranking.result import Tried
from evolvent.ranking.sample import write_sample
from evolvent.ranking.setup import Setup
from evolvent.ranking.students import PRESET, Student, base_losses, student
from evolvent.ranking.sufficiency import STEPS, Learned, learned, too_few
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
    trial, out = setup.trial, setup.given.out
    settings, _ = settings_of("sft", PRESET, trial.trial_lora, trial.trial_set)
    steps = steps_of(max(1, rows.size), settings.num_train_epochs, settings.batch_size)
    if why := _in_vain(rows, steps):
        return compared({}, _NONE, rows, {**dict.fromkeys(rows.trained, why), **rows.lacking}, setup)
    began, place = time.monotonic(), out / _place(base_model)
    known, before = place.exists(), _NONE
    try:
        if rows.held_out:
            before = base_losses(base_model, _held_out_file(out), place, **_calls(out, setup))
    except (BudgetReachedError, Interrupted):
        raise
    except EvolventError as error:
        none = dict.fromkeys(rows.trained, error.message)
        return compared({}, _NONE, rows, {**rows.lacking, **none}, setup)
    count, tell = len(rows.trained) * trial.trial_seeds, say if setup.calling.progress is not False else _nothing
    of = f"{len(rows.trained)} candidates x {trial.trial_seeds} seeds, {rows.size:,} rows and {steps:,} steps each"
    tell(f"trial: {count} students of {base_model}: {of}{'' if known else _pace(began, before, steps, settings)}")
    students, ended = _made(base_model, rows, setup, tell)
    lacking = {**rows.lacking, **{name: " ".join(why.split()) for name, why in ended.items()}}
    return compared({name: of for name, of in students.items() if name not in lacking}, before, rows, lacking, setup)


def _made(
    base_model: str, rows: TrialRows, setup: Setup, tell: Callable[[str], object]
) -> tuple[Mapping[str, Sequence[Student]], Mapping[str, str]]:
    """Make the students, or read those that are there.

    Returns:
        By candidate its students, and why a candidate got no further.
    """
    students: dict[str, list[Student]] = {name: [] for name in rows.trained}
    count, seconds = len(students) * setup.trial.trial_seeds, list[float]()

    def make(name: str, folder: Path, number: int) -> None:
        began = time.monotonic()
        seed = setup.given.seed * setup.trial.trial_seeds + number  # another --seed repeats none of them
        how = {"seed": seed, "judge": setup.given.judge, **_calls(folder, setup)}
        files, place = (_rows_file(folder), _held_out_file(setup.given.out)), folder / _place(base_model)
        one = student(*files, place / f"seed-{number}", base_model, setup.trial, **how)
        students[name].append(one)
        done = sum(map(len, students.values()))
        if one.new:
            seconds.append(time.monotonic() - began)
            scores = ", ".join(f"{task} {of[np.isfinite(of)].mean():.3f}" for task, of in one.scores.items())
            left = f"; {time_words(max(seconds) * (count - done))} left" if done < count else ""
        else:  # how long it took to read says nothing of those that are left
            scores, left = "there already", ""
        tell(f"trial: student {done} of {count}: {folder.name}, seed {seed}: {scores}{left}")

    trying = Candidates({name: setup.candidates.folders[name] for name in students})
    with suppress(RunError):  # none got through: each has its reason
        for number in range(setup.trial.trial_seeds):
            trying.each(partial(make, number=number))
    return students, trying.ended


def _place(base_model: str) -> Path:
    """Where the students of a base model lie, in each candidate's folder; in the ranking's own the model's losses."""
    return Path(TRIAL) / folder_name(base_model)


def _calls(folder: Path, setup: Setup) -> dict[str, Any]:
    """How a student's stages make their calls."""
    return {**setup.calls(folder), "progress": False, "show": 0}


# What to do about students that did not learn.
REMEDY = "--trial-set num_train_epochs=N, or a higher learning_rate, trains more"
_NONE = np.empty(0)


def _in_vain(rows: TrialRows, steps: int) -> str:
    """Why no student need be trained, since nothing could be said of it; empty if there is no such reason."""
    if len(rows.trained) < 2:
        return "no other candidate has rows enough for a trial"
    return too_few(steps) if steps < STEPS else ""


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
    setup: Setup,
) -> tuple[list[Order], Tried]:
    """Put candidates in order by their students.

    Args:
        students: by candidate its students, one a training seed.
        before: the base model's losses of the held-out rows, of shape [rows].
        rows: the rows of the trial.
        lacking: by candidate without students, why.
        setup: the ranking.
    """
    had = {name: _learned(name, of, before, rows) for name, of in students.items()}
    why = {name: f"the trial is not sufficient: {one.lacking} ({REMEDY})" for name, one in had.items() if one.lacking}
    lacking = {**lacking, **why}
    learned = {name: of for name, of in students.items() if name not in lacking}
    tasks = setup.trial.trial_tasks
    orders, agreement, left_out = list[Order](), dict[str, SeedAgreement](), dict[str, int]()
    for task in tasks:
        figure = RankedBy(f"{TRIAL}:{task}", (), itself)
        values, left_out[task] = _of_task(task, learned)
        none = _tells_nothing(values)
        if none:
            without = {**dict.fromkeys(learned, none), **lacking}
            orders.append(no_order(figure, without, students=setup.trial.trial_seeds))
            continue
        level = 1 - 0.05 / len(tasks)  # Bonferroni: that the tasks decide together holds at 95 %
        orders.append(trial_order(figure, values, list(learned), lacking, level=level, seed=setup.given.seed))
        agreement[task] = between_seeds(values)
    return orders, Tried(rows.size, had, agreement, left_out)


def _of_task(task: str, students: Mapping[str, Sequence[Student]]) -> tuple[np.ndarray, int]:
    """What students score on a task's items, and how many items are left out since a student has no verdict on them.

    Items that stand or fall together are one, and weigh as kinds of items do in evaluate's figure: the mean is the
    figure's.

    Returns:
        The scores, of shape [items, training seeds, candidates].
    """
    if not students:
        return np.empty((0, 0, 0)), 0
    values = np.array([[one.scores[task] for one in of] for of in students.values()]).transpose(2, 1, 0)
    whole = np.isfinite(values).all(axis=(1, 2))
    units = [unit for unit, one in zip(next(iter(students.values()))[0].units[task], whole, strict=True) if one]
    if not units:
        return values[whole], len(whole)
    kinds = Counter(kind for _, kind in units)
    weights = np.array([len(units) / len(kinds) / kinds[kind] for _, kind in units])
    _, of = np.unique([cluster for cluster, _ in units], return_inverse=True)
    sums = np.zeros((of.max() + 1, *values.shape[1:]))
    np.add.at(sums, of, weights[:, None, None] * values[whole])
    return sums * (len(sums) / len(units)), int((~whole).sum())


def _tells_nothing(values: np.ndarray) -> str:
    """Why a task says nothing of candidates; empty if it may."""
    if len(values) < 2:
        return "fewer than two items have a verdict for all students"
    if np.ptp(values) == 0:
        score = values.flat[0]
        return f"every student scores {score:g} on every item: the task is too {'easy' if score else 'hard'} for them"
    return ""


def _learned(name: str, students: Sequence[Student], before: np.ndarray, rows: TrialRows) -> Learned:
    """What a candidate's students learned: their loss on its own held-out rows; rows of one seed are one row.

    Of others' rows it may rise as much as it falls on its own, so that together nothing would seem to have moved.
    """
    after = np.array([one.losses for one in students]).reshape(len(students), -1).T
    own = np.array([owner == name for owner in rows.owners], bool)
    whole = own & np.isfinite(before) & np.isfinite(after).all(axis=1)
    _, of = np.unique(np.array(rows.units)[whole], return_inverse=True)
    counts = np.bincount(of)
    single = np.bincount(of, before[whole]) / counts
    several = [np.bincount(of, one) / counts for one in after[whole].T]
    return learned([one.curve for one in students], single, np.array(several).T)


def _nothing(_: str) -> None:
    """Says nothing."""
