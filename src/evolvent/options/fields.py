"""An option: a field of a group, with all that there is to know of it, and its value: typed, read, checked."""

import contextlib
import functools
import json
import math
import numbers
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from evolvent.errors import InputError
from evolvent.parse_errors import json_error


class OptionError(InputError):
    """An option's value is wrong.

    Args:
        option: the option's name, as in Python.
    """

    def __init__(self, option: str, message: str, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.option = option


class OptionTypeError(OptionError, TypeError):
    """An option's or an argument's value is of another type: what Python calls a TypeError, and a wrong input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is known of an option besides its name, its type and its default (see ``option``)."""

    help: str
    more: str = ""
    metavar: str | None = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    flag: str | None = None
    names: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    repeatable: bool = False
    parse: Callable[[Any, str], Any] | None = None
    check: Callable[[Any], object] | None = None
    typed: bool = True
    optional: bool = False

    @property
    def text(self) -> str:
        """The help; with the names that a value may have, if it does not say them."""
        if all(name in self.help for name in self.names):
            return self.help
        return f"{self.help.removesuffix('.')}: {', '.join(self.names[:-1])} or {self.names[-1]}."


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a group.

    Attributes:
        name: its name in Python.
        kind: its type.
        default: its default; MISSING if there is none.
        about: the rest.
        method: the method whose option it is; None if it is one of the function's own.
    """

    name: str
    kind: Any
    default: Any
    about: About
    method: str | None = None

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is MISSING


def option(help: str, default: Any = MISSING, *, names: Iterable[str] = (), **about: Any) -> Any:
    """A field of a group of options.

    Args:
        help: one sentence, for the command line's help and the docstring alike.
        default: its value where it is not given; without one it has to be.
        names: the only values that it can have.
        about: the rest of ``About``. ``more``: further words, for the docstring alone. ``least``, ``above``,
            ``most``: bounds of a number. ``lines``: told below the help. ``flag``: both forms of a switch,
            ``--breadth/--no-breadth``. ``repeatable``: it may be typed several times. ``parse``: makes the value of
            what was typed (a list of texts if repeatable) and of the option's name as typed. ``check``: raises
            InputError for a value that cannot work, before anything begins. ``typed``: False for what only Python
            has.
    """
    return field(default=default, kw_only=True, metadata={"about": About(help=help, names=tuple(names), **about)})


def argument(help: str, metavar: str, *, optional: bool = False, **about: Any) -> About:
    """What is known of an argument, the data say: ``data: Annotated[Data, argument("A file.", "DATA")]``."""
    return About(help=help, metavar=metavar, optional=optional, **about)


@functools.cache
def options_in(group: type) -> dict[str, Option]:
    """The options of one group by name."""
    kinds = get_type_hints(group)
    return {one.name: Option(one.name, kinds[one.name], one.default, one.metadata["about"]) for one in fields(group)}


def typed_name(option: Option, value: Any = True) -> str:
    """An option as it is typed: ``--no-breadth`` for ``breadth`` with the value False."""
    on, _, off = (option.about.flag or f"--{option.name.replace('_', '-')}").partition("/")
    return off if off and value is False else on


def names(text: str, option: str) -> list[str]:
    """``A,B``: names with commas between them.

    Raises:
        InputError: a name is missing.
    """
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise InputError(f"{option} {text!r} lacks a name", fix=f"Write names with commas between them: {option} A,B")
    return found


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``KEY=VALUE``, as often as it was typed.

    Raises:
        InputError: a text is no such pair, or a key comes twice.
    """
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            fix = f"Write a name, = and the value: {option if option.startswith('--') else ''} NAME={value or text}"
            raise InputError(f"{option} {text!r} is not KEY=VALUE", fix=" ".join(fix.split()))
        if key.strip() in found:
            raise InputError(f"{option} gives {key.strip()} twice", fix="Give it once.")
        found[key.strip()] = value  # as it is written: a CSV file may well have a column " answer"
    return found


def mapping(text: str, option: str) -> dict[str, str] | None:
    """``KEY=VALUE,KEY=VALUE``.

    Raises:
        InputError: a part of it is no such pair.
    """
    return pairs(text.split(","), option) if text else None


def share(text: str, option: str) -> float:
    """``80%`` or ``0.8``.

    Raises:
        InputError: it is no number.
    """
    number = text.strip()
    try:
        return float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        raise InputError(f"{option} {text!r} is no share", fix=f"Examples: {option} 80%, {option} 0.8.") from None


# A JSON object, as it is typed.
OBJECT = """'{"top_k": 20}'"""


def as_json(text: str, option: str) -> dict[str, object] | None:
    """A JSON object.

    Raises:
        InputError: it is none.
    """
    if not text:
        return None
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{option} is not JSON: {json_error(error)}", fix=f"Example: {option} {OBJECT}") from error
    if not isinstance(body, dict):
        raise InputError(f"{option} is not a JSON object", fix=f"Example: {option} {OBJECT}")
    return body


# The longest value that an error quotes.
SHOWN = 80


def checked(option: Option, value: Any) -> Any:
    """A value as the option's type has it: a whole number as a float, a text as a path, where these are wanted.

    Args:
        option: the option.
        value: its value.

    Raises:
        OptionTypeError: it is of another type.
        InputError: it is out of bounds, unknown, or does not pass the option's own check.
    """
    name, about = option.name, option.about
    if value is option.default:
        return value
    if value is None and option.method and not option.required:  # the method's own default, as for those of others
        return option.default
    fitted = _fitted(option.kind, value)
    if fitted is MISSING:
        raise _of_another_type(name, option.kind, value)
    if isinstance(fitted, int | float) and not isinstance(fitted, bool):
        _check_bounds(name, about, fitted)
    if about.names:
        for one in fitted if isinstance(fitted, tuple) else [fitted]:
            if one is not None and one not in about.names:
                words = f"{option.method} has no {name} {one!r}" if option.method else f"unknown {name} {one!r}"
                raise OptionError(name, words, fix=f"Known are: {', '.join(about.names)}.")
    if about.check is not None and fitted is not None:
        try:
            about.check(fitted)
        except InputError as error:
            raise OptionError(name, error.message, fix=error.fix) from error
    return fitted


def check_argument(name: str, kind: Any, value: Any, about: About | None) -> None:
    """Check that the value of an argument is of its type; what rows of data hold is found out when they are read.

    Raises:
        OptionTypeError: it is not.
    """
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    origins = tuple(get_origin(one) or one for one in kinds)
    classes = tuple(os.PathLike if one is Path else one for one in origins if isinstance(one, type))
    if len(classes) == len(origins) and (not isinstance(value, classes) or isinstance(value, bytes)):
        raise _of_another_type(name, kind, value, f" {about.text} {about.more}".rstrip() if about else "")


def _of_another_type(name: str, kind: Any, value: Any, more: str = "") -> OptionTypeError:
    wanted = " or ".join(dict.fromkeys(_named(kind)))
    return OptionTypeError(name, f"{name} is {short(value)}", fix=f"It is {wanted}.{more}")


def read_text(option: Option, value: Any) -> Any:
    """A value as a file may have it: a text that is none of the option's type is read as if it had been typed.

    Raises:
        InputError: the option's own ``parse`` cannot read it.
    """
    if not isinstance(value, str) or _fitted(option.kind, value) is not MISSING:
        return value
    if option.about.parse is not None:
        try:
            return option.about.parse([value] if option.about.repeatable else value, option.name)
        except InputError as error:
            raise OptionError(option.name, error.message, fix=error.fix) from error
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if (number := _fitted(option.kind, kind(value))) is not MISSING:
                return number
    return value


def _check_bounds(name: str, about: About, value: float) -> None:
    low = about.least if about.above is None else about.above
    words = [
        "is a finite number" if low is None and about.most is None else "",
        f"is at least {about.least:g}" if about.least is not None else "",
        f"is above {about.above:g}" if about.above is not None else "",
        f"is at most {about.most:g}" if about.most is not None else "",
    ]
    fits = (
        math.isfinite(value)
        and (about.least is None or value >= about.least)
        and (about.above is None or value > about.above)
        and (about.most is None or value <= about.most)
    )
    if not fits:
        raise OptionError(name, f"{name} is {value:g}", fix=f"It {' and '.join(filter(None, words))}.")


def _fitted(kind: Any, value: Any) -> Any:
    """A value as a type has it; MISSING if it is none of this type."""
    origin = get_origin(kind) or kind
    if origin in (Union, types.UnionType):
        found = (_fitted(one, value) for one in get_args(kind))
        return next((one for one in found if one is not MISSING), MISSING)
    if origin is tuple:
        several = value if isinstance(value, list | tuple) else [value]
        fitted = tuple(_fitted(get_args(kind)[0], one) for one in several)
        return MISSING if any(one is MISSING for one in fitted) else fitted
    if origin is Literal:
        return value if value in get_args(kind) else MISSING
    if origin in (bool, str):
        return value if isinstance(value, origin) else MISSING
    if origin is int or origin is float:
        wanted: Any = numbers.Integral if origin is int else numbers.Real
        if origin is int and isinstance(value, float) and value.is_integer():  # 2.0, as some programs write a 2
            return int(value)
        return origin(value) if isinstance(value, wanted) and not isinstance(value, bool) else MISSING
    if origin is Path:
        return Path(value) if isinstance(value, str | os.PathLike) else MISSING
    if kind is None or origin is types.NoneType:
        return value if value is None else MISSING
    if origin is Callable or origin is Any or not isinstance(origin, type):
        return value if origin is not Callable or callable(value) else MISSING
    if origin is object:
        return value
    if not isinstance(value, origin) or (isinstance(value, str | bytes | Mapping) and issubclass(Sequence, origin)):
        return MISSING
    inner = get_args(kind)
    if (
        isinstance(value, Mapping)
        and inner
        and any(_fitted(kind, one) is MISSING for pair in value.items() for kind, one in zip(inner, pair, strict=True))
    ):
        return MISSING
    if isinstance(value, list | tuple) and inner and any(_fitted(inner[0], one) is MISSING for one in value):
        return MISSING
    return value


def _named(kind: Any) -> Iterator[str]:
    """A type in words, each of its alternatives."""
    origin = get_origin(kind) or kind
    if origin in (Union, types.UnionType):
        for one in get_args(kind):
            yield from _named(one)
    elif origin is tuple:
        yield from (*_named(get_args(kind)[0]), "a list")
    elif origin is Literal:
        yield from map(str, get_args(kind))
    elif isinstance(origin, type) and issubclass(Sequence, origin):
        yield "a list"
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield "a mapping of texts" if set(get_args(kind)) == {str} else "a mapping"
    elif origin is not types.NoneType:
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
        yield words.get(origin, f"a {getattr(origin, '__name__', origin)}")


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
