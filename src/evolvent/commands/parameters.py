"""The parameters of a command, made of its interface; a command passes on what was typed, and no more."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

import typer

from evolvent.errors import InputError
from evolvent.options import About, Interface, Option, OptionError, typed_name

JSON = "json"


def parameters(interface: Interface, method: str | None) -> Iterator[inspect.Parameter]:
    """The parameters of a command as Typer reads them.

    Args:
        interface: what the command's function is given.
        method: whose options the help shows; those of other methods are parsed, too, so that they can be refused by
            name.
    """
    for name, about in interface.arguments.items():
        yield _argument(name, about)
    others = interface.others(method)
    for one in (*interface.options(method).values(), *others.values()):
        if one.about.typed:
            yield _option(one, hidden=one.name in others)


def json_switch() -> inspect.Parameter:
    """The parameter of a command that can print what its function returns as JSON."""
    help = "Print one JSON document on standard output instead, and nothing else there: docs/for-programs.md."
    return _keyword(JSON, Annotated[bool, typer.Option("--json", help=help)], False)


def values(interface: Interface, typed: Mapping[str, Any]) -> dict[str, Any]:
    """What is given to a function, of what was typed for its command.

    Raises:
        InputError: a text that cannot be read.
    """
    method = interface.method(typed)
    options = {**interface.others(method), **interface.options(method)}
    return {
        name: _read(options[name], value) if name in options else _read_argument(name, interface.arguments[name], value)
        for name, value in typed.items()
    }


def as_typed(interface: Interface, error: OptionError) -> InputError:
    """An error of an option, which it names as Python has it, as one that names it as it is typed."""
    name, _, words = error.message.partition(" ")
    every = {**interface.others(None), **interface.options()}
    if name != error.option or name not in every:
        return error
    return InputError(f"{typed_name(every[name])} {words}", fix=error.fix)


def method_in(interface: Interface, typed: Sequence[str]) -> str | None:
    """The method that a command line names, or the default one; None if there are no methods."""
    if not interface.methods:
        return None
    chooser = interface.options()[interface.choice]
    option = typed_name(chooser)
    before = typed[: typed.index("--")] if "--" in typed else typed
    words = [word for text in before for word in (text.split("=", 1) if text.startswith(f"{option}=") else [text])]
    named = [after for word, after in pairwise(words) if word == option]
    return next((one for one in reversed(named) if one in interface.methods), str(chooser.default))


def further(interface: Interface, method: str | None) -> str | None:
    """What stands below the help: what options have lines for, and where the options of other methods are shown."""
    told = [
        "\n".join(["\b", f"{typed_name(one)}:", *(f"  {line}" for line in one.about.lines)])
        for one in interface.options(method).values()
        if one.about.lines
    ]
    if interface.methods:
        option = typed_name(interface.options()[interface.choice])
        others = [f"{option} {other} --help" for other in interface.methods if other != method]
        told.append(f"These are the options of {method}; more with {' or '.join(others)}.")
    return "\n\n".join(told) or None


def _read(option: Option, value: Any) -> Any:
    return value if option.about.parse is None else option.about.parse(value, typed_name(option))


def _read_argument(name: str, about: About, value: Any) -> Any:
    return value if about.parse is None else about.parse(value, (about.metavar or name).rstrip("…"))


def _argument(name: str, about: About) -> inspect.Parameter:
    info = typer.Argument(metavar=about.metavar, help=about.text, show_default=False)
    if about.repeatable:
        return _keyword(name, Annotated[list[str], info])
    if about.optional:
        return _keyword(name, Annotated[str | None, info], None)
    return _keyword(name, Annotated[str, info])


def _option(option: Option, *, hidden: bool) -> inspect.Parameter:
    about = option.about
    kind = list[str] if about.repeatable else _kind(option)
    needed_by_method = option.required and option.method is not None  # that it is missing our own error says
    further = [*(["Repeatable."] if about.repeatable else []), *(["[required]"] if needed_by_method else [])]
    info = typer.Option(
        about.flag or typed_name(option),
        metavar=about.metavar or ("NAME" if about.names else None),
        help=" ".join([about.text, *further]),
        min=about.least if kind is int else None,  # of others the words of our own error say more
        hidden=hidden,
        show_default=not option.required,
    )
    if option.required and not needed_by_method and not hidden:
        return _keyword(option.name, Annotated[kind, info])
    return _keyword(option.name, Annotated[kind | None, info], None if option.required else _shown(option.default))


def _keyword(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def _kind(option: Option) -> Any:
    """The type of an option on the command line: its own, or text."""
    if option.about.parse is not None:
        return str
    kinds = {kind for kind in get_args(option.kind) or (option.kind,) if kind is not NoneType}
    return kinds.pop() if len(kinds) == 1 and kinds <= {bool, int, float, Path} else str


def _shown(default: Any) -> Any:
    """A default as it would be typed; None for one that is not to be shown."""
    return ",".join(default) or None if isinstance(default, list | tuple) else default
