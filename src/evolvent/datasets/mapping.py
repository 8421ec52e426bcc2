"""A mapping: the columns of a format under the names that the data gives them."""

from collections.abc import Mapping

from evolvent.datasets.formats import FORMATS, Row
from evolvent.errors import InputError


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


def mapped(row: Row, mapping: Mapping[str, str]) -> Row:
    """The row with the mapped columns under the format's names; a column that is only reached into stays."""
    used = set(mapping.values())
    renamed = {name: value for name, value in row.items() if name not in used}
    displaced = {name: renamed.pop(name) for name in mapping if name in renamed}
    if displaced:
        meta = renamed.get("meta")
        ours = dict(meta) if isinstance(meta, dict) else {} if meta is None else {"meta": meta}
        renamed["meta"] = {**ours, "_columns": displaced}
    for name, path in mapping.items():
        renamed[name] = row[path] if path in row else _inside(row, path)
    return renamed


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
