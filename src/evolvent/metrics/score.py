"""The score stage: metrics over a run's pairs, in columns of their own beside those that were there.

Records are scored in windows of a fixed number, whose batches depend on the window alone: a run that was stopped and
gone on with gives the very same numbers as one that was not. A window is stored whole or not at all.

A base model's scores are a view of the data. The first view's columns have the metrics' names; each further view's have
the name of its model behind an @ (``ifd@gemma-3-270m``).
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from evolvent.errors import InputError
from evolvent.metrics.all_metrics import METRICS, SUPPLIED_BY, chosen
from evolvent.metrics.metric import Metric, Window
from evolvent.metrics.options import SCORE, Scores
from evolvent.models.models import Capability, Models, Need, Numbers, opened
from evolvent.models.protocols import StageModels
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading, implements
from evolvent.records import Column, Record, Score
from evolvent.runs.folder import Run
from evolvent.runs.inputs import Data, Joined, RecordFile, StageInput, Wanted, check_taken, stage_input
from evolvent.runs.local import run
from evolvent.runs.manifest import StageEntry, read_manifest
from evolvent.runs.parts import earlier_file
from evolvent.runs.record_files import score_columns
from evolvent.runs.stage import Make, Stage
from evolvent.stages import file_of

STAGE = "score"
WINDOW = 512
MODEL, REASON = "base_model", "score_reason"  # columns of each view, beside the metrics'
VIEW = ("base_model", "layout", "dtype")  # what makes two views different


@implements(SCORE)
def score(
    data: Data,
    *,
    given: Scores,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> Run:
    """Score pairs with a base model: OUT/scored.parquet.

    Of a run folder the responses with status ok are scored; of a data file every row. A score that does not exist (an
    empty output, a one-token instruction, a pair longer than the context) is null; ``score_reason`` says why. Other
    metrics and other base models add their columns to those that are there.

    Returns:
        The run: its path, counts, and the scored records.

    Raises:
        InputError: wrong options, unreadable data, nothing to score, or a run folder that holds something else.
        ModelUnavailableError: the base model cannot be loaded.
        RunError: the run could not finish.
    """
    with opened(models) as shared:
        return run(score_stage(data, given, reading, calling), given.out, shared, calling)


def score_stage(data: Data, given: Scores, reading: Reading, calling: Calling) -> Stage:
    """The stage that scores pairs.

    Raises:
        InputError: wrong options, unreadable data, or nothing to score.
    """
    out = given.out
    metrics = chosen(given.metrics)
    needs = needed(metrics, given)
    source = stage_input(
        data,
        before="respond",
        out=out,
        wanted=Wanted(),
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )
    check_taken(source, "score")
    view: dict[str, Any] = {
        "base_model": str(parse_uri(given.base_model)) if given.base_model else None,
        "metrics": [metric.name for metric in metrics],
        "layout": given.layout,
        "dtype": given.dtype,
    }
    entry = None if calling.fresh else read_manifest(out).get(STAGE)
    view, earlier, adds_to = _beside(view, entry, source, reading.limit)
    before, suffix = _columns_before(source, earlier, view)
    how = Scoring(
        metrics=tuple(view["metrics"]),
        supplied={need.capability: need.name for need in needs},
        layout=given.layout,
        suffix=suffix,
        source=source,
    )
    own = how.columns(METRICS[name] for name in how.metrics)
    return Stage(
        name=STAGE,
        settings={**view, "limit": reading.limit, "earlier": earlier},
        source=Joined(source, earlier_file(out / file_of(STAGE))) if earlier else source,
        needs=needs,
        work=how,
        window=WINDOW,
        columns=(*(column for name, column in before.items() if name not in own), *own.values()),
        group=_pairs,
        notes=how.notes,
        counts={"pairs": source.rows, **source.counts},
        adds_to=adds_to,
    )


def needed(metrics: Sequence[Metric], given: Scores) -> tuple[Need, ...]:
    """The models that metrics need.

    Raises:
        InputError: the option that supplies one is not given.
    """
    numbers = Numbers(given.device, given.dtype, given.batch_tokens)
    found: dict[Capability, Need] = {}
    for metric in metrics:
        for capability in metric.needs:
            option, words = SUPPLIED_BY[capability]
            uri = getattr(given, option)
            if uri is None:
                raise InputError(f"{metric.name} needs {words.partition(':')[0]}", fix=f"Name {words}.")
            found[capability] = Need(capability, uri, numbers if capability == "losses" else None)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Scoring:
    """What pairs are scored with; the work of the score stage.

    Attributes:
        metrics: the metrics' names.
        supplied: by capability, the URI of the model that supplies it.
        layout: how a pair is laid out.
        suffix: what the columns' names end in.
        source: the stage's input, for metrics that look at the whole set.
    """

    metrics: tuple[str, ...]
    supplied: Mapping[Capability, str]
    layout: str
    suffix: str
    source: StageInput

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to score windows: what metrics have to see of the whole set they see now."""
        metrics = [METRICS[name] for name in self.metrics]
        prepared = {
            metric.name: await metric.prepare(self.source, models, self.supplied)
            for metric in metrics
            if metric.prepare is not None
        }

        async def score(records: Sequence[Record]) -> list[list[Record]]:
            window = Window(records, models, self.supplied, self.layout)
            found: list[dict[str, Score]] = [{} for _ in records]
            for metric in metrics:
                values = await metric.compute(window, prepared.get(metric.name))
                for scores, new in zip(found, values, strict=True):
                    scores |= new
            return [
                [replace(record, scores=record.scores | self._named(record, scores, list(reasons)))]
                for record, scores, reasons in zip(records, found, window.reasons, strict=True)
            ]

        yield score

    def columns(self, metrics: Iterable[Metric]) -> dict[str, Column]:
        """The columns by name: the metrics', then the base model and why scores are lacking."""
        numbers = [replace(column, name=column.name + self.suffix) for metric in metrics for column in metric.columns]
        texts = [Column(name + self.suffix, "string") for name in ((MODEL,) if "losses" in self.supplied else ())]
        return {column.name: column for column in (*numbers, *texts, Column(REASON + self.suffix, "string"))}

    def notes(self, row: Record) -> list[str]:
        """Why a row lacks a score."""
        reason = row.scores[REASON + self.suffix]
        return [f"without a score: {reason}"] if reason is not None else []

    def _named(self, record: Record, scores: Mapping[str, Score], reasons: list[str]) -> dict[str, Score]:
        """The values of this view's columns for one record."""
        absent = [name for name, value in scores.items() if value is None]
        if absent and not reasons:
            reasons = [f"no finite value for {', '.join(absent)}"]
        before = record.scores.get(REASON + self.suffix)
        why: Score = "; ".join(dict.fromkeys([*([str(before)] if before else []), *reasons])) or None
        scores = {**scores, **({MODEL: self.supplied["losses"]} if "losses" in self.supplied else {}), REASON: why}
        return {name + self.suffix: value for name, value in scores.items()}


def _pairs(_: Record) -> str:
    """Scored rows are counted, in no group of their own."""
    return ""


def _beside(
    view: dict[str, Any], entry: StageEntry | None, source: StageInput, limit: int | None
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any] | None]:
    """How a view stands to those that a folder holds of the same records.

    Returns:
        The view with the metrics that it has yet to compute, the views that are there before it, and the settings of
        the finished stage that it adds to.
    """
    if entry is None or entry.input["digest"] != source.about["digest"] or entry.settings["limit"] != limit:
        return view, [], None
    last = {name: entry.settings[name] for name in (*VIEW, "metrics")}
    running = entry.state == "running"
    finished = [*entry.settings["earlier"], *([] if running else [last])]
    there = {name for one in finished if _key(one) == _key(view) for name in one["metrics"]}
    missing = [name for name in view["metrics"] if name not in there]
    if not running and not missing:
        return last, finished[:-1], None  # nothing is to be done
    return {**view, "metrics": missing}, finished, None if running else dict(entry.settings)


def _key(view: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(view[name] for name in VIEW)


def _columns_before(
    source: StageInput, earlier: Sequence[Mapping[str, Any]], view: Mapping[str, Any]
) -> tuple[dict[str, Column], str]:
    """The score columns that records have before they are scored, and what the names of this view's columns end in."""
    columns = score_columns(source.path) if isinstance(source, RecordFile) else {}
    first = next(iter(source)).scores if MODEL in columns else {}
    # Whose columns they are: of an input that was scored only the model is known.
    suffixes: dict[object, str] = {first[name]: name.removeprefix(MODEL) for name in first if name.startswith(MODEL)}
    for one in [*earlier, view]:
        suffix = suffixes.get(_key(one), suffixes.pop(one["base_model"], None))
        if suffix is None:
            suffix = _free_suffix(str(one["base_model"]), list(suffixes.values()))
        suffixes[_key(one)] = suffix
        if one is not view:
            how = Scoring((), {"losses": ""} if one["base_model"] else {}, one["layout"], suffix, source)
            columns |= how.columns(METRICS[name] for name in one["metrics"])
    return columns, suffixes[_key(view)]


def _free_suffix(uri: str, taken: Sequence[str]) -> str:
    """ "" for the first view; else the model's short name behind an @, numbered where it is taken."""
    if not taken:
        return ""
    short = parse_uri(uri).name.rstrip("/").rpartition("/")[2] or uri
    names = [f"@{short}", *(f"@{short}#{number}" for number in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)
