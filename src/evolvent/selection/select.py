"""Select: the best of a run's scored pairs, or of any data with a number to go by, written as a training set."""

import hashlib
import logging
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from evolvent.datasets.write import write
from evolvent.errors import InputError
from evolvent.files import explained, locate, replacing
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.manifest import now, versions
from evolvent.selection.columns import columns
from evolvent.selection.decontamination import contaminated, load_ngrams
from evolvent.selection.where import Condition, number, parse_condition

log = logging.getLogger(__name__)

# Scores of which the papers keep the low ones (docs/metrics.md).
LOWER_IS_KEPT = ("instruction_ppl", "instruction_tokens")

# Characters of a value that is no number, in a message.
SHOWN = 40


@dataclass(frozen=True, slots=True)
class Selection:
    """What a selection kept.

    Attributes:
        path: the training set.
        note: the JSON file beside it that says how it was chosen.
        counts: rows looked at, left out by what, and kept.
        already_done: whether the very same selection was there already.
    """

    path: Path
    note: Path
    counts: dict[str, Any]
    already_done: bool = False


def select(
    data: Data,
    *,
    by: str,
    top: str | int,
    out: str | Path,
    ascending: bool = False,
    where: str | Sequence[str] = (),
    decontaminate: str | Path | Sequence[str | Path] = (),
    to: str = "messages",
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> Selection:
    """Keep the rows with the highest score and write them, in the order of the data.

    Rows with status ok, with a score, that pass ``where`` and are not contaminated compete; of N such rows
    ``top="25%"`` keeps int(N * 0.25), ties broken by id.

    Args:
        data: a run folder or Run, a record file, or any data file with a numeric column.
        by: the column to go by.
        top: ``P%`` of the competing rows, or a number of rows.
        out: the file to write; its suffix says json, jsonl, jsonl.gz, csv or parquet.
        ascending: keep the lowest instead.
        where: a condition like ``ifd<1``, or several that must all hold.
        decontaminate: a test file or several; rows that share 13 words in a row with one are left out.
        to: the training set's format.
        format: the data's format; detected if None.
        map: for data of no known format, which column is the instruction, the input, the output.
        skip_bad: leave bad rows out (counted) instead of stopping.

    Returns:
        The file, the note beside it (``OUT.selection.json``) and the counts.

    Raises:
        InputError: wrong options, no such column, or nothing selected.
        RunError: the file cannot be written.
    """
    out, state = locate(out, "written")
    if state is not None and stat.S_ISDIR(state.st_mode):
        raise InputError(f"--out {out} is a folder", fix="Name a file, e.g. selected.jsonl.")
    read = locate(data, "read")[1] if isinstance(data, str | Path) else None
    if state is not None and read is not None and os.path.samestat(state, read):
        raise InputError(f"--out {out} is the data itself", fix="Choose another name.")
    conditions = [parse_condition(text) for text in ([where] if isinstance(where, str) else where)]
    test_files = [decontaminate] if isinstance(decontaminate, str | Path) else list(decontaminate)
    keep = parse_top(top)
    source = stage_input(data, before="score", format=format, map=map, skip_bad=skip_bad)
    note = out.with_name(out.name + ".selection.json")
    how: dict[str, Any] = {
        "by": by,
        "top": str(top),
        "ascending": ascending,
        "where": [str(condition) for condition in conditions],
    }
    how |= {"decontaminate": [_named(path) for path in test_files], "format": to}
    if by in LOWER_IS_KEPT and not ascending:
        log.warning("warning: the highest %s are kept; low is good there: --ascending keeps the lowest", by)
    before = _noted(note) if out.is_file() else {}
    same = before.get("how") == how and before.get("input", {}).get("digest") == source.about["digest"]
    if same and before.get("sha256") == _digest(out):
        return Selection(out, note, before["counts"], already_done=True)
    tests = load_ngrams(test_files)
    counts: Counter[str] = Counter(rows=source.rows)
    competing = list(_competing(source, by, conditions, tests, counts))
    _check_columns(source, [by, *(condition.column for condition in conditions)])
    kept = keep(len(competing))
    if kept == 0:
        left_out = ", ".join(f"{n:,} {why}" for why, n in counts.items() if why != "rows" and n)
        raise InputError(
            f"nothing is selected: --top {top} of {len(competing):,} competing rows ({left_out or 'none left out'})",
            fix="Take a larger --top, or loosen --where.",
        )
    competing.sort(key=lambda row: (row[0] if ascending else -row[0], row[1]))
    chosen = {position for _, _, position in competing[:kept]}
    edge = competing[kept - 1][0]
    with explained(note):
        note.unlink(missing_ok=True)  # a stop before the new one is written must not leave one that does not fit
    write((record for position, record in enumerate(source) if position in chosen), out, format=to)
    counts |= {"competing": len(competing), "selected": kept}
    content = {"selected": out.name, "sha256": _digest(out), "how": how, "last_score": edge, "counts": counts}
    content |= {"input": source.about, "made": now(), "versions": versions()}
    with replacing(note) as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return Selection(out, note, dict(counts))


def parse_top(text: str | int) -> "Top":
    """Parse ``25%`` or ``1000``.

    Raises:
        InputError: it is neither, or nothing could be selected by it.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", str(text))
    size = Decimal(match[1]) if match else Decimal(0)
    percent = bool(match and match[2])
    if size <= 0 or (percent and size > 100) or (not percent and size != int(size)):
        raise InputError(
            f"--top {text!r} is neither a share nor a number of rows", fix="Examples: --top 25%, --top 1000."
        )
    return Top(size, percent)


@dataclass(frozen=True, slots=True)
class Top:
    """How much to keep: a percentage or a number of rows."""

    size: Decimal
    percent: bool

    def __call__(self, rows: int) -> int:
        """How many of ``rows`` are kept: int(N * p), computed exactly."""
        return int(rows * self.size / 100) if self.percent else min(rows, int(self.size))


def _competing(
    source: StageInput, by: str, conditions: Sequence[Condition], tests: set[bytes], counts: Counter[str]
) -> Iterator[tuple[float, str, int]]:
    """Score, id and position of the rows that compete; the others are counted by why they do not."""
    for position, record in enumerate(source):
        row = columns(record)
        value = number(row.get(by))
        if record.status != "ok":
            counts[f"not ok ({record.status})"] += 1
        elif value is None or not math.isfinite(value):
            counts[f"without {by}"] += 1
        elif not all(condition.holds(row) for condition in conditions):
            counts["where not met"] += 1
        elif contaminated(record, tests):
            counts["contaminated"] += 1
        else:
            yield float(value), record.id, position


def _check_columns(source: StageInput, names: Sequence[str]) -> None:
    """Check that each column is there and holds a number somewhere, or nothing at all."""
    numbers, others = set[str](), dict[str, Any]()
    for record in source:
        for name, value in columns(record).items():
            if number(value) is not None:
                numbers.add(name)
            elif others.get(name) is None:
                others[name] = value
        if numbers.issuperset(names):
            return
    problems = [f"no column {name}" for name in names if name not in numbers and name not in others]
    problems += [
        f"{name} holds no number (in the first row that has it: {str(others[name])[:SHOWN]!r})"
        for name in names
        if name not in numbers and others.get(name) is not None
    ]
    if problems:
        listed = ", ".join(sorted(numbers)) or "none"
        raise InputError(
            f"{'; '.join(dict.fromkeys(problems))} in {source.about['source']}", fix=f"Columns of numbers: {listed}."
        )


def _noted(note: Path) -> dict[str, Any]:
    """What a note beside an earlier selection says; nothing if there is none that can be read."""
    try:
        content = orjson.loads(note.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(path: Path) -> str:
    with explained(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(path: str | Path) -> dict[str, str]:
    try:
        with Path(path).open("rb") as file:
            return {"file": os.fspath(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise InputError(f"--decontaminate {path} cannot be read: {error.strerror}") from error
