"""Functions that take groups of options, and how users call them: with the options by name."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, replace
from typing import Any, Protocol, TypeVar, cast, get_args

from evolvent.options.docs import docstring_of, signature_of
from evolvent.options.fields import About
from evolvent.options.interface import Interface, collect

R = TypeVar("R")


class Function(Protocol[R]):
    """What ``takes`` makes: a function that sorts its keyword arguments into groups of options.

    Attributes:
        plain: the function as it was written; it takes the groups.
        interface: what it is given.
    """

    __name__: str
    plain: Callable[..., R]
    interface: Interface

    def __call__(self, *arguments: Any, **options: Any) -> R: ...


def takes(
    *groups: type, methods: tuple[str, Mapping[str, type]] = ("", {}), without: Collection[str] = ()
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
    return lambda plain: _taking(plain, None, groups, methods, without)


def implements(interface: Interface) -> Callable[[Callable[..., R]], Function[R]]:
    """Give a function the options of an interface that stands elsewhere; as ``takes`` does."""
    groups = tuple(group for group in interface.groups if group is not None)
    return lambda plain: _taking(plain, interface, groups, (interface.choice, interface.methods), ())


def _taking(
    plain: Callable[..., R],
    interface: Interface | None,
    groups: tuple[type, ...],
    methods: tuple[str, Mapping[str, type]],
    without: Collection[str],
) -> Function[R]:
    parameters = inspect.signature(plain).parameters
    places = {name: group for name, p in parameters.items() if (group := _group(p, groups, methods[1])) is not MISSING}
    assert len(places) == len(groups) + bool(methods[1]), f"{plain.__name__} does not take each of its groups"
    own = inspect.signature(plain).replace(parameters=[p for name, p in parameters.items() if name not in places])
    if interface is None:
        arguments = {name: about for name, p in own.parameters.items() if (about := _about(p)) is not None}
        interface = Interface(plain.__module__, plain.__name__, arguments, tuple(places.values()), *methods, without)
    assert interface.groups == tuple(places.values()), f"{plain.__name__} takes its groups in another order"

    @functools.wraps(plain)
    def call(*arguments: Any, **options: Any) -> R:
        bound = own.bind(*arguments, **{name: options.pop(name) for name in [*own.parameters] if name in options})
        found = collect(interface, options)
        return plain(**bound.arguments, **dict(zip(places, found, strict=True)))

    made = cast(Function[R], call)
    made.plain, made.interface = plain, interface
    shown = signature_of(own, interface)
    call.__signature__ = shown  # type: ignore[attr-defined]
    call.__annotations__ = {name: p.annotation for name, p in shown.parameters.items()}
    call.__annotations__["return"] = shown.return_annotation
    call.__doc__ = docstring_of(plain.__doc__ or "", interface)
    return made


def _group(parameter: inspect.Parameter, groups: tuple[type, ...], methods: Mapping[str, type]) -> Any:
    """The group that a parameter takes: None for the method's, MISSING if it takes none."""
    kinds = get_args(parameter.annotation) or (parameter.annotation,)
    if set(kinds) <= set(methods.values()):
        return None
    return parameter.annotation if parameter.annotation in groups else MISSING


def _about(parameter: inspect.Parameter) -> About | None:
    about = getattr(parameter.annotation, "__metadata__", (None,))[0]
    return replace(about, optional=parameter.default is not parameter.empty) if isinstance(about, About) else None
