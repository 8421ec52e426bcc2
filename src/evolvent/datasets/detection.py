"""Which format data has, by the columns of its first row and the mapped ones; and the mapped columns put in place."""

from collections.abc import Mapping
from itertools import islice

from evolvent.datasets.formats import FORMATS, Row
from evolvent.datasets.sources import Source
from evolvent.errors import InputError

# Words that stand in the names of columns with questions and with answers.
ASKS = ("question", "query", "problem", "task", "text", "title")
ANSWERS = ("answer", "response", "solution", "completion", "canonical_solution", "target", "code")
# The column for the answer, in the formats where it may be missing.
ANSWER_COLUMNS = {"alpaca": "output", "prompt_completion": "completion"}


def find_format(source: Source, mapping: Mapping[str, str], limit: int | None) -> str:
    """The format of data: one that has the mapped columns and that the first row fits.

    Args:
        source: the data.
        mapping: a format's column to the data's.
        limit: how many rows are looked at for the first that is an object.

    Raises:
        InputError: the first row fits no format, has not the mapped columns, or holds the answer in another column.
    """
    rows = (row.value for row in islice(source.read(0), limit) if isinstance(row.value, Mapping) and row.value)
    first: Row = dict(next(rows, {}))
    alone = next(rows, None) is None
    missing = [column for column in mapping.values() if column.partition(".")[0] not in first and column not in first]
    if missing and first:
        raise InputError(
            f"{source.name}: map names {', '.join(missing)}, which the first row does not have. "
            f"Columns found: {', '.join(first)}",
            fix=f"Correct --map{_suggestion(missing, first)}.",
        )
    if not mapping:
        _check_no_other(first, source.name)
        if alone:
            _check_not_around(first, source.name)
    found = _detect(mapped(first, mapping)[0], mapping)
    if found is not None:
        if not mapping:
            _check_answer(first, found, source.name)
        return found
    if mapping:  # the first row is a bad one, which the check says
        return next(name for name in ("alpaca", *reversed(FORMATS)) if mapping.keys() <= set(FORMATS[name].columns))
    if not first:
        return "alpaca"  # no row at all, or none that is an object: the check says so
    raise _undetected(first, source.name)


def _suggestion(missing: list[str], row: Row) -> str:
    """Which columns may be meant, where they differ in case and blanks only."""
    plain = {_plain(name): name for name in row}
    meant = [f"{name!r} is {plain[_plain(name)]!r} here" for name in missing if _plain(name) in plain]
    return f": {', '.join(meant)}" if meant else ""


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _detect(row: Row, mapping: Mapping[str, str]) -> str | None:
    """The format of a row by its columns (those that are null do not count) and the mapped ones, or None."""
    names = frozenset(name for name, value in row.items() if value is not None)
    # A user's column of the name of ours that holds something else, a number say, makes no conversation if others fit.
    likely = frozenset(name for name in names if _may_be(name, row[name]))
    fitting = (
        name
        for seen in (likely, names)
        for name, spec in FORMATS.items()
        if mapping.keys() <= set(spec.columns) and spec.matches(frozenset(row) if name == "record" else seen)
    )
    return next(fitting, None)


def _may_be(name: str, value: object) -> bool:
    """Whether a column may hold what a format has in a column of that name."""
    if name in ("messages", "conversations", "conversation"):
        turns = isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)
        return turns or (isinstance(value, str) and value.lstrip().startswith("["))
    if name in ("chosen", "rejected"):
        return isinstance(value, str | list | tuple | Mapping)
    return name not in ("prompt", "turns") or isinstance(value, str | list | tuple)


def _check_no_other(row: Row, name: str) -> None:
    """Check that the first row is none of a file of evolvent's that holds no instruction data."""
    if {"selected", "how", "counts"} <= row.keys():
        raise InputError(
            f"{name} says how {row['selected']} was chosen: it is the note of a selection, and holds no rows",
            fix=f"Name {row['selected']}.",
        )
    functions = row.get("functions")
    if isinstance(functions, list) and functions and all(isinstance(one, dict) and "code" in one for one in functions):
        raise InputError(
            f"{name} holds AutoIF's verified instructions with their functions, which are no instruction data",
            fix="Name the run's folder, its responses.parquet or its sft.jsonl; with --format alpaca the instructions "
            "are taken as seeds.",
        )


def _check_not_around(row: Row, name: str) -> None:
    """Check that the only object of data does not hold the rows."""
    values = list(row.values())
    lists = len(row) > 1 and all(
        isinstance(value, list) and value and not isinstance(value[0], dict) for value in values
    )
    columns = bool(row) and (
        all(isinstance(value, dict) and "0" in value for value in values)
        or {"columns", "data"} <= row.keys() <= {"columns", "index", "data", "index_names", "column_names"}
        or (lists and "turns" not in row)
    )
    if columns:
        raise InputError(
            f"{name} is one JSON object that holds columns, as pandas' to_json writes them",
            fix='Write rows: to_json(..., orient="records").',
        )
    if _detect(row, {}) is not None:
        return
    found = _rows_inside(row)
    if found is not None:
        path, count = found
        raise InputError(
            f'{name} is one JSON object, not a list of rows; its key "{path[0]}" holds {count:,} of them',
            fix=f"Take them out: jq -c '{_jq(path)}' {name} > rows.jsonl",
        )
    if len(row) > 1 and all(isinstance(value, dict) and _detect(value, {}) for value in values):
        raise InputError(
            f"{name} is one JSON object, not a list of rows; each of its {len(row):,} keys holds one",
            fix=f"Take them out: jq -c '.[]' {name} > rows.jsonl",
        )


def _rows_inside(row: Row, depth: int = 3) -> tuple[list[str], int] | None:
    """Where a list of rows stands in an object, as keys, and how many they are; a last key if each row is wrapped."""
    for key, value in row.items():
        if isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value):
            wrapped = all(isinstance(inner.get("row"), dict) for inner in value)  # as the Hub's server gives them
            return [key, "[]", *(["row"] if wrapped else [])], len(value)
        if isinstance(value, dict) and depth:
            found = _rows_inside(value, depth - 1)
            if found is not None:
                return [key, *found[0]], found[1]
    return None


def _jq(path: list[str]) -> str:
    """A path of keys as jq writes it."""
    steps = (key if key == "[]" else f".{key}" if key.isidentifier() else f'.["{key}"]' for key in path)
    return "".join(steps).replace("].[", "][")


def _check_answer(row: Row, format: str, name: str) -> None:
    """Check that a row without an answer has none under another name."""
    column = ANSWER_COLUMNS.get(format)
    if column is None or row.get(column) is not None:
        return
    texts = {c.lower(): c for c, value in row.items() if isinstance(value, str) and value.strip()}
    answer = next((texts[word] for word in ANSWERS if word in texts), None)
    if answer is None:
        return
    hint = f"{column}={answer}"
    if format == "alpaca" and "input" not in row and isinstance(row.get("context"), str):
        hint = f"input=context,{hint}"
    raise InputError(
        f'{name}: the first row has no "{column}", but the column "{answer}" looks like the answer',
        fix=f"Say so with --map {hint}, or keep it as a column of your own with --format {format}.",
    )


def _undetected(row: Row, name: str) -> InputError:
    """The error for a row that no format fits: what was found, what was tried, and the mapping that may be meant."""
    tried = "; ".join(f"{format} ({spec.needs})" for format, spec in FORMATS.items())
    texts = [column for column, value in row.items() if isinstance(value, str)] or list(row)
    question = next((c for word in ASKS for c in texts if word in c.lower()), texts[0] if texts else "COLUMN")
    rest = [column for column in texts if column != question]
    answer = next((c for word in ANSWERS for c in rest if word in c.lower()), rest[0] if rest else None)
    alike = _alike(row)
    hint = f"instruction={question}" + (f",output={answer}" if answer else "")
    if alike:
        hint = ",".join(f"{ours}={theirs}" for ours, theirs in alike.items())
    if " " in hint:
        hint = f"'{hint}'"
    return InputError(
        f"{name}: the columns fit no format. Columns found: {', '.join(row) or 'none'}. Formats tried: {tried}",
        fix=f"Say which column is what, for example --map {hint}, or name the format with --format.",
    )


def _alike(row: Row) -> dict[str, str]:
    """The columns of a format that a row has, but for upper case, blanks and the like; none if it fits no format so."""
    plain = {_plain(name): name for name in row}
    for spec in FORMATS.values():
        columns = {name: plain[name] for name in spec.columns if name in plain}
        if spec.matches(frozenset(columns)):
            return columns
    return {}


def check_mapping(mapping: Mapping[str, str], format: str | None) -> None:
    """Check that the mapped columns are those of the format, or of any one format if it is not named.

    Raises:
        InputError: they are not.
    """
    known = dict.fromkeys(column for name in ([format] if format else FORMATS) for column in FORMATS[name].columns)
    for column in mapping:
        if column not in known:
            raise InputError(
                f"map names {column!r}, which is no column of {format or 'any format'}",
                fix=f"Map one of {', '.join(known)} to a column of the data, as in instruction=question.",
            )
    if not any(mapping.keys() <= set(spec.columns) for spec in FORMATS.values()):
        formats = "; ".join(f"{name} ({', '.join(spec.columns)})" for name, spec in FORMATS.items())
        raise InputError(
            f"map names {', '.join(mapping)}, which no one format has", fix=f"Map the columns of one: {formats}."
        )


def mapped(row: Row, mapping: Mapping[str, str]) -> tuple[Row, Row]:
    """A row with the mapped columns under the format's names, and the user's columns of these names.

    A column that is only reached into stays.
    """
    used = set(mapping.values())
    renamed = {name: value for name, value in row.items() if name not in used}
    displaced = {name: renamed.pop(name) for name in mapping if name in renamed}
    for name, path in mapping.items():
        renamed[name] = row[path] if path in row else _inside(row, path)
    return renamed, displaced


def _inside(row: Row, path: str) -> object:
    """The value that a path like ``instances.0.input`` reaches; None if there is none."""
    value: object = row
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
