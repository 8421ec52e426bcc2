"""Prompt templates: one Jinja file a prompt, named by what it asks for, versioned by what it says."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jinja2
import jinja2.meta
from jinja2.sandbox import SandboxedEnvironment

from evolvent.errors import InputError

# Where evolution's templates lie, which a metric fills in as well.
EVOLUTION = Path(__file__).parent / "evolution" / "prompts"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt template: plain data, compiled where it is filled in.

    Attributes:
        name: the file's name without its ending.
        version: a hash of its text, which goes into every record made with it.
        sources: the text of its file, and of the files that it extends or includes, by their names.
    """

    name: str
    version: str
    sources: tuple[tuple[str, str], ...]

    def render(self, **values: object) -> str:
        """Fill the template's slots.

        Raises:
            InputError: the template uses a slot that does not exist.
        """
        try:
            return _compiled(self).render(**values).strip()
        except Exception as error:  # a user's template may raise whatever Python can
            raise InputError(
                f"prompt template {self.name}: {error}",
                fix=f"It knows these slots: {', '.join(f'{{{{ {name} }}}}' for name in values)}.",
            ) from error


@lru_cache(maxsize=256)
def _compiled(prompt: Prompt) -> jinja2.Template:
    return _environment(jinja2.DictLoader(dict(prompt.sources))).get_template(prompt.sources[0][0])


def _environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    return SandboxedEnvironment(loader=loader, undefined=jinja2.StrictUndefined, auto_reload=False)


def load_prompt(name: str, folders: Sequence[Path], *, unlisted: Collection[str] = ()) -> Prompt:
    """Load the template ``name`` from the first of some folders that has it.

    Args:
        name: the file's name without ``.j2``.
        folders: where templates lie; one may extend or include those of any of them.
        unlisted: names that are not suggested where there is none of the name: parts of others.

    Returns:
        The prompt; its version is a hash of the template's text and of the templates it extends or includes.

    Raises:
        InputError: no such template, or one that Jinja cannot read.
    """
    environment = _environment(jinja2.FileSystemLoader(list(folders)))
    try:
        environment.get_template(f"{name}.j2")
        sources = tuple(_sources(environment, f"{name}.j2"))
    except jinja2.TemplateNotFound as error:
        known = ", ".join(sorted({path.stem for place in folders for path in place.glob("*.j2")} - {*unlisted}))
        raise InputError(f"no prompt template named {name!r}", fix=f"Known are: {known}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"prompt template {name} is not UTF-8: {error}") from error
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"prompt template {error.filename}, line {error.lineno}: {error.message}") from error
    version = hashlib.sha256("\0".join(text for _, text in sources).encode()).hexdigest()[:8]
    return Prompt(name, version, sources)


def _sources(environment: jinja2.Environment, filename: str) -> Iterator[tuple[str, str]]:
    """The name and text of a template, and of every template it refers to."""
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, filename)
    yield filename, source
    for reference in jinja2.meta.find_referenced_templates(environment.parse(source)):
        if reference is not None:
            yield from _sources(environment, reference)
