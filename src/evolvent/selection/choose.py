"""Choose: which rows of a source are kept, and why the others are not. Reads records, writes nothing."""

import hashlib
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from evolvent.contamination import contaminated
from evolvent.datasets.language import languages
from evolvent.errors import InputError
from evolvent.near_duplicates import SpooledTexts, distinct
from evolvent.records import CUT, Record
from evolvent.selection.columns import columns
from evolvent.selection.languages import in_another_language
from evolvent.selection.refusals import refuses
from evolvent.selection.where import Condition, number, text

if TYPE_CHECKING:
    import numpy as np

# Of what the best row is kept: the noun for the counts, and what tells one from another.
BEST_PER: dict[str, tuple[str, Callable[[Record], str]]] = {
    "instruction": ("instruction", lambda record: f"{record.instruction}\0{record.input}"),
    "seed_id": ("seed", lambda record: record.seed_id),
}

# Ids that are packed together into an array: of a million rows no Python object each.
PACKED = 10_000

# Characters of a value that is no number, in a message.
SHOWN = 40


@dataclass(frozen=True, slots=True)
class Top:
    """How much to keep: a percentage or a number of rows."""

    size: Decimal
    percent: bool

    def __call__(self, rows: int) -> int:
        """How many of ``rows`` are kept: int(N * p), computed exactly."""
        return int(rows * self.size / 100) if self.percent else min(rows, int(self.size))

    def __str__(self) -> str:
        return f"{self.size}%" if self.percent else str(self.size)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What rows are chosen by.

    Attributes:
        by: the column of numbers to go by.
        top: how much to keep of the rows that compete.
        ascending: keep the lowest instead of the highest.
        where: conditions that must all hold.
        best_per: ``instruction`` or ``seed_id``: only the best row of each competes.
        keep_cut: whether answers that were cut compete.
        drop_refusals: whether answers that refuse do not.
        language: only rows in this language compete, and those where none can be told.
        dedup: of rows with this share of n-grams in common only the best competes.
        tests: n-grams of test files; rows that share one do not compete.
        format: the format of the data file; None if the rows are a run's.
    """

    by: str
    top: Top
    ascending: bool = False
    where: tuple[Condition, ...] = ()
    best_per: str | None = None
    keep_cut: bool = False
    drop_refusals: bool = False
    language: str | None = None
    dedup: float | None = None
    tests: Set[bytes] = frozenset()
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows are kept.

    Attributes:
        kept: a byte for each row of the source, 1 if it is kept.
        counts: rows, those that do not compete by why, those that do, those selected.
        edge: the value of the last row that is kept; None if none is.
    """

    kept: bytes
    counts: dict[str, int]
    edge: float | None


def parse_top(text: str | float) -> Top:
    """Parse ``25%``, ``0.25`` or ``1000``.

    Raises:
        InputError: it is neither, or nothing could be selected by it.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", str(text))
    size = Decimal(match[1]) if match else Decimal(0)
    percent = bool(match and match[2])
    if percent and size > 100:
        raise InputError(f"top {text!r} is more than all rows", fix="A share is 100% at most.")
    if not percent and 0 < size < 1:
        size, percent = size * 100, True
    if size <= 0 or (not percent and size != int(size)):
        raise InputError(f"top {text!r} is neither a share nor a number of rows", fix="Examples: 25%, 0.25, 1000.")
    return Top(size, percent)


def check_best_per(name: str) -> None:
    """Check that the best row can be kept of each of these.

    Raises:
        InputError: it cannot.
    """
    if name not in BEST_PER:
        raise InputError(f"best_per {name!r} is not known", fix=f"One of: {', '.join(BEST_PER)}.")


def check_language(code: str) -> None:
    """Check that texts in a language can be told.

    Raises:
        InputError: they cannot.
    """
    if code not in languages():
        raise InputError(
            f"language {code!r} is none that can be told", fix=f"Codes (ISO 639-1): {', '.join(languages())}."
        )


def choose(records: Iterable[Record], criteria: Criteria) -> Chosen:
    """The rows with the best values among those that compete; equal values in the order of their ids.

    Memory: 100 to 200 bytes for each row that competes, whatever it holds; with ``dedup`` 1 to 3 kB.

    Args:
        records: the rows, read once.
        criteria: what to choose by.
    """
    import numpy as np

    counts: Counter[str] = Counter()
    positions, values, groups = array("q"), array("d"), array("Q")
    of = BEST_PER[criteria.best_per] if criteria.best_per else None
    texts = SpooledTexts() if criteria.dedup else None

    def competing() -> Iterator[bytes]:
        for value, position, record in _competing(records, criteria, counts):
            positions.append(position)
            values.append(value)
            if of is not None:
                key = of[1](record).encode("utf-8", "surrogatepass")
                groups.append(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()))
            if texts is not None:
                texts.append(record.question)
            yield record.id.encode()

    ids = _packed(competing())
    value = np.frombuffer(values) if criteria.ascending else -np.frombuffer(values)
    order = np.lexsort((ids, value))
    if of is not None:
        first = np.unique(np.frombuffer(groups, np.uint64)[order], return_index=True)[1]
        counts[f"not the best of its {of[0]}"] += len(order) - len(first)
        order = order[np.sort(first)]
    if texts is not None and criteria.dedup:
        new = np.fromiter(distinct(texts, order.tolist(), criteria.dedup), bool, len(order))
        counts["near-duplicates of a better one"] += len(order) - int(new.sum())
        order = order[new]
    best = order[: criteria.top(len(order))]
    kept = np.zeros(counts["rows"], np.uint8)
    kept[np.frombuffer(positions, np.int64)[best]] = 1
    edge = values[int(best[-1])] if len(best) else None
    words = {why: n for why, n in counts.items() if n or why == "rows"}
    return Chosen(kept.tobytes(), {**words, "competing": len(order), "selected": len(best)}, edge)


def _competing(
    records: Iterable[Record], criteria: Criteria, counts: Counter[str]
) -> Iterator[tuple[float, int, Record]]:
    """Value and position of the rows that compete, with the row; the others are counted by why they do not."""
    counts["rows"] = 0
    for position, record in enumerate(records):
        counts["rows"] += 1
        row = columns(record, criteria.format)
        value = number(row.get(criteria.by))
        other: bool | None = False
        if record.status != "ok":
            counts[f"not ok ({record.status})"] += 1
        elif value is None or not math.isfinite(value):
            counts[f"without {criteria.by}"] += 1
        elif not criteria.keep_cut and _finish_reason(record, row, criteria.format) in CUT:
            counts["cut (--keep-cut keeps them)"] += 1
        elif not all(condition.holds(row) for condition in criteria.where):
            counts["where not met"] += 1
        elif criteria.drop_refusals and refuses(record):
            counts["refusals"] += 1
        elif criteria.language and (other := in_another_language(record, criteria.language)):
            counts["in another language"] += 1
        elif contaminated(record, criteria.tests):
            counts["contaminated"] += 1
        else:
            if other is None:
                counts["kept though no language can be told"] += 1
            yield float(value), position, record


def _finish_reason(record: Record, row: dict[str, Any], format: str | None) -> object:
    """Why a row's generation ended; a user's column of that name says nothing of it."""
    return row.get("finish_reason") if format == "record" else record.finish_reason


def _packed(ids: Iterator[bytes]) -> "np.ndarray":
    """Ids as an array of bytes, whose order is that of the texts."""
    import numpy as np

    packed = [np.array(batch) for batch in iter(lambda: list(islice(ids, PACKED)), [])]
    return np.concatenate(packed) if packed else np.empty(0, "S1")


def _why_none(row: Mapping[str, Any], score: str) -> list[str]:
    """Why a row lacks a score, where it says so: the reasons of that metric, else those of the base model's pass."""
    name, _, model = score.partition("@")
    text = row.get(f"score_reason@{model}" if model else "score_reason")
    reasons = str(text).split("; ") if text else []
    return [why.removeprefix(f"{name}: ") for why in reasons if why.startswith(f"{name}: ")] or reasons


def check_columns(records: Iterable[Record], criteria: Criteria, name: str) -> None:
    """Check that each column is there and holds what it is compared with somewhere, or nothing at all.

    Args:
        records: the rows; read until every column was found.
        criteria: what names the columns.
        name: the data's name, for messages.

    Raises:
        InputError: a column is missing, or holds nothing of that kind.
    """
    kinds = [(at.column, "text" if isinstance(at.value, str) else "number") for at in criteria.where]
    wanted = dict.fromkeys([(criteria.by, "number"), *kinds])
    found, first, reasons = set[tuple[str, str]](), dict[str, Any](), Counter[str]()
    for record in records:
        row = columns(record, criteria.format)
        if row.get(criteria.by) is None:
            reasons.update(_why_none(row, criteria.by))
        for column, value in row.items():
            if number(value) is not None:
                found.add((column, "number"))
            if text(value) is not None:
                found.add((column, "text"))
            if first.get(column) is None:
                first[column] = value
        if found.issuperset(wanted):
            return
    problems = [f"no column {column}" for column, _ in wanted if column not in first]
    problems += [
        f"{column} holds no {kind} (in the first row that has it: {str(first[column])[:SHOWN]!r})"
        for column, kind in wanted
        if (column, kind) not in found and first.get(column) is not None
    ]
    if criteria.by in first and first[criteria.by] is None:
        [(why, rows)] = reasons.most_common(1) or [("", 0)]
        raise InputError(
            f"{criteria.by} is null in every row of {name}" + (f"; in {rows:,} because: {why}" if why else ""),
            fix="Select by another column, or mend the cause and score with --fresh (stored calls are not paid twice).",
        )
    if problems:
        numbers = {column for column, kind in found if kind == "number"}
        texts = {column for column, _ in found} - numbers
        raise InputError(
            f"{'; '.join(dict.fromkeys(problems))} in {name}",
            fix=f"Columns of numbers: {', '.join(sorted(numbers)) or 'none'}; "
            f"of text: {', '.join(sorted(texts)) or 'none'}.",
        )
