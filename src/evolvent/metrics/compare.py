"""compare: the figures of scored data as a whole, of each of its teachers, evolvers or whatever else parts it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from evolvent.errors import InputError
from evolvent.metrics import data_set
from evolvent.metrics.all_metrics import METRICS
from evolvent.metrics.car import SWEEP
from evolvent.metrics.data_set import Figure, Scored
from evolvent.metrics.options import COMPARE, Comparing
from evolvent.metrics.score import metric_of, reasons_in
from evolvent.metrics.text_diversity import Words, near_duplicates
from evolvent.models import output_breadth
from evolvent.near_duplicates import SpooledTexts
from evolvent.options import implements
from evolvent.records import COLUMNS, Record
from evolvent.runs.manifest import read_manifest
from evolvent.runs.record_files import is_record_file, read_records, score_columns
from evolvent.runs.run import Run
from evolvent.stages import file_of, row_of

ALL, NONE = "all rows", "(none)"

# Columns of evolved.parquet, which say what the evolver's replies are like.
BREADTH = {column.name for column in output_breadth.COLUMNS}

# What stands for a reward in CAR: a reward model's, or a judge's score, and is then called so.
REWARDS = ("reward", "judge_score")


@dataclass(frozen=True, slots=True)
class Group:
    """A part of scored data.

    Attributes:
        name: the value of the column that parts it.
        rows: how many rows it has; ``seeds``: of how many seeds they come.
        figures: its figures.
        labels: by text column of a metric (``difficulty_level``), how many rows have each label.
    """

    name: str
    rows: int
    seeds: int
    figures: Sequence[Figure]
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of scored data.

    Attributes:
        file: the scored file.
        by: the column that parts it, if one does.
        groups: its parts, in the order in which they come.
        notes: what is to be known of the figures.
    """

    file: Path
    by: str | None
    groups: Sequence[Group]
    notes: Sequence[str] = ()


@dataclass(slots=True)
class _Gathered:
    """The scores of a group's rows, as they are read."""

    seeds: dict[str, int] = field(default_factory=dict)
    of_rows: list[int] = field(default_factory=list)
    numbers: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, list[str | None]] = field(default_factory=lambda: defaultdict(list))
    no_breadth: list[str] = field(default_factory=list)  # why a row lacks a column of BREADTH, if it does
    words: Words = field(default_factory=Words)
    places: list[int] = field(default_factory=list)  # of its questions among all


@implements(COMPARE)
def compare(data: str | Path | Run, *, given: Comparing) -> Comparison:
    """Compare data sets by their scores: means with intervals, CAR, RSR, win rates, what only a whole set has.

    Returns:
        The figures of each group.

    Raises:
        InputError: no scored file, no such column, or one that parts the rows into more than a thousand.
    """
    file = _scored_file(data)
    columns = score_columns(file)
    numbers = [name for name, column in columns.items() if column.kind != "string"]
    texts = [name for name, column in columns.items() if column.kind == "string"]
    questions = SpooledTexts()
    gathered = _gather(file, given.by, numbers, texts, questions)
    sets = {name: _scored(group, numbers) for name, group in gathered.items()}
    shifts, notes = {}, []
    for reward in (name for name in numbers if name.partition("@")[0] in REWARDS):
        shifts[reward] = _shift(sets, reward) if given.shift_rewards else 0.0
        if shifts[reward]:
            notes.append(f"car: {shifts[reward]:.4g} was added to every {reward}, so that the lowest is 0")
    groups = [
        Group(
            name,
            len(gathered[name].of_rows),
            len(gathered[name].seeds),
            [
                *_figures(scored, numbers, shifts, given.beta),
                *gathered[name].words.figures(),
                near_duplicates(questions, gathered[name].places),
            ],
            {text: _labels(scored_texts) for text, scored_texts in _labelled(gathered[name], columns)},
        )
        for name, scored in sets.items()
    ]
    return Comparison(file, given.by, groups, notes)


def _scored_file(data: str | Path | Run) -> Path:
    path = data.path if isinstance(data, Run) else Path(data)
    file = path / file_of("score") if path.is_dir() else path
    if not path.is_dir() and not file.is_file():
        raise InputError(f"there is no {path}", fix="Name a run folder, or the scored.parquet that score writes.")
    if not file.is_file():
        evolved = path / file_of("evolve")
        breadth = is_record_file(evolved) and bool(score_columns(evolved))
        command = row_of("score").command.format(folder=path)
        fix = f"Score first: {command}" + (f"; or compare the evolver's replies: {evolved}" if breadth else "")
        raise InputError(f"there is no {file}", fix=fix)
    entry = read_manifest(path).get("score") if path.is_dir() else None
    if entry is not None and entry.state == "stale":
        command = row_of("score").command.format(folder=path)
        raise InputError(f"{file} is stale: what it was made of was made anew", fix=f"Score again: {command}")
    if not is_record_file(file) or not score_columns(file):
        raise InputError(
            f"{file} holds no scores",
            fix="Name a run folder, the scored.parquet that score writes, or the evolved.parquet of evolve --logprobs.",
        )
    return file


def _gather(
    file: Path, by: str | None, numbers: Sequence[str], texts: Sequence[str], questions: SpooledTexts
) -> dict[str, _Gathered]:
    groups: dict[str, _Gathered] = {}
    columns: set[str] = set()
    for record in read_records(file):
        name = ALL if by is None else _value(record, by, columns)
        group = groups.setdefault(name, _Gathered())
        if len(groups) > 1_000:
            raise InputError(f"{by} parts the rows into more than 1,000", fix="Name a column with few values.")
        group.of_rows.append(group.seeds.setdefault(record.seed_id, len(group.seeds)))
        for column in numbers:
            value = record.scores.get(column)
            group.numbers[column].append(float("nan") if value is None else float(value))
        for column in texts:
            found = record.scores.get(column)
            group.texts[column].append(None if found is None else str(found))
        group.no_breadth.append(_why_no_breadth(record))
        if record.status == "ok":
            group.words.read(record.instruction)
            group.places.append(len(questions))
            questions.append(record.question)
    if not groups:
        raise InputError(f"{file} has no row", fix="Score data that has some.")
    if by is not None and by not in (*COLUMNS, *columns):
        known = ", ".join(["teacher", "evolver", "method", "operator", "round", *sorted(columns)])
        raise InputError(f"the rows have no column {by!r}", fix=f"They have: {known}.")
    return groups


def _value(record: Record, by: str, columns: set[str]) -> str:
    """What a row's column says: the record's own, the user's, or a score's; ``columns`` gets the names of these."""
    own = orjson.loads(record.meta) if record.meta else {}
    columns |= {*map(str, own), *record.scores}
    value = getattr(record, by) if by in COLUMNS else record.scores.get(by, own.get(by))
    return NONE if value is None else str(value)


def _scored(group: _Gathered, numbers: Sequence[str]) -> Scored:
    import numpy as np

    return Scored(
        np.array(group.of_rows, np.int64),
        {column: np.array(group.numbers[column], float) for column in numbers},
        {column: list(_reasons(column, group)) for column in numbers},
    )


def _reasons(column: str, group: _Gathered) -> Iterator[str | None]:
    """For each row why it lacks this column: what its metric says, or what the base model's losses lack."""
    if column in BREADTH:
        yield from group.no_breadth
        return
    plain, at, model = column.partition("@")
    metric = next((one for one in METRICS.values() if plain in {own.name for own in one.columns}), None)
    for text in group.texts.get(f"score_reason{at}{model}") or [None] * len(group.of_rows):
        if metric is None or "losses" in metric.needs:
            own = [reason for reason in reasons_in(text) if metric_of(reason) is None]
        else:
            own = [
                reason.removeprefix(f"{metric.name}: ")
                for reason in reasons_in(text)
                if metric_of(reason) == metric.name
            ]
        yield "; ".join(own) or None


def _why_no_breadth(record: Record) -> str:
    if not record.round:
        return "a seed is no reply"
    if record.status == "failed":
        return "failed"
    return "no log probabilities" if record.scores.get(output_breadth.POSITIONS) is None else "empty reply"


def _shift(sets: Mapping[str, Scored], reward: str) -> float:
    """What makes the lowest reward of all groups 0, if it is below; the same for all, or they could not be compared."""
    import numpy as np

    return max(0.0, -min(float(np.nanmin(one.scores[reward], initial=0.0)) for one in sets.values()))


def _figures(scored: Scored, numbers: Sequence[str], shifts: Mapping[str, float], beta: float) -> Iterator[Figure]:
    for column in numbers:
        yield data_set.mean(scored, column)
    for column in numbers:
        plain, at, model = column.partition("@")
        suffix = at + model
        if plain == "response_rank":
            yield data_set.rank_surprisal(scored, suffix)
        elif plain in ("reward", "evolution_reward"):
            yield from data_set.adjusted_rewards(scored, plain, suffix)
        elif plain == "win":
            yield from data_set.win_rates(scored, suffix)
        elif plain == "mnd":
            yield data_set.REPEATED(scored, column)
        elif plain == "response_loss":
            for reward, shift in shifts.items():
                for one in dict.fromkeys((beta, *SWEEP)):
                    figure = data_set.compatibility(scored, reward, column, one, shift)
                    yield figure
                    if figure.value is None:
                        break  # as the others would be, for the same reason


def _labelled(group: _Gathered, columns: Mapping[str, object]) -> Iterator[tuple[str, list[str | None]]]:
    for name in columns:
        if name.partition("@")[0] in ("difficulty_level", "verdicts"):
            yield name, group.texts[name]


def _labels(values: Sequence[str | None]) -> dict[str, int]:
    return dict(Counter(value for value in values if value is not None).most_common())
