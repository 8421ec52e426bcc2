"""What a run folder holds, as data: ``evolvent.show``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evolvent.call_store.journal import words
from evolvent.call_store.store import spent_in
from evolvent.costs.budget import Spent
from evolvent.files import CALLS, is_as_noted
from evolvent.records import Record
from evolvent.runs.lock import in_use
from evolvent.runs.manifest import StageEntry, read_manifest
from evolvent.runs.no_run import no_run
from evolvent.runs.parts import records_kept
from evolvent.runs.record_files import read_numbers, read_records, score_columns
from evolvent.runs.yields import Yield, yield_of
from evolvent.stages import file_of, in_order
from evolvent.words import number_of

if TYPE_CHECKING:
    from evolvent.evaluation.figures import Figures
    from evolvent.ranking.result import Ranked

# What train and select write of what they made; a folder without a manifest has nothing else that tells of it.
STUDENT_NOTE, SELECTION_NOTE = "training.json", ".selection.json"


@dataclass(frozen=True, slots=True)
class StageContents:
    """What a run folder holds of a stage.

    Attributes:
        state: running, interrupted, done or stale.
        file: the stage's file.
        there: whether it is there, and this stage's own: while it is made anew, its old one is not.
        damaged: whether it is not as the stage wrote it.
        counts: rows and what became of them.
        yields: how many of them are usable, and why the others are not; None if there are none yet.
        written: of an unfinished stage, the records of input whose rows are written.
        of: how many it has in all; None where that is not known.
        seconds: of work so far.
        paid, used: by model URI, what was paid for in this folder, and what stands behind the rows.
        served: by model URI, what its server said that it answers with.
    """

    state: str
    file: Path
    there: bool
    damaged: bool
    counts: dict[str, Any]
    yields: Yield | None
    written: int
    of: int | None
    seconds: float
    paid: dict[str, dict[str, Any]]
    used: dict[str, dict[str, Any]]
    served: dict[str, list[list[str | None]]]


class ScoreFigures(NamedTuple):
    """A score over all rows: ``n`` have it, in ``absent`` it is null; None where no row has one."""

    n: int
    absent: int
    mean: float | None = None
    low: float | None = None
    median: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Within:
    """A folder in a run folder that holds stages of its own: of a recipe's name, a candidate, what is compared with.

    Attributes:
        path: the folder.
        stages: the state of each stage in its manifest, by name; without one it is no run folder, and cannot be shown.
        noted: training sets and students that its manifest does not hold: what each is, and the file that says how it
            was made.
    """

    path: Path
    stages: dict[str, str]
    noted: dict[str, Path]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a run folder holds.

    Attributes:
        path: the folder.
        stages: by name.
        scores: mean, 10 %, median and 90 % of each score.
        breadth: the same of what ``evolve`` with ``logprobs`` wrote beside its rows.
        evaluated: the figures of an evaluation.
        examples: the first trajectories that were asked for, each a list of records.
        noted: training sets and students in it that its manifest does not hold (see ``Within``).
        within: the folders in it that hold stages of their own.
        ranked: what a ranking found that was made in it.
        planned: whether a ranking was planned in it.
        store: how its calls are kept, where the file system allows no write-ahead log; empty where it does.
    """

    path: Path
    stages: dict[str, StageContents]
    scores: dict[str, ScoreFigures] = field(default_factory=dict)
    breadth: dict[str, ScoreFigures] = field(default_factory=dict)
    examples: list[list[Record]] = field(default_factory=list)
    evaluated: "list[Figures]" = field(default_factory=list)
    noted: dict[str, Path] = field(default_factory=dict)
    within: list[Within] = field(default_factory=list)
    ranked: "Ranked | None" = None
    planned: bool = False
    store: str = ""


def contents(folder: Path, stage: str | None = None, examples: int = 0, *, compared: bool = False) -> Contents:
    """What a run folder holds.

    Args:
        folder: the run folder.
        stage: that stage alone.
        examples: how many trajectories.
        compared: whether finished files are compared with what their stages wrote; they are read for that.

    Raises:
        InputError: it is not a run folder, or a file of it is damaged so that it cannot be read.
    """
    every = read_manifest(folder)
    noted = _noted(folder, every) if stage is None else {}
    within = list(_within(folder)) if stage is None else []
    ranked, planned = _ranking(folder) if stage is None else (None, False)
    if not (every or noted or within or planned):
        raise no_run(folder)
    wanted = {name: entry for name, entry in every.items() if stage in (None, name)}
    busy = in_use(folder)
    stages = {name: _stage(folder, name, entry, busy=busy, compared=compared) for name, entry in wanted.items()}
    scores, breadth = (
        dict(_scores(stages[name].file)) if name in stages and stages[name].there else {}
        for name in ("score", "evolve")
    )
    return Contents(
        folder,
        stages,
        scores,
        breadth,
        list(trajectories(folder, examples)),
        _evaluated(stages.get("evaluate")),
        noted,
        within,
        ranked,
        planned,
        words(folder / CALLS) if stage is None else "",
    )


def _noted(folder: Path, entries: Mapping[str, StageEntry]) -> dict[str, Path]:
    """Training sets and students in a folder that its manifest does not hold, named as it would."""
    notes = {f"select:{note.name.removesuffix(SELECTION_NOTE)}": note for note in folder.glob(f"*{SELECTION_NOTE}")}
    notes |= {f"train:{note.parent.name}": note for note in folder.glob(f"*/{STUDENT_NOTE}")}
    return {name: notes[name] for name in in_order(notes) if name not in entries}


def _within(folder: Path) -> Iterator[Within]:
    """The folders in a folder that hold stages of their own, by name."""
    for place in sorted(path for path in folder.glob("*") if path.is_dir()):
        entries = read_manifest(place)
        unfinished = "running" if in_use(place) else "interrupted"
        stages = {name: unfinished if entry.state == "running" else entry.state for name, entry in entries.items()}
        noted = _noted(place, entries)
        if stages or noted:
            yield Within(place, stages, noted)


def _ranking(folder: Path) -> "tuple[Ranked | None, bool]":
    """What a ranking in a folder found, and whether one was planned there."""
    from evolvent.ranking.candidates import PLAN

    if not (folder / PLAN).is_file():
        return None, False
    from evolvent.ranking.result import read_result

    return read_result(folder), True


def _stage(folder: Path, name: str, entry: StageEntry, *, busy: bool, compared: bool) -> StageContents:
    file, running = folder / file_of(name), entry.state == "running"
    # While a stage is made anew its old file is there, and is not its own.
    own = file.exists() and (
        not (running or (compared and "digest" in entry.output)) or is_as_noted(file, entry.output)
    )
    spent = [use for use in spent_in(folder) if use.stage == name] if running else []
    return StageContents(
        state=("running" if busy else "interrupted") if running else entry.state,
        file=file,
        there=own if running else file.exists(),
        damaged=file.exists() and not running and not own,
        counts=entry.counts,
        yields=yield_of(entry.counts) if name != "evaluate" else None,  # right or wrong, a reply counts
        written=records_kept(file) if running else 0,
        of=entry.input["rows"] if "format" in entry.input else None,  # of a run's file the stage may take some rows
        seconds=entry.wall_s,
        paid=_paid_so_far(entry, spent) if running else entry.paid,
        used=entry.used,
        served=entry.served,
    )


def _paid_so_far(entry: StageEntry, spent: Sequence[Spent]) -> dict[str, dict[str, Any]]:
    """What an unfinished stage has paid for: the store knows more than the manifest, but no prices."""
    return {
        use.model: noted
        if (noted := entry.paid.get(use.model, {})).get("calls") == use.calls
        else {name: getattr(use, name) for name in ("calls", "prompt_tokens", "completion_tokens", "estimated")}
        for use in spent
    }


def _evaluated(stage: StageContents | None) -> "list[Figures]":
    from evolvent.evaluation.figures import figures_of

    return figures_of(stage.file) if stage is not None and stage.there and not stage.damaged else []


def _scores(path: Path) -> Iterator[tuple[str, ScoreFigures]]:
    import numpy as np

    names = [name for name, column in score_columns(path).items() if column.kind == "double"]
    for name, values, absent in read_numbers(path, names):
        if len(values):
            low, middle, high = map(float, np.quantile(values, [0.1, 0.5, 0.9]))
            yield name, ScoreFigures(len(values), absent, float(values.mean()), low, middle, high)
        else:
            yield name, ScoreFigures(0, absent)


def trajectories(folder: Path, count: int) -> Iterator[list[Record]]:
    """The first ``count`` trajectories of a run."""
    path = folder / file_of("evolve")
    if count and path.is_file():
        for _, group in islice(groupby(read_records(path), key=lambda record: record.seed_id), count):
            yield list(group)


def described(counts: Mapping[str, Any]) -> str:
    """Counts as one line of text."""
    return ", ".join(number_of(n, what) for what, n in counts.items() if isinstance(n, int) and n)
