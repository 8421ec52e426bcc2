"""A card as Markdown: whatever a model, a server or a setting says stands in it as text."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import orjson
import yaml
from markupsafe import Markup

from evolvent.errors import printable

HERE = Path(__file__).parent
# What tells a card of ours, as it was written, from a README that somebody wrote or changed: a digest of the rest.
_MARK = "<!-- written by evolvent card, digest {} -->"
_WRITTEN = re.compile(r"<!-- written by evolvent card, digest ([0-9a-f]{16}) -->")
_SIGNS = re.compile(r"[\\`*\[\]<>|~$&]|^[#+=-]|(?<![^\W_])_|_(?![^\W_])")


def render(front: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The card.

    Args:
        front: what programs read at its head.
        values: what people read, as plain text.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup) else escaped(str(value)),
    )
    environment.filters |= {"code": _code, "fenced": _fenced, "number": _number, "figure": _figure}
    configs = values["configs"]
    named = [values["repo"], *([configs[0].name] if len(configs) > 1 else [])]
    text = environment.get_template("card.md.j2").render(
        **values,
        front=Markup(yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=1000)),
        mark=Markup(_MARK.format("0" * 16)),
        load=Markup(", ".join(orjson.dumps(name).decode() for name in named)),
        lineage=any(config.file.suffix == ".parquet" for config in configs),
    )
    text = re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"
    return text.replace(_MARK.format("0" * 16), _MARK.format(_digest(text)), 1)


def is_as_written(text: str) -> bool:
    """Whether a text is a card of ours that nobody has changed."""
    found = _WRITTEN.search(text)
    return found is not None and _digest(text.replace(found[1], "0" * 16, 1)) == found[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def escaped(text: str) -> str:
    """A text of one line that means nothing to Markdown, in a table as anywhere."""
    return _SIGNS.sub(lambda found: f"\\{found[0]}", " ".join(printable(text).split()))


def _code(text: str | None) -> Markup:
    return Markup("not known" if not text else f"`{re.sub(r'[^0-9A-Za-z]', '', text)}`")


def _fenced(text: str, language: str) -> Markup:
    """A block of code, between fences longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{printable(text)}\n{fence}")


def _number(number: int) -> Markup:
    return Markup(f"{number:,}")


def _figure(number: float | None) -> Markup:
    return Markup("" if number is None else f"{number:.4g}")
