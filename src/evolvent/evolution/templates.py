"""Evolution's prompt templates: those that ship with it, and a user's own in their place.

A folder of the user's own may hold further operators or replace shipped ones; a template there can
``{% extends "in_depth.j2" %}`` and fill in its ``method`` block alone.
"""

from pathlib import Path

from evolvent import prompts
from evolvent.prompts import Prompt

SHIPPED = prompts.EVOLUTION

# Templates that are no operators: what the in-depth ones extend, and the judge's question.
NO_OPERATORS = {"in_depth", "equality"}


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
    return prompts.load_prompt(name, [folder, SHIPPED] if folder else [SHIPPED], unlisted=NO_OPERATORS)
