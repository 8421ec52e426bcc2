"""The options of export."""

from dataclasses import dataclass
from pathlib import Path

from evolvent.errors import InputError
from evolvent.models.uri import EMBEDDED, parse_uri
from evolvent.options import Interface, Reading, argument, option

TRAINERS = ("trl", "llama-factory", "axolotl", "unsloth")


def check_trained(uri: str) -> None:
    """Check that trainers can train a model.

    Raises:
        InputError: they cannot.
    """
    scheme = parse_uri(uri).scheme
    if scheme != "hf" and scheme not in EMBEDDED:
        raise InputError(f"base_model {uri}: trainers take weights of transformers", fix="Name hf:ID or hf:folder.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """What is exported, and for whom."""

    trainer: str = option("The trainer that is to take it.", flag="--for", names=TRAINERS, metavar="TRAINER")
    base_model: str = option(
        "The model to be trained: hf:ID, hf:folder; hf:…?chat_template=FILE if it has no chat template.",
        metavar="URI",
        check=check_trained,
    )
    out: Path = option("The folder to write to.", metavar="DIR")


EXPORT = Interface(
    "evolvent.exporting.export",
    "export",
    {"data": argument("A training set: a data file, or a run folder with a selection.", "DATA", more="Or a Run.")},
    (Exporting, Reading),
)
