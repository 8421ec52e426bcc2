"""Errors of parsers in one line: where a text is no YAML or no JSON, and why."""

import json


def yaml_error(error: Exception, text: str) -> str:
    """Where a text is no YAML, and why.

    Args:
        error: what PyYAML raised; of a value that cannot be (a 13th month) it names no place.
        text: the text.
    """
    why = getattr(error, "problem", None) or getattr(error, "reason", None) or " ".join(str(error).split())
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    if mark is not None:
        return f"line {mark.line + 1}, column {mark.column + 1}: {why}"
    if position is not None:
        before = text[:position]
        return f"line {before.count(chr(10)) + 1}, column {position - before.rfind(chr(10))}: {why}"
    return str(why)


def json_error(error: json.JSONDecodeError) -> str:
    """Where a text is no JSON, and why."""
    return f"line {error.lineno}, column {error.colno}: {error.msg}"
