"""An option: a field of a group, with all that is to be said of it."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_type_hints

from evolvent.errors import InputError


class OptionError(InputError):
    """An option's value is wrong.

    Args:
        option: the option's name, as in Python.
    """

    def __init__(self, option: str, message: str, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.option = option


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
        about: the rest of ``About``. ``more``: further words, for the docstring alone. ``least``, ``above``, ``most``:
            bounds of a number. ``flag``: both forms of a switch, ``--breadth/--no-breadth``. ``repeatable``: it may be
            typed several times. ``parse``: makes the value of what was typed (a list of texts if repeatable) and of
            the option's name as typed. ``check``: raises InputError for a value that cannot work, before anything
            begins. ``typed``: False for what only Python has.
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
