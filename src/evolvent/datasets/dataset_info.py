"""dataset_info.json: what LLaMA-Factory reads to know the files of a folder."""

from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import InputError
from evolvent.files import output_path, replacing

NAME = "dataset_info.json"
KINDS = (".json", ".jsonl", ".csv", ".parquet")

_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "system_tag": "system",
}

# What it is told of each format: how it calls the columns and, where they are not its own, the tags of a turn. Its
# formatting "openai" would do for messages, too, but adds "detailed thinking off" to every system turn.
_SHAPES: dict[str, dict[str, Any]] = {
    "alpaca": {"columns": {"prompt": "instruction", "query": "input", "response": "output"}},
    "sharegpt": {"formatting": "sharegpt", "columns": {"messages": "conversations"}},
    "messages": {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": _TAGS},
}
_PAIRS = {
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"},
    "tags": _TAGS,
}


def messages_entry(file: str, *, preference: bool) -> dict[str, Any]:
    """The entry of a file of messages; of preference pairs, with the two answers as turns of their own."""
    return {"file_name": file, **(_PAIRS if preference else _SHAPES["messages"])}


def check_described(path: Path, format: str) -> None:
    """Check that LLaMA-Factory can be told of a file.

    Raises:
        InputError: it takes no such format or kind of file, or the ``dataset_info.json`` that is there is none.
    """
    if format not in _SHAPES:
        raise InputError(f"dataset_info: LLaMA-Factory takes no {format}", fix=f"Write {', '.join(_SHAPES)}.")
    if path.suffix not in KINDS or (path.suffix == ".csv" and format != "alpaca"):
        raise InputError(
            f"dataset_info: LLaMA-Factory takes no {format} in {path.name}", fix="Write .json, .jsonl or .parquet."
        )
    _entries(path.with_name(NAME))


def describe(path: Path, format: str, columns: tuple[str, ...]) -> None:
    """Enter a file into the ``dataset_info.json`` beside it, under its name without the ending; other entries stay.

    Args:
        path: the file.
        format: its format.
        columns: the columns that its rows have.

    Raises:
        InputError: it cannot be written.
    """
    place = path.with_name(NAME)
    entry: dict[str, Any] = {"file_name": path.name, **_SHAPES[format]}
    if "system" in columns and format == "alpaca":
        entry["columns"] = {**entry["columns"], "system": "system"}
    entries = {**_entries(place), path.stem: entry}
    with replacing(output_path(place)) as file:
        file.write(orjson.dumps(entries, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _entries(place: Path) -> dict[str, Any]:
    """What a ``dataset_info.json`` holds; nothing if there is none."""
    try:
        found = orjson.loads(place.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"{place} cannot be read: {error}", fix="Correct it, or write to another folder.") from None
    if not isinstance(found, dict):
        raise InputError(f"{place} is no JSON object", fix="Correct it, or write to another folder.")
    return found
