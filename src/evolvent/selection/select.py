"""Select: the best of a run's scored pairs, or of any data with a number to go by, written as a training set."""

import hashlib
import logging
import operator
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from io import BufferedRandom
from itertools import compress
from pathlib import Path
from typing import IO, Any, cast

import orjson

from evolvent.contamination import load_ngrams
from evolvent.datasets.write import kind_of_file, write_rows
from evolvent.errors import InputError
from evolvent.files import MANIFEST, file_digest, is_as_noted, output_path, replacing, turn_in
from evolvent.options import Reading, implements
from evolvent.records import Record
from evolvent.runs.folder import RunFolder
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.manifest import now, read_manifest, versions
from evolvent.selection.choose import Criteria, check_columns, choose, parse_top
from evolvent.selection.options import SELECT, Selecting
from evolvent.selection.where import parse_conditions
from evolvent.special_files import is_written_through
from evolvent.stages import read_by

log = logging.getLogger(__name__)

# Scores of which the papers keep the low ones (docs/metrics.md).
LOWER_IS_KEPT = ("instruction_ppl", "response_loss", "rsr", "instruction_tokens", "repeats")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a selection kept.

    Attributes:
        path: the training set.
        note: the JSON file beside it that says how it was chosen; None beside a pipe or a device.
        counts: rows looked at, left out by what, and kept.
        already_done: whether the very same selection was there already.
    """

    path: Path
    note: Path | None
    counts: dict[str, Any]
    already_done: bool = False


@implements(SELECT)
def select(data: Data, given: Selecting, reading: Reading) -> Selection:
    """Keep the rows with the highest score and write them, in the order of the data.

    Rows with status ok, with a score, that were not cut, pass ``where`` and the filters and are not contaminated
    compete, with ``best_per`` only the best of each instruction or seed, with ``dedup`` of near-duplicates; of N such
    rows ``top="25%"`` keeps int(N * 0.25). Ties are broken by id.

    Returns:
        The file, the note beside it (``OUT.selection.json``) and the counts.

    Raises:
        InputError: wrong options, no such column, or nothing selected.
        RunError: the file cannot be written.
    """
    by, ascending, best_per = given.by, given.ascending, given.best_per
    out = output_path(given.out, data)
    kind, through = kind_of_file(out), is_written_through(out)
    conditions = parse_conditions(given.where)
    size = parse_top(given.top)
    folder = out.parent if (out.parent / MANIFEST).is_file() and not through else None
    source = stage_input(
        data, before=read_by("select"), out=folder, format=reading.format, map=reading.map, skip_bad=reading.skip_bad
    )
    note = None if through else output_path(out.with_name(f"{out.name}.selection.json"))
    filters = {name: getattr(given, name) for name in ("keep_cut", "drop_refusals", "language", "dedup")}
    how: dict[str, Any] = {
        "by": by,
        "top": str(given.top),
        "ascending": ascending,
        "where": [str(condition) for condition in conditions],
        "best_per": best_per,
        **filters,
        "decontaminate": [_named(path) for path in given.decontaminate],
        "format": given.to,
    }
    if by.partition("@")[0] in LOWER_IS_KEPT and not ascending:
        log.warning("warning: the highest %s are kept; low is good there: --ascending keeps the lowest", by)
    before = _counts_before(out, note, how, source)
    if before is not None:
        _enter_again(folder, out, how, source, before)
        return Selection(out, note, before, already_done=True)
    criteria = Criteria(
        by,
        size,
        ascending,
        conditions,
        best_per,
        **filters,
        tests=load_ngrams(given.decontaminate),
        format=source.about.get("format"),
    )
    for path, named in zip(given.decontaminate, how["decontaminate"], strict=True):
        if _named(path) != named:
            raise InputError(f"decontaminate {path} changed while it was read", fix="Start the same command again.")
    check_columns(source, criteria, source.about["source"])
    chosen = choose(source, criteria)
    counts = chosen.counts
    if not counts["selected"]:
        why = [f"{n:,} {why}" for why, n in counts.items() if why not in ("rows", "competing", "selected")]
        raise InputError(
            f"nothing is selected: --top {given.top} of {counts['competing']:,} competing rows "
            f"({', '.join(why) or 'none left out'})",
            fix="Take a larger --top, or loosen what is in the way: --where and the other filters.",
        )
    with nullcontext() if folder is None else RunFolder(folder) as run:
        own = run is not None and _entry(out) in run.stages
        rows = _kept(source, chosen.kept)
        if note is None:
            with replacing(out) as file:
                write_rows(rows, file, kind=kind, format=given.to)
        else:
            # Ends in this order: the file is in place, then the note, then it is the turn of another process.
            with turn_in(out.parent) as wait_for_turn, replacing(note) as noted, replacing(out, of_run=own) as file:
                write_rows(rows, file, kind=kind, format=given.to)
                content = {"selected": out.name, "sha256": _digest(file), "how": how, "last_score": chosen.edge}
                content |= {"counts": counts, "input": source.about, "made": now(), "versions": versions()}
                noted.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
                wait_for_turn()
                if note.is_file():  # a stop before the new one is there must not leave one that does not fit
                    note.resolve().unlink()
        if run is not None:
            run.note(_entry(out), how, source.about, counts, out)
    return Selection(out, note, counts)


def _digest(file: IO[bytes]) -> str:
    """The SHA-256 of what was written to a file, whatever another process puts in its place."""
    file.seek(0)
    return hashlib.file_digest(cast(BufferedRandom, file), "sha256").hexdigest()


def _kept(source: StageInput, kept: bytes) -> Iterator[Record]:
    """The rows that are kept, of the very data that they were chosen from."""
    yield from compress(source, kept)
    source.unchanged()


def _entry(out: Path) -> str:
    """The name of a selection in a run folder's manifest."""
    return f"select:{out.name}"


def _enter_again(
    folder: Path | None, out: Path, how: dict[str, Any], source: StageInput, counts: dict[str, Any]
) -> None:
    """Enter a selection that is there into the manifest of its run folder, if that lacks it or takes it for stale."""
    if folder is None:
        return
    entry = read_manifest(folder).get(_entry(out))
    if entry is None or entry.state != "done" or not is_as_noted(out, entry.output):
        with RunFolder(folder) as run:
            run.note(_entry(out), how, source.about, counts, out)


def _counts_before(out: Path, note: Path | None, how: dict[str, Any], source: StageInput) -> dict[str, int] | None:
    """The counts of the very same selection, made before; None if its file or its note is not there as it was."""
    if note is None or not out.is_file():
        return None
    try:
        content = orjson.loads(note.read_bytes())
        same = content["how"] == how and content["input"]["digest"] == source.about["digest"]
        counts = {str(what): operator.index(n) for what, n in content["counts"].items()}
        return counts if same and content["sha256"] == file_digest(out) else None
    except (InputError, OSError, orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return None


def _named(path: str | Path) -> dict[str, str]:
    try:
        with Path(path).open("rb") as file:
            return {"file": os.fspath(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise InputError(f"decontaminate {path} cannot be read: {error.strerror}") from error
