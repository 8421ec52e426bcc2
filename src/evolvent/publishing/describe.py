"""What a data card says of a run, of its manifest and files alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from evolvent.evolution.elimination import REASONS, RULES
from evolvent.metrics.all_metrics import columns_by_name
from evolvent.metrics.score import BY
from evolvent.models.uri import EMBEDDED
from evolvent.publishing.configs import HOLDS, Config
from evolvent.publishing.licences import OWN, licence_of_data, licence_of_model, only
from evolvent.publishing.public import Public, source_name, weights_of
from evolvent.report.contents import ScoreFigures
from evolvent.report.page.figures.funnel import MADE as FUNNEL_STAGES
from evolvent.report.page.figures.funnel import WENT_ON, funnel
from evolvent.report.page.source import Source
from evolvent.runs.manifest import StageEntry
from evolvent.stages import file_of

# The settings that name the models whose texts are in the data, by stage.
WRITERS = {"self-instruct": "model", "evolve": "model", "respond": "teacher"}
WRITES = {"self-instruct": "writes instructions", "evolve": "evolves", "respond": "answers"}
METHODS = {
    "evol-instruct": "Evol-Instruct (arXiv 2304.12244), as arXiv 2412.11231 does it with small models",
    "auto-evol-instruct": "Auto Evol-Instruct (arXiv 2406.00770)",
    "autoif": "AutoIF (arXiv 2406.13542)",
}
PROFILES = {
    "default": "the evolver is shown an instruction with its input",
    "small": "the evolver is also shown how, by demonstrations",
    "paper": "what the code of arXiv 2412.11231 does",
}
# Where the seeds that ship with the package are.
SAMPLES = ("evolvent", "datasets", "samples")
DIGITS = 16  # of a hash
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the run.

    Attributes:
        name: as everybody may see it.
        did: what it did.
        weights: their hashes, of each form in which they were used; empty where none is known.
        licence: what its own files say; None where they say nothing.
        writes: whether texts of the data are by it.
    """

    name: str
    did: str
    weights: str
    licence: str | None
    writes: bool


@dataclass(frozen=True, slots=True)
class Seeds:
    """Where the seeds came from."""

    source: str
    rows: int
    digest: str
    licence: str | None
    on_hub: bool


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a stage's rows: how many went on, and of the others how many for each reason, in words."""

    stage: str
    went_on: int
    lost: str


@dataclass(frozen=True, slots=True)
class Score:
    """A score over all rows."""

    name: str
    unit: str
    kept: str
    figures: ScoreFigures


def models_of(entries: Mapping[str, StageEntry], public: Public) -> list[Model]:
    """The models of the stages that made data, each with all that it did."""
    did: dict[str, dict[str, None]] = {}
    weights: dict[str, dict[str, None]] = {}
    wrote = set[str]()
    for key, entry in entries.items():
        stage = key.partition(":")[0]
        if stage not in HOLDS:
            continue
        named = entry.settings.get(WRITERS.get(stage, ""))
        writers = named if isinstance(named, list) else [named]
        for uri, identity in entry.models.items():
            does = WRITES[stage] if uri in writers else _scores_by(uri, entry) if stage == "score" else "judges"
            did.setdefault(uri, {})[does] = None
            wrote |= {uri} & {*writers}
            weights.setdefault(uri, {}).update(dict.fromkeys(filter(None, [weights_of(identity)])))
    return [
        Model(
            public.model(uri),
            "; ".join(what),
            ", ".join(one[:DIGITS] for one in weights[uri]),
            licence_of_model(uri),
            uri in wrote,
        )
        for uri, what in did.items()
    ]


def _scores_by(uri: str, entry: StageEntry) -> str:
    """Which scores a model gave, or judged."""
    found = [name for by, names in entry.settings.items() if by.startswith(f"{BY}{uri},") for name in names]
    return f"scores: {', '.join(found)}" if found else "scores"


def seeds_of(entries: Mapping[str, StageEntry]) -> list[Seeds]:
    """The data that the run began with."""
    found = []
    for key, entry in entries.items():
        if key.partition(":")[0] in HOLDS and "stage" not in entry.input and "source" in entry.input:
            source = str(entry.input["source"])
            shown = source_name(source)
            on_hub = "/" in shown
            licence = OWN if Path(source).parts[-4:-1] == SAMPLES else licence_of_data(source) if on_hub else None
            found.append(Seeds(shown, int(entry.input.get("rows", 0)), str(entry.input["digest"]), licence, on_hub))
        if queries := entry.settings.get("queries_data"):
            found.append(Seeds("queries of AutoIF", int(entry.counts.get("queries", 0)), str(queries), None, False))
    return found


def licence(seeds: Sequence[Seeds], models: Sequence[Model]) -> str | None:
    """The licence of all that the data's texts come from; None where one is not known, or they differ."""
    return only([*(one.licence for one in seeds), *(one.licence for one in models if one.writes)])


def fates_of(run: Source) -> list[Fate]:
    """What became of the rows at each stage."""
    found = []
    for stage, fates in funnel(run).items():
        lost = (f"{n:,} {why}" for why, n in fates.items() if n and why != WENT_ON)
        found.append(Fate(stage, fates.get(WENT_ON, 0), ", ".join(lost)))
    return found


def method_of(entries: Mapping[str, StageEntry]) -> Iterator[str]:
    """How the instructions were evolved, a line each; nothing where they were not."""
    for key in ("self-instruct", "evolve"):
        settings = entries[key].settings if key in entries else {}
        if not settings:
            continue
        if key == "evolve" or "evolve" not in entries:
            method, profile = str(settings.get("method")), settings.get("profile")
            rounds = f", rounds: {settings['rounds']}" if "rounds" in settings else ""
            told = f"; profile {profile}" + (f": {PROFILES[profile]}" if profile in PROFILES else "") if profile else ""
            yield f"{METHODS.get(method, method)}{rounds}{told}."
        if versions := _prompt_versions(settings):
            yield f"Prompts, each with its version, a hash of its text: {versions}."


def _prompt_versions(settings: Mapping[str, Any]) -> str:
    templates = settings.get("templates")
    pairs = [*(settings.get("operators") or ()), *(templates.items() if isinstance(templates, Mapping) else ())]
    if settings.get("evolving_method"):
        pairs.append(("evolving method", settings["evolving_method"]))
    return ", ".join(f"{name} {version}" for name, version in pairs)


def rules_of(entries: Mapping[str, StageEntry]) -> Iterator[str]:
    """The rules of elimination, a line each; nothing where nothing was evolved by rules."""
    settings = entries["evolve"].settings if "evolve" in entries else {}
    if "without_rules" in settings:
        off = settings["without_rules"]
        kept = ", ".join(rule for rule in RULES if rule not in off)
        paper = settings.get("profile") == "paper"
        if not paper:
            yield f"Evolutions were eliminated by rules on their words ({kept}), and as empty, cut or refused replies."
        if off:
            yield f"Switched off: {', '.join(off)}."
        judge = settings.get("judge")
        yield f"{'A' if judge else 'No'} judge was asked whether an evolution says more than its parent."
    if settings.get("method") == "autoif":
        yield "Instructions are kept whose functions and cases agree; answers are kept that pass their functions."


def reasons_of(run: Source) -> dict[str, str]:
    """What the reasons mean for which evolutions were eliminated."""
    fates = funnel(run).get(FUNNEL_STAGES["evolve"], {})
    return {reason: REASONS[reason] for reason in fates if reason in REASONS}


def scores_of(scores: Mapping[str, ScoreFigures]) -> list[Score]:
    """The scores as means with n, each with its unit and which values selections keep."""
    columns = columns_by_name()
    found = []
    for name, figures in scores.items():
        column = columns.get(name.partition("@")[0])
        unit, kept = (column.unit, column.better or "") if column is not None else ("", "")
        found.append(Score(name, unit, kept, figures))
    return found


def lead(seeds: Sequence[Seeds], models: Sequence[Model]) -> str:
    """What the data is, in a sentence."""
    words = [f"Instruction-tuning data made with evolvent {metadata.version('evolvent')}"]
    if seeds:
        words.append(f"from {seeds[0].rows:,} rows of {seeds[0].source}")
    for does, told in (("evolves", "evolved by"), ("answers", "answered by")):
        if names := [one.name for one in models if does in one.did.split("; ")]:
            words.append(f"{told} {', '.join(names)}")
    return ", ".join(words) + "."


def made_up(models: Sequence[Model]) -> str:
    """The models that wrote some of it and know nothing of the world; empty where there are none."""
    return ", ".join(one.name for one in models if one.writes and one.name in EMBEDDED)


def limits_of(entries: Mapping[str, StageEntry], *, scored: bool) -> Iterator[str]:
    """What a user of the data must know, a line each."""
    if "evolve" in entries and "without_rules" in entries["evolve"].settings:
        yield (
            "The rules of elimination look at words. They cannot tell whether an instruction makes sense, can be done, "
            "or is harder than its parent: read rows before you use them."
        )
    if "respond" in entries:
        yield (
            "Nobody has checked whether answers are right."
            if not _verified(entries)
            else (
                "Answers are checked by functions that a model wrote: they tell whether a form is kept, not whether an "
                "answer is right."
            )
        )
        notes = entries["respond"].counts.get("notes", {})
        cut = ", ".join(f"{n:,} {why}" for why, n in notes.items() if isinstance(n, int))
        if cut:
            yield f"Of the answers: {cut}."
    if scored:
        yield (
            "Scores are proxies: a high score is no sign of a right answer, and what data is worth for a model only a "
            "training decides."
        )
    yield from _checks(entries)


def _verified(entries: Mapping[str, StageEntry]) -> bool:
    return entries["respond"].settings.get("method") == "autoif"


def _checks(entries: Mapping[str, StageEntry]) -> Iterator[str]:
    """What was looked for when rows were selected, and what was not."""
    selections = {key: entry for key, entry in entries.items() if key.partition(":")[0] == "select"}
    for key, entry in selections.items():
        tests = entry.settings.get("decontaminate") or []
        if tests:
            names = ", ".join(f"{one['file']} (SHA-256 {one['sha256'][:16]})" for one in tests)
            yield f"No row of {file_of(key)} shares a run of 13 words with {names}; no other test set was compared."
    if not any(entry.settings.get("decontaminate") for entry in selections.values()):
        yield "No row was compared with test sets: there may be contamination."
    if not any(entry.settings.get("dedup") for entry in selections.values()):
        yield "Near-duplicates were not looked for."
    for key, entry in selections.items():
        if entry.settings.get("language"):
            left = f"rows in another language than {entry.settings['language']} were left out"
            yield f"{file_of(key)}: {left}; those where none can be told stayed."


def front_matter(
    title: str,
    configs: Sequence[Config],
    entries: Mapping[str, StageEntry],
    seeds: Sequence[Seeds],
    license: str | None,
) -> dict[str, Any]:
    """What the Hub and ``datasets`` read at the head of a card."""
    first = configs[0] if configs else None
    languages = {entry.settings.get("language") for key, entry in entries.items() if key.partition(":")[0] == "select"}
    method = entries["evolve"].settings.get("method") if "evolve" in entries else None
    hub = sorted({one.source.partition(":")[0] for one in seeds if one.on_hub})
    found: dict[str, Any] = {
        "pretty_name": title,
        "license": license,
        "language": sorted(filter(None, languages)) if first is not None and first.stage.startswith("select") else [],
        "task_categories": ["text-generation"],
        "size_categories": [size_category(first.rows)] if first is not None else [],
        "source_datasets": hub,
        "tags": ["synthetic", "instruction-tuning", "evolvent", *([method] if method else [])],
        "configs": [
            {
                "config_name": one.name,
                "data_files": [{"split": "train", "path": one.path}],
                **({"default": True} if one is first else {}),
            }
            for one in configs
        ],
    }
    return {name: value for name, value in found.items() if value}


def size_category(rows: int) -> str:
    """The Hub's name for so many rows."""
    names = ["1K", "10K", "100K", "1M", "10M", "100M", "1B"]
    place = next((place for place, size in enumerate(SIZES) if rows < size), len(SIZES))
    if place == 0:
        return "n<1K"
    return f"{names[place - 1]}<n<{names[place]}" if place < len(names) else "1B<n<10B"
