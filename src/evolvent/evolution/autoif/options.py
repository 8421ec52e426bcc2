"""The options of AutoIF, and of verify."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.evolution.autoif.rules import PROFILES, rules_of
from evolvent.models.uri import check_chat_model, check_local_model
from evolvent.options import DATA, Interface, Reading, mapping, option, pairs, progress, unsafe_execution


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoIFOptions:
    """Options of AutoIF."""

    queries: str | Path | Iterable[Mapping[str, Any]] = option(
        "The data whose questions the instructions are asked with.", metavar="DATA"
    )
    profile: str = option("Whose constants the steps have.", "autoif-paper", names=tuple(PROFILES))
    queries_map: Mapping[str, str] | None = option(
        "As --map, for the queries.", None, metavar="FIELD=COLUMN", parse=mapping
    )
    teacher: str | None = option(
        "The model that answers, if not the evolver.", None, metavar="URI", check=check_chat_model
    )
    nli: str | None = option(
        "An hf: cross-encoder that finds contradictions; without one that step is left out.",
        None,
        metavar="URI",
        check=check_local_model,
    )
    samples: int | None = option("Functions drawn for an instruction.", None, metavar="N", least=1)
    rule: Mapping[str, Any] | None = option(
        "Another constant than the profile's, e.g. prompts=5.", None, metavar="NAME=VALUE", repeatable=True, parse=pairs
    )
    templates: str | Path | None = option("A folder with templates of your own: autoif/NAME.j2.", None, metavar="DIR")
    unsafe_execution: bool = unsafe_execution()

    def __post_init__(self) -> None:
        rules_of(self.profile, self.samples, self.rule, judge=None, nli=self.nli)  # the judge is every method's


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How answers are verified."""

    functions: Path = option("functions.jsonl, or the run that has it.", metavar="FILE")
    out: Path | None = option(
        "Write what was found of each row to a file, in the data's order.", None, metavar="FILE.jsonl"
    )
    unsafe_execution: bool = unsafe_execution()
    progress: bool | Callable[..., Any] = progress()


VERIFY = Interface("evolvent.evolution.autoif.verify", "verify", {"data": DATA}, (Verify, Reading))
