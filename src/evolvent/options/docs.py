"""What a function that takes groups shows of its options: a signature, and a docstring that tells of each."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping

from evolvent.options.fields import About, Option

WIDTH = 116
_AFTER_ARGS = re.compile(r"^(Returns|Yields|Raises|Source|Attributes):$", re.MULTILINE)


def signature_of(
    own: inspect.Signature, always: Mapping[str, Option], by_method: Mapping[str, Mapping[str, Option]]
) -> inspect.Signature:
    """The signature that users see: the function's own parameters, and each option.

    Args:
        own: the plain function's, without its groups.
        always: the options that it always takes.
        by_method: those of each of its methods; an option of several is shown as the first of them has it.
    """
    shown = {name: (one.kind, inspect.Parameter.empty if one.required else one.default) for name, one in always.items()}
    for options in by_method.values():
        for name, one in options.items():
            shown.setdefault(name, (one.kind, None if one.required else one.default))
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in shown.items()
    ]
    named = [p for p in own.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    last = [p for p in own.parameters.values() if p.kind is p.KEYWORD_ONLY]
    return own.replace(parameters=[*named, *keywords, *last])


def docstring_of(
    written: str,
    own: inspect.Signature,
    always: Mapping[str, Option],
    by_method: Mapping[str, Mapping[str, Option]],
) -> str:
    """The docstring as it is written, with arguments and options under its Args, each method's under their own."""
    abouts = [
        (name, one)
        for name, parameter in own.parameters.items()
        for one in getattr(parameter.annotation, "__metadata__", ())
        if isinstance(one, About)
    ]
    told = [*_told(abouts), *_told((name, one.about) for name, one in always.items())]
    for method, options in by_method.items():
        told += ["", f"Args of {method}:", *_told((name, one.about) for name, one in options.items())]
    text = inspect.cleandoc(written)
    after = _AFTER_ARGS.search(text)
    end = after.start() if after else len(text)
    before, rest = text[:end].rstrip(), text[end:]
    heading = [] if "\nArgs:\n" in before else ["", "Args:"]
    return "\n".join([before, *heading, *told, *(["", rest] if rest else [])])


def _told(abouts: Iterable[tuple[str, About]]) -> list[str]:
    return [
        textwrap.fill(f"{name}: {about.help}", WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
        for name, about in abouts
    ]
