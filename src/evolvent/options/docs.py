"""What a function that takes groups shows of its options: a signature, and a docstring that tells of each."""

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping

from evolvent.options.fields import About, Option, options_in
from evolvent.options.interface import Interface

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
        told += ["", f"Args of {method}:", *_told(options_in(group))]
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
        yield textwrap.fill(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
