"""Functions that take groups of options, and how users call them: with the options by name."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol, TypeVar, cast, get_args

from evolvent.options.docs import docstring_of, signature_of
from evolvent.options.fields import Option, OptionError, options_in, typed_name
from evolvent.options.values import checked, short

R = TypeVar("R")


class Function(Protocol[R]):
    """What ``takes`` makes: a function that sorts its keyword arguments into groups of options.

    Attributes:
        plain: the function as it was written; it takes the groups.
        groups: the groups that it always takes.
        methods: the option that decides one more group, and the groups by its values.
        without: options of its groups that it does not take.
    """

    __name__: str
    plain: Callable[..., R]
    groups: tuple[type, ...]
    methods: tuple[str, Mapping[str, type]] | None
    without: frozenset[str]

    def __call__(self, *arguments: Any, **options: Any) -> R: ...


def takes(
    *groups: type, methods: tuple[str, Mapping[str, type]] | None = None, without: Collection[str] = ()
) -> Callable[[Callable[..., R]], Function[R]]:
    """Give a function its options by name.

    Args:
        groups: dataclasses; the function has a parameter annotated with each.
        methods: an option of these groups, and for each of its values the dataclass of further options; the function
            has a parameter annotated with their union.
        without: options of the groups that the function does not take: they keep their defaults.

    Returns:
        The decorator; what it makes raises TypeError for an option that is not there and for one that is missing, and
        InputError for a value that cannot be or an option of another method.
    """

    def decorate(plain: Callable[..., R]) -> Function[R]:
        signature = inspect.signature(plain)
        places = {name: place for name, p in signature.parameters.items() if (place := _group_of(p, groups, methods))}
        assert len(places) == len(groups) + (methods is not None), f"{plain.__name__} does not take each of its groups"
        own = signature.replace(parameters=[p for name, p in signature.parameters.items() if name not in places])

        @functools.wraps(plain)
        def call(*arguments: Any, **options: Any) -> R:
            bound = own.bind(*arguments, **{name: options.pop(name) for name in [*own.parameters] if name in options})
            found = collect(made, options)
            given = {name: found[place] for name, place in places.items()}
            return plain(**bound.arguments, **given)

        made = cast(Function[R], call)
        made.plain, made.groups, made.methods, made.without = plain, groups, methods, frozenset(without)
        by_method = {name: options_in(group) for name, group in _methods(made).items()}
        shown = signature_of(own, options_of(made), by_method)
        call.__signature__ = shown  # type: ignore[attr-defined]
        call.__annotations__ = {name: p.annotation for name, p in shown.parameters.items()}
        call.__annotations__["return"] = shown.return_annotation
        call.__doc__ = docstring_of(plain.__doc__ or "", own, options_of(made), by_method)
        return made

    return decorate


def options_of(function: Function[Any], method: str | None = None) -> dict[str, Option]:
    """The options of a function by name: those that it always takes, then those of one method."""
    groups = function.groups if method is None else (*function.groups, _methods(function)[method])
    return {name: one for group in groups for name, one in options_in(group).items() if name not in function.without}


def collect(function: Function[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Sort options into a function's groups, each value checked.

    Returns:
        The groups by the names of their classes; that of the method is under ``method``.

    Raises:
        TypeError: there is no such option, or one is missing.
        InputError: a value that cannot be, an option of another method, or options that do not go together.
    """
    always = options_of(function)
    method = chosen_method(function, options)
    known = options_of(function, method)
    others = dict(_of_other_methods(function, known))
    given: dict[str, Any] = {}
    for name, value in options.items():
        if name in known:
            given[name] = checked(known[name], value, of=None if name in always else method)
        elif name not in others:
            raise TypeError(f"{function.__name__}() has no option {name!r}{_closest(name, [*known, *others])}")
        elif value is not None:  # as it is given by one who passes on what may not be there
            typed = typed_name(others[name][0], value)
            owners = " and ".join(others[name][1])
            raise OptionError(name, f"{typed} is an option of {owners}, not of {method}", fix="Leave it out.")
    for name, one in known.items():
        if one.required and name not in given:
            if name not in always:
                raise OptionError(name, f"{method} needs {typed_name(one)}", fix=f"{typed_name(one)}: {one.about.help}")
            raise TypeError(f"{function.__name__}() lacks the option {name!r}: {one.about.help}")
    found = {group.__name__: _made(group, given) for group in function.groups}
    return found if method is None else {**found, "method": _made(_methods(function)[method], given)}


def chosen_method(function: Function[Any], options: Mapping[str, Any]) -> str | None:
    """The method that options choose, the default one if they name none; None if the function has no methods.

    Raises:
        InputError: there is no such method.
    """
    if function.methods is None:
        return None
    name, groups = function.methods
    method = options.get(name, options_of(function)[name].default)
    if not isinstance(method, str) or method not in groups:
        raise OptionError(name, f"unknown {name} {short(method)}", fix=f"Known are: {', '.join(groups)}.")
    return method


def _made(group: type, given: Mapping[str, Any]) -> Any:
    return group(**{one.name: given[one.name] for one in fields(group) if one.name in given})


def _methods(function: Function[Any]) -> Mapping[str, type]:
    """The groups of a function's methods; empty if it has none."""
    return function.methods[1] if function.methods else {}


def _of_other_methods(
    function: Function[Any], known: Mapping[str, Option]
) -> Iterator[tuple[str, tuple[Option, list[str]]]]:
    """The options that only other methods have, each with those methods."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for method, group in _methods(function).items():
        for name, one in options_in(group).items():
            if name not in known:
                found.setdefault(name, (one, []))[1].append(method)
    yield from found.items()


def _closest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, known, 1)
    return f"; did you mean {found[0]!r}?" if found else f"; its options: {', '.join(known)}"


def _group_of(
    parameter: inspect.Parameter, groups: Sequence[type], methods: tuple[str, Mapping[str, type]] | None
) -> str | None:
    """Under which name ``collect`` has the group that a parameter takes; None if it takes none."""
    kinds = get_args(parameter.annotation) or (parameter.annotation,)
    if methods is not None and set(kinds) <= set(methods[1].values()):
        return "method"
    return next((group.__name__ for group in groups if parameter.annotation is group), None)
