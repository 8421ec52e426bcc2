"""A recipe as it is written: its content, and the line of each of its keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evolvent.errors import InputError
from evolvent.parse_errors import yaml_error

# What PyYAML raises: of its own; of a date or a number that cannot be; of what is nested too deep, or within itself.
NO_YAML = (yaml.YAMLError, ValueError, RecursionError)
CORRECT = "Correct it there. Lines are indented by blanks, not tabs; quote a text with ': ' in it or a sign before it."


@dataclass(frozen=True, slots=True)
class Written:
    """A recipe as it is written.

    Attributes:
        content: its stages and what they are given.
        lines: the line of each key, by the path to it.
        name: what to call the recipe in messages.
    """

    content: dict[str, Any]
    lines: Mapping[tuple[str, ...], int]
    name: str

    def place(self, *key: str) -> str:
        """Where a key is written, or the one above it."""
        while key and key not in self.lines:
            key = key[:-1]
        return f"{self.name}, line {self.lines[key]}" if key else self.name


def read_recipe(recipe: str | Path | Mapping[str, Any]) -> Written:
    """Read a recipe: a YAML file, or its content.

    Raises:
        InputError: the file cannot be read, or holds no stages.
    """
    if isinstance(recipe, Mapping):
        content = {key: dict(value) if isinstance(value, Mapping) else value for key, value in recipe.items()}
        return Written(content, {}, "recipe")
    path, text = Path(recipe), ""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
        lines = _lines(node, str(path))
    except FileNotFoundError:
        raise InputError(f"no recipe {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"recipe {path} cannot be read: {error}", fix="Check the path, or save it as UTF-8."
        ) from error
    except NO_YAML as error:
        raise InputError(f"recipe {path} is not YAML: {yaml_error(error, text)}", fix=CORRECT) from error
    if not isinstance(content, dict):
        raise InputError(f"recipe {path} holds no stages", fix="A recipe is lines of the form STAGE: {OPTION: VALUE}.")
    return Written(content, lines, str(path))


def _lines(node: yaml.Node | None, name: str, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """The line of each key; of one that is given twice YAML would take the last and say nothing."""
    found: dict[tuple[str, ...], int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        place, line = (*path, str(key.value)), key.start_mark.line + 1
        if place in found:
            raise InputError(
                f"recipe {name}, line {line}: {'.'.join(place)} is given twice, first on line {found[place]}",
                fix="Leave one of them out.",
            )
        found |= {place: line, **_lines(value, name, place)}
    return found


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; a string is read as YAML, as on the command line.

    Raises:
        InputError: it is no key of a stage, or the string is no YAML.
    """
    *stages, name = key.split(".")
    place = content
    for stage in stages:
        place = place.setdefault(stage, {})
        if not isinstance(place, dict):
            raise InputError(f"--set {key}: {stage} is no stage")
    try:
        place[name] = yaml.safe_load(value) if isinstance(value, str) else value
    except NO_YAML as error:
        raise InputError(
            f"--set {key}: {value!r} is not YAML: {yaml_error(error, value)}",
            fix="Quote it: --set 'KEY=\"a value\"'.",
        ) from error
