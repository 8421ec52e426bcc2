"""Prompt templates: one Jinja file a prompt, named by what it asks for, versioned by what it says.

The shipped templates lie in ``evolution/prompts``. A folder of the user's own may hold further operators or replace
shipped ones; a template there can ``{% extends "in_depth.j2" %}`` and fill in its ``method`` block alone.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
import jinja2.meta
from jinja2.sandbox import SandboxedEnvironment

from evolvent.errors import InputError

SHIPPED = Path(__file__).parent / "prompts"

# Templates that are no operators: what the in-depth ones extend, and the judge's question.
NO_OPERATORS = {"in_depth", "equality"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt template and the version that goes into every record made with it."""

    name: str
    version: str
    template: jinja2.Template

    def render(self, **values: object) -> str:
        """Fill the template's slots.

        Raises:
            InputError: the template uses a slot that does not exist.
        """
        try:
            return self.template.render(**values).strip()
        except Exception as error:  # a user's template may raise whatever Python can
            raise InputError(
                f"prompt template {self.name}: {error}",
                fix=f"It knows these slots: {', '.join(f'{{{{ {name} }}}}' for name in values)}.",
            ) from error


def load_prompt(name: str, folder: Path | None = None) -> Prompt:
    """Load the template ``name`` from ``folder`` if it is there, else from the shipped ones.

    Args:
        name: the file's name without ``.j2``.
        folder: the user's own templates.

    Returns:
        The prompt; its version is a hash of the template's text and of the templates it extends or includes.

    Raises:
        InputError: no such template, or one that Jinja cannot read.
    """
    folders = [folder, SHIPPED] if folder else [SHIPPED]
    environment = SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folders), undefined=jinja2.StrictUndefined, auto_reload=False
    )
    try:
        template = environment.get_template(f"{name}.j2")
        sources = list(_sources(environment, f"{name}.j2"))
    except jinja2.TemplateNotFound as error:
        known = ", ".join(sorted({path.stem for place in folders for path in place.glob("*.j2")} - NO_OPERATORS))
        raise InputError(f"no prompt template named {name!r}", fix=f"Known operators: {known}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"prompt template {name} is not UTF-8: {error}") from error
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"prompt template {error.filename}, line {error.lineno}: {error.message}") from error
    return Prompt(name, hashlib.sha256("\0".join(sources).encode()).hexdigest()[:8], template)


def _sources(environment: jinja2.Environment, filename: str) -> Iterator[str]:
    """The text of a template and of every template it refers to."""
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, filename)
    yield source
    for reference in jinja2.meta.find_referenced_templates(environment.parse(source)):
        if reference is not None:
            yield from _sources(environment, reference)
