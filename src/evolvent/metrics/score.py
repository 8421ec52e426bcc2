"""The score stage: token losses of a base model over a run's responses, and the scores made of them.

Records are scored in windows of a fixed number, whose batches depend on the window alone: a run that was stopped and
gone on with gives the very same numbers as one that was not. A window is stored whole or not at all.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import orjson

from evolvent.calls.store import Call, CallStore, call_key
from evolvent.errors import EvolventError, InputError
from evolvent.event_loop import run_sync
from evolvent.files import CALLS
from evolvent.metrics.layout import LAYOUTS, check_layout
from evolvent.metrics.losses import PairLosses, pair_losses
from evolvent.metrics.registry import DEFAULT_METRICS, chosen, score_fields, scores_of
from evolvent.models.opening import open_scorer
from evolvent.models.protocols import TokenScorer
from evolvent.models.uri import parse_uri
from evolvent.records import Record, Score
from evolvent.runs.folder import Run, RunFolder
from evolvent.runs.inputs import Data, stage_input
from evolvent.runs.parts import Output, Placed
from evolvent.runs.progress import shown
from evolvent.runs.tally import Tally

STAGE = "score"
WINDOW = 512


def score(
    data: Data,
    *,
    base_model: str,
    out: str | Path,
    metrics: str | Sequence[str] = DEFAULT_METRICS,
    layout: str = "paper",
    batch_tokens: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    fresh: bool = False,
    progress: bool = False,
) -> Run:
    """Score instruction-response pairs with a base model, and write them with their scores to ``OUT/scored.parquet``.

    Of a run folder the responses with status ok are scored; of a data file every row. A score that does not exist (an
    empty output, a one-token instruction, a pair longer than the context) is null; ``score_reason`` says why.

    Args:
        data: a run folder or Run, a data file, a Hub id, an iterable of dicts, or a datasets.Dataset.
        base_model: URI of the model that is to be tuned on the data.
        out: the run folder.
        metrics: which metrics to compute; the perplexities and token counts are always written.
        layout: ``paper`` scores raw text as paper 1's code does; ``chat`` uses the model's chat template.
        batch_tokens: padded tokens in one forward pass; None for the measured default.
        device: auto, cpu or cuda.
        dtype: auto (float32 on a CPU, bfloat16 on a GPU), float32 or bfloat16.
        format: the data's format; detected if None.
        map: for data of no known format, which column is the instruction, the input, the output.
        skip_bad: leave bad rows out (counted) instead of stopping.
        limit: score the first so many pairs only.
        fresh: make the stage anew although the folder holds it with other settings.
        progress: show progress on standard error.

    Returns:
        The run: its path, counts, and the scored records.

    Raises:
        InputError: wrong options, unreadable data, nothing to score, or a run folder that holds something else.
        ModelUnavailableError: the base model cannot be loaded.
        RunError: the run could not finish.
    """
    names = [metric.name for metric in chosen(metrics)]
    check_layout(layout)
    settings = {
        "base_model": str(parse_uri(base_model)),
        "metrics": names,
        "layout": layout,
        "dtype": dtype,
        "limit": limit,
    }
    source = stage_input(
        data,
        before="respond",
        out=Path(out),
        wanted=lambda status, _: status == "ok",
        format=format,
        map=map,
        skip_bad=skip_bad,
        limit=limit,
    )
    if not source.rows:
        raise InputError(
            f"{source.source['source']} holds nothing to score", fix="See what it holds: evolvent show RUN."
        )
    with RunFolder(Path(out)) as folder:
        done = folder.begin(STAGE, settings, source.source, fresh=fresh)
        if done:
            return done

        def unchanged() -> None:
            source.unchanged()
            folder.check_there()

        scorer = open_scorer(base_model, device=device, dtype=dtype, batch_tokens=batch_tokens)
        source.keep(folder.path)
        folder.start(STAGE, {scorer.uri: scorer.identity})
        output = Output(folder.output(STAGE), source.rows, unchanged, score_fields(metrics))
        store = CallStore(folder.path / CALLS)
        try:
            with shown(STAGE, source.rows, done=output.records_done, show=progress) as advance:
                for window in windows(output.missing(source.records)):
                    losses = stored_losses([place.record for place in window], scorer, layout, store)
                    for place, found in zip(window, losses, strict=True):
                        scores: dict[str, Score] = {**scores_of(found, metrics), "base_model": scorer.uri}
                        output.add(place, [replace(place.record, scores=scores)], _count)
                        advance()
            tally = output.finish()
        except BaseException:
            with contextlib.suppress(EvolventError):
                folder.interrupt(STAGE, {})
            raise
        finally:
            store.close()
        counts = {"pairs": source.rows, **source.counts, "without a score": dict(tally.notes.most_common())}
        return folder.finish(STAGE, counts, {}, {})


def _count(tally: Tally, row: Record) -> None:
    """Count a scored row, and why it lacks a score."""
    tally.status[row.status] += 1
    if row.scores["score_reason"] is not None:
        tally.notes[str(row.scores["score_reason"])] += 1


def stored_losses(
    window: Sequence[Record], scorer: TokenScorer, layout: str, store: CallStore
) -> list[PairLosses | str]:
    """The losses of a window of records: from the store if all of them are there, else computed and stored together.

    A pair that is stored keeps its stored losses, and equal pairs have one: their last digits depend on the batch.

    Returns:
        For each record its sums and counts, or why it cannot be scored.
    """
    keys = [call_key(scorer.identity, layout, record.question, record.output, record.messages) for record in window]
    stored = [store.get(key) for key in keys]
    if all(text is not None for text in stored):
        return [_from_json(text) for text in stored if text is not None]
    losses: dict[bytes, PairLosses | str] = {}
    for key, text, computed in zip(keys, stored, pair_losses(window, scorer, LAYOUTS[layout]), strict=True):
        losses.setdefault(key, computed if text is None else _from_json(text))
    run_sync(
        store.put(
            Call(key, STAGE, record.id, scorer.uri, f'{{"layout":"{layout}"}}', _to_json(losses[key]))
            for key, record in zip(keys, window, strict=True)
        )
    )
    return [losses[key] for key in keys]


def windows(places: Iterable[Placed]) -> Iterator[list[Placed]]:
    """The records of each part in lists of ``WINDOW``, the last one of a part shorter."""
    for _, group in groupby(places, key=lambda place: place.part):
        while window := list(islice(group, WINDOW)):
            yield window


def _to_json(losses: PairLosses | str) -> str:
    content: dict[str, Any] = {"reason": losses} if isinstance(losses, str) else asdict(losses)
    return orjson.dumps(content).decode()


def _from_json(text: str) -> PairLosses | str:
    content = orjson.loads(text)
    return str(content["reason"]) if "reason" in content else PairLosses(**content)
