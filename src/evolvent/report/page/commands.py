"""The commands that made a stage or a ranking, out of its settings: typed again, they make the same.

What is known by its digest alone stands there as DATA, for the user to name. AutoIF's stages have none: one command
made them all, and what they note of its constants is not what was typed.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from evolvent.evaluation.options import EVALUATE
from evolvent.evolution.auto_evol_instruct.options import KEYWORDS, OPTIMIZE_METHOD
from evolvent.evolution.demonstrated import BREADTH
from evolvent.evolution.evol_instruct import IN_DEPTH
from evolvent.evolution.options import EVOLVE
from evolvent.metrics.all_metrics import METRICS, SUPPLIED_BY
from evolvent.metrics.options import SCORE
from evolvent.metrics.score import BY
from evolvent.options import MISSING, Interface, Option, mapping, pairs, typed_name
from evolvent.ranking.options import RANK_DATA, RANK_EVOLVERS, RANK_TEACHERS
from evolvent.report.page.source import Source
from evolvent.responses.options import RESPOND
from evolvent.runs.manifest import StageEntry
from evolvent.selection.options import SELECT
from evolvent.stages import file_of
from evolvent.training.note import read_note
from evolvent.training.options import TRAIN
from evolvent.training.settings import as_noted, settings_of
from evolvent.training_presets import DEFAULT

UNKNOWN = "DATA"
OF_MANY = "autoif"

# The value of each option that is told, by its name.
Values = Mapping[str, Any]


class Told(NamedTuple):
    """How a stage's commands are told: its interface, and for each command its argument and the values of options."""

    interface: Interface
    calls: Callable[[str, StageEntry, Source], Iterator[tuple[str, Values]]]


def commands_of(key: str, entry: StageEntry, run: Source) -> list[str]:
    """The commands that make a stage's file, one after the other; none where settings alone do not tell them."""
    stage = key.partition(":")[0]
    if stage not in COMMANDS or entry.settings.get("method") == OF_MANY:
        return []
    interface, calls = COMMANDS[stage]
    return [typed(stage, interface, [argument], values) for argument, values in calls(key, entry, run)]


def ranking_command(plan: Mapping[str, Any], folder: str) -> str:
    """The command that made a ranking, out of its plan."""
    interface: Interface = {"evolvers": RANK_EVOLVERS, "teachers": RANK_TEACHERS, "data": RANK_DATA}[plan["ranked"]]
    names, files = plan["candidates"], [name for name in plan["candidates"] if name in plan["input"]]
    values: dict[str, Any] = {**plan, "out": folder, **_of_trial(plan.get("trial"))}
    arguments = [UNKNOWN]
    if plan["ranked"] == "data":
        arguments = [f"{name}={UNKNOWN}" for name in names]
    elif plan["ranked"] == "evolvers":
        values["model"] = names
    else:
        arguments = [] if files else arguments
        values |= {"teacher": [name for name in names if name not in files], "responses": dict.fromkeys(files, UNKNOWN)}
    return typed(f"rank {plan['ranked']}", interface, arguments, values)


def typed(command: str, interface: Interface, arguments: Sequence[str], values: Values) -> str:
    """A command with the options that are not their defaults."""
    words = ["evolvent", *command.split(), *arguments]
    options = interface.options(values.get("method") if interface.methods else None)
    for option in sorted(options.values(), key=lambda one: one.name == "out"):
        words += _typed(option, values.get(option.name, option.default))
    return shlex.join(words)


def _typed(option: Option, value: Any) -> list[str]:
    """An option as it is typed; nothing where it has its default."""
    default, value = (list(one) if isinstance(one, tuple) else one for one in (option.default, value))
    if value is MISSING or value is None or value == default or (value in ([], {}, False) and not default):
        return []
    flag = typed_name(option, value)
    if isinstance(value, bool):
        return [flag]
    if isinstance(value, dict) and option.about.parse in (mapping, pairs):
        texts = [f"{name}={'none' if one is None else one}" for name, one in value.items()]
        return [flag, ",".join(texts)] if option.about.parse is mapping else [w for one in texts for w in (flag, one)]
    if isinstance(value, list) and option.about.repeatable:
        return [word for one in value for word in (flag, str(one))]
    if isinstance(value, list):
        return [flag, ",".join(str(one[0] if isinstance(one, list) else one) for one in value)]
    return [flag, orjson.dumps(value).decode() if isinstance(value, dict) else str(value)]


def _place(run: Source) -> str:
    return run.name if run.within else run.folder.absolute().name


def _data(entry: StageEntry, run: Source) -> str:
    return _place(run) if "stage" in entry.input else str(entry.input.get("source", UNKNOWN))


def _reading(entry: StageEntry) -> Values:
    """How data were read, as far as it is noted of them."""
    return {name: entry.input.get(name) for name in ("limit", "map")}


def _as_set(_: str, entry: StageEntry, run: Source) -> Iterator[tuple[str, Values]]:
    """Of a stage of which every setting is an option of the same name."""
    values = {**_reading(entry), **entry.settings, "out": _place(run)}
    if [name for name, _ in values.get("operators") or ()] == [*IN_DEPTH, BREADTH]:
        values["operators"] = None
    yield _data(entry, run), values


def _search(_: str, entry: StageEntry, run: Source) -> Iterator[tuple[str, Values]]:
    out = f"{_place(run).removesuffix('.run')}.yaml"
    yield _data(entry, run), {**_reading(entry), **entry.settings, "out": out}


def _keywords(_: str, entry: StageEntry, run: Source) -> Iterator[tuple[str, Values]]:
    yield _place(run), entry.settings


def _select(key: str, entry: StageEntry, run: Source) -> Iterator[tuple[str, Values]]:
    how = {**entry.settings, "to": entry.settings["format"], "format": None}
    how["decontaminate"] = [one["file"] for one in entry.settings.get("decontaminate") or ()]
    yield _data(entry, run), {**how, "map": entry.input.get("map"), "out": f"{_place(run)}/{file_of(key)}"}


def _score(_: str, entry: StageEntry, run: Source) -> Iterator[tuple[str, Values]]:
    """A command for each model or layout: the words of its setting are those of ``metrics.score.made_by``."""
    for key, names in entry.settings.items():
        if not key.startswith(BY):
            continue
        metrics = [METRICS[name.partition("@")[0]] for name in names]
        needs, words = metrics[0].needs, key.removeprefix(BY).split(", ")
        how: dict[str, Any] = {SUPPLIED_BY[need][0]: words.pop(0) for need in needs}
        how |= {"layout": words.pop(0)} if "losses" in needs else {}
        how |= {"dtype": words.pop(0)} if set(needs) - {"chat"} else {}
        how |= {"max_tokens": int(words.pop(0).split()[0]), "strict": "strict" in words} if "chat" in needs else {}
        how |= {"against": UNKNOWN} if any(metric.against for metric in metrics) else {}
        asked = [metric for metric in METRICS.values() if metric in metrics]  # in their order
        asked = [metric for metric in asked if not metric.always] or asked
        limits = {"limit": entry.settings.get("limit"), "map": entry.input.get("map")}
        yield _data(entry, run), {**limits, **how, "metrics": [one.name for one in asked], "out": _place(run)}


def _train(key: str, entry: StageEntry, run: Source) -> Iterator[tuple[str, Values]]:
    """Nothing where the student is gone: which preset its settings began with, its own note says."""
    folder, how = run.folder / file_of(key), entry.settings
    note = read_note(folder) if folder.is_dir() else None
    if note is None or "named_template" not in note:
        return
    given = {"preset": note["preset"], "chat_template": note["named_template"]}
    given["preset"] = None if given["preset"] == DEFAULT[how["method"]] else given["preset"]
    given |= _training(how, how["method"], note["preset"])
    limits = {name: entry.input.get(name) for name in ("limit", "map")}
    kept = {name: how[name] for name in ("base_model", "method", "seed")}
    yield str(entry.input.get("source", UNKNOWN)), {**limits, **kept, **given, "out": f"{_place(run)}/{file_of(key)}"}


def _training(noted: Mapping[str, Any], method: str, preset: str, prefix: str = "") -> dict[str, Any]:
    """What of a training's settings is not the preset's: ``lora`` and ``set``, as they are given."""
    lora = (
        None if noted["lora"] == as_noted(*settings_of(method, preset, None, None), method)["lora"] else noted["lora"]
    )
    usual = as_noted(*settings_of(method, preset, lora, None), method)
    other = {name: value for name, value in usual.items() if name != "lora" and noted.get(name, value) != value}
    return {f"{prefix}lora": lora, f"{prefix}set": {name: noted[name] for name in other}}


def _of_trial(trial: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of a trial; of no task there were more items than its largest had."""
    if trial is None:
        return {"trial": False}
    items: Mapping[str, int] = trial["items"]
    found = {"trial": True, "trial_tasks": list(items), "trial_limit": max(items.values())}
    found |= {"trial_rows": trial["rows"], "trial_seeds": trial["seeds"]}
    return found | _training(trial["training"], "sft", "trial", "trial_")


def _evaluate(_: str, entry: StageEntry, run: Source) -> Iterator[tuple[str, Values]]:
    """Where all tasks had one limit of tokens it is named, be it theirs or the user's: that comes to the same."""
    how, source = entry.settings, entry.input.get("source")
    most = {drawn["max_tokens"] for drawn in how["decoding"].values()}
    values = {**how, "max_tokens": most.pop() if len(most) == 1 else None, "out": _place(run)}
    values |= {
        "data": None if source == "the Hub" else source,
        "training_data": UNKNOWN if how["training_data"] else None,
    }
    yield how["model"], values


COMMANDS = {
    "optimize-method": Told(OPTIMIZE_METHOD, _search),
    "evolve": Told(EVOLVE, _as_set),
    "respond": Told(RESPOND, _as_set),
    "score": Told(SCORE, _score),
    "select": Told(SELECT, _select),
    "train": Told(TRAIN, _train),
    "evaluate": Told(EVALUATE, _evaluate),
    "keywords": Told(KEYWORDS, _keywords),
}
