"""What a function is given, known without the function itself; and the function that users call."""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, replace
from typing import Any, Protocol, TypeVar, cast, get_args

from evolvent.object_storage.attached import attached
from evolvent.options.fields import (
    About,
    Option,
    OptionError,
    OptionTypeError,
    check_argument,
    checked,
    options_in,
    short,
    typed_name,
)


@dataclass(frozen=True)
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

    @functools.cached_property
    def paths(self) -> set[str]:
        """The arguments and options that may be paths, and so URLs."""
        every = {**self.others(None), **self.options()}
        return {*self.arguments, *(name for name, one in every.items() if "Path" in str(one.kind))}

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
            wrong = OptionError if isinstance(method, str) else OptionTypeError
            raise wrong(self.choice, f"unknown {self.choice} {short(method)}", fix=fix)
        return method


def collect(interface: Interface, options: Mapping[str, Any]) -> list[Any]:
    """Sort options into the groups of an interface, each value checked.

    Returns:
        The groups, in the order of the interface.

    Raises:
        TypeError: there is no such option, one is missing, or a value is of another type.
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

    found = " or ".join(map(repr, get_close_matches(name, known)))
    return f"; did you mean {found}?" if found else f"; its options: {', '.join(known)}"


WIDTH = 116
_AFTER_ARGS = re.compile(r"^(Returns|Yields|Raises|Source|Attributes):$", re.MULTILINE)


def signature_of(own: inspect.Signature, interface: Interface) -> inspect.Signature:
    """The signature that users see: the function's own parameters, and each option.

    Args:
        own: the plain function's, without its groups.
        interface: its options; one of several methods is shown as the first of them has it, and needed by none.
    """
    shown = {**interface.options(), **interface.others(None)}
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_shown(one), annotation=one.kind)
        for name, one in shown.items()
    ]
    named = [p for p in own.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    last = [p for p in own.parameters.values() if p.kind is p.KEYWORD_ONLY]
    return own.replace(parameters=[*named, *keywords, *last])


def docstring_of(written: str, interface: Interface) -> str:
    """The docstring as it is written, with arguments and options under its Args, each method's under their own."""
    told = [*_told(interface.arguments), *_told(interface.options())]
    for method, group in interface.methods.items():
        own = {name: one for name, one in options_in(group).items() if name not in interface.without}
        told += ["", f"Args of {method}:", *_told(own)]
    text = inspect.cleandoc(written)
    after = _AFTER_ARGS.search(text)
    end = after.start() if after else len(text)
    before, rest = text[:end].rstrip(), text[end:]
    heading = [] if "\nArgs:\n" in before else ["", "Args:"]
    return "\n".join([before, *heading, *told, *(["", rest] if rest else [])])


def _shown(option: Option) -> object:
    if option.required:
        return None if option.method else inspect.Parameter.empty
    return option.default


def _told(options: Mapping[str, Option | About]) -> Iterator[str]:
    for name, one in options.items():
        about = one.about if isinstance(one, Option) else one
        text = f"{name}: {about.text} {about.more}".rstrip()
        yield textwrap.fill(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False)
        yield from (f"{' ' * 8}{line}" for line in about.lines)


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
        The decorator; what it makes raises TypeError for an option that is not there, for one that is missing and for a
        value of another type (which is an InputError, too), and InputError for a value that cannot be or an option of
        another method.
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
        for name, value in bound.arguments.items():
            check_argument(name, own.parameters[name].annotation, value, interface.arguments.get(name))
        with attached({**bound.arguments, **options}, {*bound.arguments, *interface.paths}) as here:
            found = collect(interface, {name: here[name] for name in options})
            return plain(**{name: here[name] for name in bound.arguments}, **dict(zip(places, found, strict=True)))

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
