"""The score stage: metrics of a run's pairs, in columns of their own beside those that were there.

Records are scored in windows of a fixed number, whose batches depend on the window alone: a run that was stopped and
gone on with gives the very same numbers as one that was not. A window is stored whole or not at all.

A score's column has its metric's name. Where that is taken, by the same metric with another model or layout, the
model's name follows behind an @ (``ifd@gemma-3-270m``).
"""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evolvent.errors import require_extra
from evolvent.files import is_as_noted
from evolvent.metrics.absent import check_scored
from evolvent.metrics.all_metrics import METRICS, MODELS, chosen, supplied
from evolvent.metrics.metric import How, Metric, Whole, Window
from evolvent.metrics.options import SCORE, Scores
from evolvent.models.models import Capability, Models, Need, Numbers, chat_need, opened
from evolvent.models.protocols import StageModels
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading, implements
from evolvent.records import Column, Record, Score
from evolvent.runs.engine import run
from evolvent.runs.inputs import Data, RecordFile, StageInput, Wanted, check_taken, stage_input
from evolvent.runs.made_of_inputs import with_earlier_scores
from evolvent.runs.manifest import StageEntry, read_manifest
from evolvent.runs.parts import earlier_file
from evolvent.runs.record_files import score_columns
from evolvent.runs.run import Run
from evolvent.runs.stage import Make, Rehearsed, Stage
from evolvent.stages import file_of, read_by

log = logging.getLogger(__name__)

STAGE = "score"
WINDOW = 512
REASON = "score_reason"  # a column beside the metrics'
BY = "scores by "  # what a setting's name begins with that holds the scores of one maker


@implements(SCORE)
def score(
    data: Data,
    *,
    given: Scores,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> Run:
    """Score pairs: OUT/scored.parquet.

    What each metric needs is checked first: a base model, a judge, an embedder, a reward model. Of a run folder the
    responses with status ok are scored; of a data file every row. A score that does not exist (an empty output, a
    one-token instruction, a pair longer than the context) is null; ``score_reason`` says why. Other metrics and other
    base models add their columns to those that are there.

    Returns:
        The run: its path, counts, and the scored records.

    Raises:
        InputError: wrong options, unreadable data, nothing to score, or a run folder that holds something else.
        ModelUnavailableError: a model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish; NoScoresError, if no row has a value of a metric: the file is written.
    """
    with opened(models) as shared:
        done = run(score_stage(data, given, reading, calling), given.out, shared, calling)
    if done.estimate is None and calling.shard is None:
        check_scored(done, given.metrics, own_columns(given.out, given, calling))
    return done


def score_stage(data: Data, given: Scores, reading: Reading, calling: Calling) -> Stage:
    """The stage that scores pairs.

    Raises:
        InputError: wrong options, unreadable data, or nothing to score.
    """
    out = given.out
    metrics = chosen(given.metrics)
    needs = needed(metrics, given, calling)
    for package in (package for metric in metrics for package in metric.packages):
        require_extra(*package)

    def pairs(data: Data, limit: int | None) -> StageInput:
        return stage_input(
            data,
            before=read_by(STAGE),
            out=out,
            wanted=Wanted(),
            format=reading.format,
            map=reading.map,
            skip_bad=reading.skip_bad,
            limit=limit,
        )

    source = pairs(data, reading.limit)
    check_taken(source, "score")
    against = None
    if given.against is not None and any(metric.against for metric in metrics):
        against = pairs(given.against, None)
    noted = read_manifest(out).get(STAGE) if calling.shard is None else None  # a shard adds to no earlier scores
    entry = None if calling.fresh else _of_these_pairs(noted, out, source, reading.limit)
    running = entry is not None and not entry.finished
    before = _scores_in(entry)
    columns = {**(score_columns(source.path) if isinstance(source, RecordFile) else {}), **columns_of(before)}
    new: dict[str, str] = {}
    for metric in metrics:
        by = made_by(metric, needs, given, against)
        name = next((name for name, other in before.items() if _plain(name) == metric.name and other == by), None)
        if name is None:
            suffix = _suffix(metric, by, {**before, **new}, columns, needs)
            new[metric.name + suffix] = by
    settings: Mapping[str, Any] = {"limit": reading.limit, "before": list(before), **_by_maker({**before, **new})}
    if entry is not None and not new and not running:
        settings = entry.settings  # nothing is to be done
    adds_to = entry.settings if entry is not None and not running and new else None
    if entry is None and noted is not None:
        others = [name for name in _by_maker_names(noted) if name not in settings]
        if noted.state == "stale" and not calling.fresh and set(_by_maker_names(noted)) & settings.keys():
            adds_to = noted.settings  # of pairs that are no more: this command's scores are made anew
        if others and (calling.fresh or adds_to is not None):
            log.warning("warning: %s are not made again; score with that model once more", " and ".join(others))
        others_pairs = noted.input["digest"] != source.about["digest"] or noted.settings.get("limit") != reading.limit
        if noted.state == "done" and others_pairs and not calling.fresh:
            settings = {**noted.settings, "limit": reading.limit}  # it is refused for its pairs, not for its scores
    how = Scoring(tuple(new), {need.capability: need.name for need in needs.values()}, how_of(given), source, against)
    own = columns_of(new)
    return Stage(
        name=STAGE,
        settings=settings,
        source=with_earlier_scores(source, earlier_file(out / file_of(STAGE))) if before else source,
        needs=tuple(needs.values()),
        work=how,
        window=WINDOW,
        columns=tuple({**columns, **own}.values()),
        group=_pairs,
        notes=how.notes,
        counts={"pairs": source.rows, **source.counts},
        adds_to=adds_to,
        dry_run=Rehearsed(how.reply_tokens(), work=how.judged()),
        calls_each=sum(metric.calls for metric in how.asking()),
    )


def how_of(given: Scores) -> How:
    """What decides the values besides pairs and models."""
    return How(given.layout, given.max_tokens, given.strict)


def needed(metrics: Sequence[Metric], given: Scores, calling: Calling) -> dict[Capability, Need]:
    """The models that metrics need, by what they need them for.

    Raises:
        InputError: the option that supplies one is not given.
    """
    numbers = Numbers(given.device, given.dtype, given.batch_tokens)
    return {
        capability: chat_need(uri, calling) if capability == "chat" else Need(capability, uri, numbers)
        for capability, uri in supplied(metrics, given).items()
    }


def made_by(metric: Metric, needs: Mapping[Capability, Need], given: Scores, against: StageInput | None = None) -> str:
    """What decides a metric's values besides the pairs, in words that the manifest holds."""
    words = [needs[capability].name for capability in metric.needs]
    if "losses" in metric.needs:
        words.append(given.layout)
    if set(metric.needs) - {"chat"}:
        words.append(given.dtype)
    if "chat" in metric.needs:
        words += [f"{given.max_tokens} tokens", *(["strict"] if given.strict else [])]
    words += metric.versions
    if metric.against and against is not None:
        words.append(f"against {against.about['digest']}")
    return ", ".join(words)


def own_columns(folder: Path, given: Scores, calling: Calling) -> dict[str, str]:
    """By the plain name of each column of the metrics, the one that these options have made in a run folder."""
    scores, metrics = _scores_in(read_manifest(folder).get(STAGE)), chosen(given.metrics)
    needs = needed(metrics, given, calling)
    return {
        column.name: column.name + name.removeprefix(metric.name)
        for metric in metrics
        for name, by in scores.items()
        if _plain(name) == metric.name and by.partition(", against ")[0] == made_by(metric, needs, given)
        for column in metric.columns
    }


@dataclass(frozen=True, slots=True)
class Scoring:
    """What pairs are scored with; the work of the score stage.

    Attributes:
        scores: the metrics' names, each with what its columns' names end in.
        supplied: by capability, the URI of the model that supplies it.
        how: what else decides the values.
        source: the stage's input, for metrics that look at the whole set.
        against: other answers to the same instructions.
    """

    scores: tuple[str, ...]
    supplied: Mapping[Capability, str]
    how: How
    source: StageInput
    against: StageInput | None = None

    def asking(self) -> list[Metric]:
        """Its metrics that ask a judge."""
        return [metric for name in self.scores if "chat" in (metric := METRICS[_plain(name)]).needs]

    def reply_tokens(self) -> int:
        """About how long a judge's reply is, the mean over its calls."""
        calls = sum(metric.calls for metric in self.asking())
        return round(sum(metric.calls * metric.reply_tokens for metric in self.asking()) / calls) if calls else 0

    def judged(self) -> "Scoring":
        """The part of it that asks a judge and looks at nothing beforehand: what a dry run can rehearse."""
        asked = (METRICS[_plain(name)] for name in self.scores)
        names = tuple(name for name, metric in zip(self.scores, asked, strict=True) if metric.needs == ("chat",))
        return replace(self, scores=names)

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to score windows: what metrics have to see of the whole set they see now."""
        metrics = {name: METRICS[_plain(name)] for name in self.scores}
        whole = Whole(self.source, models, self.supplied, self.against)
        prepared = {name: await metric.prepare(whole) for name, metric in metrics.items() if metric.prepare is not None}

        async def score(records: Sequence[Record]) -> list[list[Record]]:
            window = Window(records, models, self.supplied, self.how)
            found = [dict(record.scores) for record in records]
            lacking: list[dict[str, list[str]]] = [{} for _ in records]  # columns without a value, by suffix
            for name, metric in metrics.items():
                suffix = name.removeprefix(metric.name)
                window.begin()
                values = await metric.compute(window, prepared.get(name))
                for scores, new, reason, lacks in zip(found, values, window.reasons, lacking, strict=True):
                    scores.update({column.name + suffix: new.get(column.name) for column in metric.columns})
                    scores.update({MODELS[need] + suffix: self.supplied[need] for need in metric.needs})
                    absent = [column.name for column in metric.columns if new.get(column.name) is None]
                    if "losses" in metric.needs:  # these have one reason for all
                        lacks.setdefault(suffix, []).extend(absent if reason is None else [])
                    elif absent:
                        reason = f"{metric.name}: {reason or 'no finite value for ' + ', '.join(absent)}"
                    scores[REASON + suffix] = _joined(scores.get(REASON + suffix), reason)
            for scores, lacks in zip(found, lacking, strict=True):
                for suffix, columns in lacks.items():
                    reason = f"no finite value for {', '.join(columns)}" if columns else None
                    scores[REASON + suffix] = _joined(scores[REASON + suffix], reason)
            return [[replace(record, scores=scores)] for record, scores in zip(records, found, strict=True)]

        yield score

    def notes(self, row: Record) -> list[str]:
        """Why a row lacks a score."""
        own: dict[str, set[str | None]] = {}  # by suffix the metrics that this command computes; None for the losses
        for name in self.scores:
            plain = _plain(name)
            of_losses = "losses" in METRICS[plain].needs
            own.setdefault(name.removeprefix(plain), set()).add(None if of_losses else plain)
        return [
            f"without a score: {reason}"
            for suffix, metrics in own.items()
            for reason in reasons_in(row.scores[REASON + suffix])
            if metric_of(reason) in metrics
        ]


def columns_of(scores: Iterable[str]) -> dict[str, Column]:
    """The columns of scores by name, numbers first: the metrics', then the base model and why scores are lacking."""
    found: dict[str, Column] = {}
    texts: dict[str, Column] = {}
    for name in scores:
        metric = METRICS[_plain(name)]
        suffix = name.removeprefix(metric.name)
        for column in metric.columns:
            found[column.name + suffix] = replace(column, name=column.name + suffix)
        for text in (*(MODELS[need] for need in metric.needs), REASON):
            texts[text + suffix] = Column(text + suffix, "string")
    return found | texts


def _pairs(_: Record) -> str:
    """Scored rows are counted, in no group of their own."""
    return ""


def _of_these_pairs(entry: StageEntry | None, out: Path, source: StageInput, limit: int | None) -> StageEntry | None:
    """What a folder holds of the score stage, if it is of the same pairs; of others the folder will refuse it."""
    if entry is None or entry.input["digest"] != source.about["digest"]:
        return None
    if "before" not in entry.settings or entry.settings["limit"] != limit:  # of an earlier version; of other pairs
        return None
    if not entry.finished and not entry.settings["before"]:
        return entry
    file = out / file_of(STAGE)
    there = is_as_noted(file, entry.output) if entry.finished else earlier_file(file).is_file()
    return entry if there else None


def _scores_in(entry: StageEntry | None) -> dict[str, str]:
    """The finished scores that a folder holds, each with what made it."""
    if entry is None:
        return {}
    made = {name: key.removeprefix(BY) for key, names in entry.settings.items() if key.startswith(BY) for name in names}
    return {name: made[name] for name in entry.settings["before"]} if not entry.finished else made


def _by_maker_names(entry: StageEntry) -> list[str]:
    """The settings that hold an entry's scores."""
    return [key for key in entry.settings if key.startswith(BY)]


def _by_maker(scores: Mapping[str, str]) -> dict[str, list[str]]:
    """Scores as the settings hold them: what made them, and their names."""
    found: dict[str, list[str]] = {}
    for name, by in sorted(scores.items()):
        found.setdefault(BY + by, []).append(name)
    return found


def _suffix(
    metric: Metric,
    by: str,
    scores: Mapping[str, str],
    columns: Mapping[str, Column],
    needs: Mapping[Capability, Need],
) -> str:
    """What the names of a metric's columns end in: nothing, unless they are taken.

    Args:
        metric: the metric.
        by: what makes it.
        scores: the scores that there are, each with what made it.
        columns: the columns that there are before.
        needs: the models.
    """
    same = [name.removeprefix(_plain(name)) for name, other in scores.items() if other == by]
    if same:
        return same[0]
    own = {column.name for column in metric.columns}
    own |= {MODELS[need] for need in metric.needs if _names_another(need, needs, by, scores)}
    if not own & {*columns, *columns_of(scores)}:
        return ""
    short = f"@{_short(needs[metric.needs[0]]) if metric.needs else 'evolvent'}"
    taken = {name.removeprefix(_plain(name)) for name in scores} | {name[name.find("@") :] for name in columns}
    return next(name for name in (short, *(f"{short}#{number}" for number in range(2, 99))) if name not in taken)


def _names_another(need: Capability, needs: Mapping[Capability, Need], by: str, scores: Mapping[str, str]) -> bool:
    """Whether the column that names a need's model names another one already, or that model in another layout."""
    others = [other for name, other in scores.items() if "@" not in name and need in METRICS[_plain(name)].needs]
    if not others:
        return True  # whoever has such a column, it is none of ours
    return any(other != by if need == "losses" else not other.startswith(f"{needs[need].name}, ") for other in others)


def _short(need: Need) -> str:
    """A model's name without where it is."""
    return parse_uri(need.uri).name.rstrip("/").rpartition("/")[2] or need.name


def _plain(name: str) -> str:
    """A score's name without what follows the metric's own."""
    return name.partition("@")[0]


def _joined(before: Score, reason: str | None) -> Score:
    """Reasons as one text, each once."""
    reasons = [*reasons_in(before), *([reason.replace("; ", ", ")] if reason else [])]
    return "; ".join(dict.fromkeys(reasons)) or None


def reasons_in(text: Score) -> list[str]:
    """The reasons that a row gives for scores that it lacks."""
    return str(text).split("; ") if text else []


def metric_of(reason: str) -> str | None:
    """The metric that a reason is of; None for one of the base model's losses."""
    name = reason.partition(": ")[0]
    return name if name in METRICS else None
