"""Interface: what a function is given, its arguments and its groups of options. Known without the function itself."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evolvent.options.fields import About, Option, OptionError, options_in, typed_name
from evolvent.options.values import checked, short


@dataclass(frozen=True, slots=True)
class Interface:
    """What a function is given.

    Attributes:
        module, name: where the function is.
        arguments: those that have a place, by name.
        groups: the dataclasses of its options, in the order of its parameters; None is the place of the method's.
        choice: the option that decides the method.
        methods: the dataclass of each method's options.
        without: options of its groups that it does not take; they keep their defaults.
    """

    module: str
    name: str
    arguments: Mapping[str, About]
    groups: tuple[type | None, ...]
    choice: str = ""
    methods: Mapping[str, type] = field(default_factory=dict)
    without: Collection[str] = ()

    def options(self, method: str | None = None) -> dict[str, Option]:
        """Its options by name: those that it always takes, and those of one method in their place."""
        found: dict[str, Option] = {}
        for group in self.groups:
            if group is not None:
                found |= options_in(group)
            elif method is not None:
                found |= {name: replace(one, method=method) for name, one in options_in(self.methods[method]).items()}
        return {name: one for name, one in found.items() if name not in self.without}

    def others(self, method: str | None) -> dict[str, Option]:
        """The options that only other methods have, as the first of them has each."""
        known, found = self.options(method), dict[str, Option]()
        for other in self.methods:
            found = self.options(other) | found
        return {name: one for name, one in found.items() if name not in known}

    def method(self, given: Mapping[str, Any]) -> str | None:
        """The method that options choose, the default one if they choose none; None if there are no methods.

        Raises:
            InputError: there is no such method.
        """
        if not self.methods:
            return None
        method = given.get(self.choice, self.options()[self.choice].default)
        if not isinstance(method, str) or method not in self.methods:
            fix = f"Known are: {', '.join(self.methods)}."
            raise OptionError(self.choice, f"unknown {self.choice} {short(method)}", fix=fix)
        return method


def collect(interface: Interface, options: Mapping[str, Any]) -> list[Any]:
    """Sort options into the groups of an interface, each value checked.

    Returns:
        The groups, in the order of the interface.

    Raises:
        TypeError: there is no such option, or one is missing.
        InputError: a value that cannot be, an option of another method, or options that do not go together.
    """
    method = interface.method(options)
    known, others = interface.options(method), interface.others(method)
    given: dict[str, Any] = {}
    for name, value in options.items():
        if name in known:
            given[name] = checked(known[name], value)
        elif name in interface.without:
            raise OptionError(name, f"{interface.name} takes no --{name.replace('_', '-')}", fix="Leave it out.")
        elif name not in others:
            raise TypeError(f"{interface.name}() has no option {name!r}{_closest(name, [*known, *others])}")
        elif value is not None:  # as it is given by one who passes on what may not be there
            owners = [other for other, group in interface.methods.items() if name in options_in(group)]
            words = f"{typed_name(others[name], value)} is an option of {' and '.join(owners)}, not of {method}"
            raise OptionError(name, words, fix="Leave it out.")
    for name, one in known.items():
        if one.required and name not in given and one.method:
            typed = typed_name(one)
            raise OptionError(name, f"{method} needs {typed}", fix=f"{typed}: {one.about.help}")
        if one.required and name not in given:
            raise TypeError(f"{interface.name}() lacks the option {name!r}: {one.about.help}")
    groups = [interface.methods[method or ""] if group is None else group for group in interface.groups]
    return [group(**{name: given[name] for name in options_in(group) if name in given}) for group in groups]


def _closest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, known, 1)
    return f"; did you mean {found[0]!r}?" if found else f"; its options: {', '.join(known)}"
