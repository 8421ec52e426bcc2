"""The value of an option: whether it is of the option's type and within its bounds."""

import contextlib
import math
import numbers
import os
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from evolvent.errors import InputError
from evolvent.options.fields import About, Option, OptionError

# The longest value that an error quotes.
SHOWN = 80


def checked(option: Option, value: Any) -> Any:
    """A value as the option's type has it: a whole number as a float, a text as a path, where these are wanted.

    Args:
        option: the option.
        value: its value.

    Raises:
        InputError: it is of another type, out of bounds, unknown, or does not pass the option's own check.
    """
    name, about = option.name, option.about
    if value is option.default:
        return value
    if value is None and option.method and not option.required:  # the method's own default, as for those of others
        return option.default
    fitted = _fitted(option.kind, value)
    if fitted is MISSING:
        wanted = " or ".join(dict.fromkeys(_named(option.kind)))
        raise OptionError(name, f"{name} is {short(value)}", fix=f"It is {wanted}.")
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


def read_text(option: Option, value: Any) -> Any:
    """A value as a file may have it: a text that is none of the option's type is read as if it had been typed.

    Raises:
        InputError: the option's own ``parse`` cannot read it.
    """
    if not isinstance(value, str) or _fitted(option.kind, value) is not MISSING:
        return value
    if option.about.parse is not None:
        return option.about.parse([value] if option.about.repeatable else value, option.name)
    with contextlib.suppress(ValueError):
        number = float(value)
        return int(value) if _fitted(option.kind, number) is MISSING else number
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
