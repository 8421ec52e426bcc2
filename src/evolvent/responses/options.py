"""The options of respond."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evolvent.errors import InputError
from evolvent.models.uri import MODELS, check_chat_model, parse_uri
from evolvent.options import (
    DATA,
    Calling,
    Interface,
    Reading,
    max_tokens,
    option,
    preview,
    run_folder,
    seed,
    temperature,
    top_p,
)


def check_teachers(uris: Sequence[str]) -> None:
    """Check that teachers can be asked, and that none is named twice.

    Raises:
        InputError: one cannot, one is, or there is none.
    """
    if not uris:
        raise InputError("no teacher is named", fix="Name one: --teacher URI.")
    for uri in uris:
        check_chat_model(uri)
    names = [str(parse_uri(uri)) for uri in uris]
    if len(set(names)) < len(names):
        raise InputError(f"a teacher is named twice: {', '.join(names)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """How instructions are answered."""

    teacher: tuple[str, ...] = option(f"A teacher: {MODELS}.", metavar="URI", repeatable=True, check=check_teachers)
    out: Path = run_folder()
    round: int | None = option("One round of a run only; 0 answers the seeds.", None, metavar="N", least=0)
    system: str | None = option(
        "System prompt of the teachers; a conversation's own comes before it, in the same turn.", None, metavar="TEXT"
    )
    seed: int = seed()
    temperature: float = temperature(0.0)
    top_p: float = top_p(1.0)
    max_tokens: int = max_tokens(2048)
    preview: int | None = preview()


RESPOND = Interface("evolvent.responses.respond", "respond", {"data": DATA}, (Respond, Reading, Calling))
