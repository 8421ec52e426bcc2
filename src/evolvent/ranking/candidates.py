"""Candidates on their way through the stages, each in a folder of its own, and what came of each."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evolvent.costs.prices import read_prices
from evolvent.errors import BudgetReachedError, EvolventError, InputError, RunError
from evolvent.interrupts import Interrupted
from evolvent.models.short_names import short_names
from evolvent.options import Calling
from evolvent.runs.manifest import read_manifest
from evolvent.runs.yields import yield_of

log = logging.getLogger(__name__)

# What rank itself writes beside the candidates' folders, and what report does.
PLAN, RESULT, SAMPLE, REPORT = "plan.json", "ranking.json", "sample.jsonl", "report.html"
# The folder of a trial: in each candidate's its students, beside them the rows that no student sees.
TRIAL = "trial"
OWN_FILES = (PLAN, RESULT, SAMPLE, TRIAL, REPORT)
# Why a reply of which nothing usable came at the token limit is eliminated.
CUT = ("truncated", "cut inside its reasoning")
# The longest name that file systems take, in bytes.
LONGEST = 255


@dataclass(slots=True)
class Candidates:
    """Candidates on their way.

    Attributes:
        folders: the folder of each, by its name.
        ended: why a candidate got no further, by its name; the others' results stand.
    """

    folders: Mapping[str, Path]
    ended: dict[str, str] = field(default_factory=dict)

    @property
    def through(self) -> dict[str, Path]:
        """Those that got through so far."""
        return {name: folder for name, folder in self.folders.items() if name not in self.ended}

    def each(self, work: Callable[[str, Path], object]) -> None:
        """Let each candidate do something; one that cannot ends, with the reason.

        Raises:
            BudgetReachedError: the budget is spent: none can go on.
            RunError: none got through.
        """
        for name, folder in self.through.items():
            try:
                work(name, folder)
            except (BudgetReachedError, Interrupted):
                raise
            except EvolventError as error:
                self.ended[name] = error.message
                log.warning("warning: %s ends here: %s", name, error)
        if not self.through:
            raise RunError(
                "no candidate got through: " + "; ".join(f"{name}: {why}" for name, why in self.ended.items()),
                fix="Mend the cause and start the same command again: what is done is kept.",
            )


def folders_of(names: Sequence[str], out: Path) -> dict[str, Path]:
    """A folder for each candidate, named after it or its model.

    Raises:
        InputError: there are fewer than two candidates, or two of one name, or a name that is none for a folder.
    """
    if len(names) < 2:
        raise InputError(f"there is nothing to rank: {len(names)} candidate", fix="Name two or more.")
    short, _ = short_names(names)
    folders = {name: folder_name(short[name]) for name in names}
    same = {name for name in names if names.count(name) > 1}
    places = [folder.casefold() for folder in folders.values()]  # many file systems know no case
    same |= {name for name, folder in folders.items() if places.count(folder.casefold()) > 1}
    if same:
        raise InputError(
            f"candidates have the same name: {', '.join(sorted(same))}", fix="Give each a name of its own."
        )
    for name, folder in folders.items():
        if not folder.strip(".") or folder in OWN_FILES:
            raise InputError(f"{name!r} is no name for a candidate's folder", fix="Name it otherwise: NAME=FILE.")
    return {name: out / folder for name, folder in folders.items()}


def folder_name(name: str) -> str:
    """What the folder of a candidate, or of a base model, is called.

    Raises:
        InputError: the name is too long for one.
    """
    folder = re.sub(r"[^\w.#-]", "_", name)
    if len(folder.encode()) > LONGEST:
        raise InputError(
            f"{name[:40]!r}… is too long for a folder's name: {len(folder.encode())} bytes of {LONGEST}",
            fix="Name it otherwise, or move it to a shorter path.",
        )
    return folder


def priced(calling: Calling, uris: Iterable[str]) -> Calling:
    """How calls are made, with what each model of a ranking costs: of any stage only some are called.

    Raises:
        InputError: a price that is none, or one for a model that is not there.
    """
    if calling.price is None:
        return calling
    known = read_prices(calling.price, uris)
    return replace(calling, price={uri: {"in": one.prompt, "out": one.completion} for uri, one in known.items()})


def fates(folder: Path) -> dict[str, int]:
    """What became of a candidate's rows: by stage, those that were kept and those that were not."""
    found = {}
    for stage, entry in read_manifest(folder).items():
        for fate in ("ok", "eliminated", "failed"):
            if entry.counts.get(fate) or (fate == "ok" and fate in entry.counts):
                found[f"{stage}: {fate}"] = int(entry.counts[fate])
    return found


def cut_short(folder: Path) -> Iterator[str]:
    """How many of a candidate's rows came to nothing at the token limit: more tokens may have made it another."""
    for stage, entry in read_manifest(folder).items():
        found, limit = yield_of(entry.counts), entry.settings.get("max_tokens")
        cut = sum(found.reasons.get(reason, 0) for reason in CUT) if found is not None else 0
        if found is not None and cut and limit is not None:
            yield f"{cut:,} of its {found.rows:,} rows of {stage} were cut at --max-tokens {limit:,}"


def costs(folder: Path) -> dict[str, float]:
    """What a candidate's calls took, the judge's apart: ``calls``, tokens, ``seconds``, ``cost``."""
    found = dict.fromkeys(("calls", "tokens in", "tokens out", "seconds", "cost"), 0.0)
    for stage, entry in read_manifest(folder).items():
        if stage == "score":
            continue
        found["seconds"] += entry.wall_s
        for account in entry.paid.values():
            found["calls"] += account["calls"]
            found["tokens in"] += account["prompt_tokens"]
            found["tokens out"] += account["completion_tokens"]
            found["cost"] += account["cost"] or 0.0
    return found
