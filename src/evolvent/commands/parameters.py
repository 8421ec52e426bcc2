"""The parameters of a command, made of the options of its function; a command passes on what was typed, and no more."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

import typer

from evolvent.options import Function, Option, chosen_method, options_in, options_of, typed_name


def parameters(function: Function[Any], method: str | None) -> Iterator[inspect.Parameter]:
    """The parameters of a command as Typer reads them.

    Args:
        function: the command's function.
        method: whose options the help shows; those of other methods are parsed, too, so that they can be refused by
            name.
    """
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            yield _argument(parameter)
    shown = options_of(function, method)
    others = {
        name: one
        for group in (function.methods[1].values() if function.methods else ())
        for name, one in options_in(group).items()
        if name not in shown
    }
    for one in (*shown.values(), *others.values()):
        if one.about.typed:
            yield _option(one, hidden=one.name in others)


def values(function: Function[Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a function, of what was typed for its command.

    Raises:
        InputError: a text that cannot be read.
    """
    options = options_of(function, chosen_method(function, typed))
    return {name: _read(options[name], value) if name in options else value for name, value in typed.items()}


def method_in(function: Function[Any], typed: Sequence[str]) -> str | None:
    """The method that a command line names, or the function's own; None if it has no methods."""
    if function.methods is None:
        return None
    name, groups = function.methods
    option = typed_name(options_of(function)[name])
    before = typed[: typed.index("--")] if "--" in typed else typed
    words = [word for text in before for word in (text.split("=", 1) if text.startswith(f"{option}=") else [text])]
    named = [after for word, after in pairwise(words) if word == option]
    default = str(options_of(function)[name].default)
    return next((one for one in reversed(named) if one in groups), default)


def further(function: Function[Any], method: str | None) -> str | None:
    """A line that says where the options of other methods are shown."""
    if function.methods is None:
        return None
    name, groups = function.methods
    option = typed_name(options_of(function)[name])
    others = [f"{option} {other} --help" for other in groups if other != method]
    return f"These are the options of {method}; more with {' or '.join(others)}."


def _read(option: Option, value: Any) -> Any:
    return value if option.about.parse is None else option.about.parse(value, typed_name(option))


def _argument(parameter: inspect.Parameter) -> inspect.Parameter:
    _, about = get_args(parameter.annotation)
    info = typer.Argument(metavar=about.metavar, help=about.help, show_default=False)
    optional = parameter.default is not parameter.empty
    kind = Annotated[str | None, info] if optional else Annotated[str, info]
    return parameter.replace(
        annotation=kind, default=None if optional else parameter.empty, kind=parameter.KEYWORD_ONLY
    )


def _option(option: Option, *, hidden: bool) -> inspect.Parameter:
    about = option.about
    kind = list[str] if about.repeatable else _kind(option)
    info = typer.Option(
        about.flag or typed_name(option),
        metavar=about.metavar or ("NAME" if about.names else None),
        help=f"{about.text} Repeatable." if about.repeatable else about.text,
        min=about.least if kind is int else None,  # of others the words of our own error say more
        hidden=hidden,
        show_default=not option.required,
    )
    if option.required and not hidden:
        return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, info])
    default = None if option.required else _shown(option.default)
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind | None, info], default=default
    )


def _kind(option: Option) -> Any:
    """The type of an option on the command line: its own, or text."""
    kinds = {kind for kind in get_args(option.kind) or (option.kind,) if kind is not NoneType}
    return kinds.pop() if len(kinds) == 1 and kinds <= {bool, int, float, Path} else str


def _shown(default: Any) -> Any:
    """A default as it would be typed; None for one that is not to be shown."""
    return ",".join(default) or None if isinstance(default, list | tuple) else default
