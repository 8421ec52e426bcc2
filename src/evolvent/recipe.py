"""Recipes: a YAML file that names the same calls, with the same options, as the command line and Python.

    out: runs/first
    evolve: {seeds: seeds.jsonl, model: embedded, rounds: 3}
    respond: {teacher: embedded}
    score: {base_model: embedded-base}
    select: {by: ic_ifd, top: 25%}

A stage's keys are the keyword arguments of its function; where its data is not named it is the run folder itself.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from evolvent.datasets.formats import check_format
from evolvent.datasets.render import OUTPUT_FORMATS
from evolvent.errors import InputError
from evolvent.evolution.autoif.rules import METHOD as AUTOIF
from evolvent.evolution.autoif.rules import PROFILES, changed
from evolvent.evolution.evol_instruct import METHOD as EVOL_INSTRUCT
from evolvent.evolution.evolve import check_options, check_seeds, choose_operators, evolve
from evolvent.metrics.all_metrics import DEFAULT_METRICS, METRICS, chosen
from evolvent.metrics.layout import check_layout
from evolvent.metrics.score import score
from evolvent.models.protocols import Sampling
from evolvent.models.uri import parse_uri, require_folder
from evolvent.responses.respond import respond
from evolvent.runs.folder import Run
from evolvent.runs.inputs import Data
from evolvent.runs.manifest import OUTPUTS
from evolvent.selection.choose import check_best_per, parse_top
from evolvent.selection.columns import NUMBERS, TEXTS, first_columns
from evolvent.selection.select import Selection, select
from evolvent.selection.where import parse_condition

log = logging.getLogger(__name__)

STAGES: dict[str, Callable[..., Run | Selection]] = {
    "evolve": evolve,
    "respond": respond,
    "score": score,
    "select": select,
}


def _check_data(value: object) -> None:
    """What a YAML file can name data with: a path or Hub id, or rows written out. Python may give any Data."""
    rows = isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value)
    if value is None or isinstance(value, bool | int | float | Mapping) or (isinstance(value, list) and not rows):
        raise InputError(
            f"{value!r} is no data", fix="Name one file, run folder or Hub id; join files with: cat A B > AB."
        )


def _check_chat_model(uri: str) -> None:
    parsed = parse_uri(uri)
    if parsed.scheme == "embedded-base":
        raise InputError("embedded-base is a base model: it does not follow instructions", fix="Use embedded.")
    require_folder(parsed)


# Values that are checked before the first stage starts, by their option.
CHECKS: dict[str, Callable[[Any], object]] = {
    "seeds": _check_data,
    "data": _check_data,
    "queries": _check_data,
    "model": _check_chat_model,
    "judge": _check_chat_model,
    "teacher": _check_chat_model,
    "nli": lambda uri: require_folder(parse_uri(uri)),
    "base_model": lambda uri: require_folder(parse_uri(uri)),
    "temperature": lambda value: Sampling(temperature=value),
    "top_p": lambda value: Sampling(top_p=value),
    "max_tokens": lambda value: Sampling(max_tokens=value),
    "metrics": lambda name: chosen([name]),
    "layout": check_layout,
    "where": parse_condition,
    "top": parse_top,
    "best_per": check_best_per,
    "to": lambda format: check_format(format, OUTPUT_FORMATS),
}

# Set for the whole recipe, not for one stage.
COMMON = ("progress", "fresh", "retry_failed", "dry_run")


@dataclass(slots=True)
class RecipeRun:
    """What a recipe did.

    Attributes:
        path: the run folder.
        stages: what each stage returned, by its name.
    """

    path: Path
    stages: dict[str, Run | Selection] = field(default_factory=dict)


def run(
    recipe: str | Path | Mapping[str, Any],
    *,
    set: Mapping[str, Any] | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    dry_run: bool = False,
    progress: bool = False,
) -> RecipeRun:
    """Run a recipe's stages, one after the other; stages that are done already are left as they are.

    Args:
        recipe: a YAML file, or its content.
        set: values that replace or add to the recipe's, by dotted key: ``{"evolve.rounds": 2}``.
        fresh: make the stages anew although the folder holds them with other settings.
        retry_failed: take the failed records of finished stages again.
        dry_run: call nothing: say what each stage would take that calls chat models and whose input is there.
        progress: show progress on standard error.

    Returns:
        The run folder and what each stage returned.

    Raises:
        InputError: the recipe is wrong; the message names the line and what was expected.
        Anything that the stages raise.
    """
    content, lines, name = _read(recipe)
    for key, value in (set or {}).items():
        _put(content, key, value)
    calls = _calls(content, lines, name)
    folder = Path(content["out"])
    done = RecipeRun(folder)
    for stage, arguments in calls.items():
        function = STAGES[stage]
        known = _options(function)
        if dry_run and ("dry_run" not in known or _lacks_input(stage, arguments, folder)):
            continue
        common = {"fresh": fresh, "retry_failed": retry_failed, "dry_run": dry_run, "progress": progress}
        extra = {key: value for key, value in common.items() if key in known}
        done.stages[stage] = function(**arguments, **extra)
    return done


def _read(recipe: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], dict[tuple[str, ...], int], str]:
    """A recipe's content, the line of each of its keys, and what to call it."""
    if isinstance(recipe, Mapping):
        return (
            {key: dict(value) if isinstance(value, Mapping) else value for key, value in recipe.items()},
            {},
            "recipe",
        )
    path = Path(recipe)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except FileNotFoundError:
        raise InputError(f"no recipe {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"recipe {path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"recipe {path} holds no stages", fix=_expected())
    return content, dict(_lines(node, ())), str(path)


def _lines(node: yaml.Node | None, path: tuple[str, ...]) -> "list[tuple[tuple[str, ...], int]]":
    found: list[tuple[tuple[str, ...], int]] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, str(key.value))
            found.append((place, key.start_mark.line + 1))
            found += _lines(value, place)
    return found


def _put(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; a string is read as YAML, as on the command line."""
    *stages, name = key.split(".")
    place = content
    for stage in stages:
        place = place.setdefault(stage, {})
        if not isinstance(place, dict):
            raise InputError(f"--set {key}: {stage} is no stage")
    try:
        place[name] = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        raise InputError(
            f"--set {key}: {value!r} is not YAML: {error}", fix="Quote it: --set 'KEY=\"a value\"'."
        ) from error


def _calls(content: dict[str, Any], lines: dict[tuple[str, ...], int], name: str) -> dict[str, dict[str, Any]]:
    """The stages' calls in their order, checked before the first one is made."""
    unknown = [key for key in content if key not in STAGES and key != "out"]
    if unknown:
        raise InputError(f"{_place(name, lines, (str(unknown[0]),))}: unknown key {unknown[0]!r}", fix=_expected())
    if not isinstance(content.get("out"), str) or not content["out"]:
        raise InputError(f"{name}: no run folder is named", fix="Add a line: out: runs/NAME")
    calls: dict[str, dict[str, Any]] = {}
    for stage, function in STAGES.items():
        if stage not in content:
            continue
        arguments = content[stage]
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            raise InputError(f"{_place(name, lines, (stage,))}: {stage} holds no options", fix=_expected(stage))
        given = {**_implied(stage, content["out"]), **arguments}
        try:
            model = _arguments_model(stage, function).model_validate(given)
        except ValidationError as error:
            raise _explained(error, stage, lines, name) from error
        calls[stage] = {key: getattr(model, key) for key in model.model_fields_set}
        for key, value in calls[stage].items():
            _check(stage, key, CHECKS.get(key), value, lines, name)
        if stage == "evolve":
            _check(stage, "method", _check_method, model, lines, name)
    _check_chain(calls, content["out"], name)
    _check_columns(calls, content["out"], lines, name)
    if not calls:
        raise InputError(f"{name}: no stage is named", fix=_expected())
    return calls


def _check_method(options: Any) -> None:
    """Check that the method takes the options that are there."""
    check_options(options.method, options.profile, vars(options))
    check_seeds(options.method, options.seeds)
    if options.method == AUTOIF:
        changed(PROFILES[options.profile or "autoif-paper"], options.rule or {})
    if options.method == EVOL_INSTRUCT:
        templates = Path(options.templates) if options.templates else None
        choose_operators(options.operators, breadth=options.breadth, templates=templates)


def _check(
    stage: str,
    key: str,
    check: Callable[[Any], object] | None,
    value: Any,
    lines: dict[tuple[str, ...], int],
    name: str,
) -> None:
    """Check what would otherwise be found wrong only when its stage begins."""
    if check is None or (value is None and key != "data"):
        return
    try:
        for one in value if isinstance(value, list | tuple) and check is not _check_data else [value]:
            check(one)
    except InputError as error:
        place = _place(name, lines, (stage, key) if (stage, key) in lines else (stage,))
        raise InputError(f"{place}: {error.message}", fix=error.fix) from error


def _check_chain(calls: dict[str, dict[str, Any]], out: str, name: str) -> None:
    """Each stage that reads the run folder needs the stage before it, in the recipe or done already."""
    order = list(STAGES)
    answers = calls.get("evolve", {}).get("method") == AUTOIF
    if answers and "respond" in calls and Path(calls["respond"]["out"]) == Path(out):
        raise InputError(
            f"{name}: AutoIF answers its instructions itself, in the same run folder",
            fix="Leave respond out (see evolve.teacher), or give it another out.",
        )
    for stage, arguments in calls.items():
        before = order[order.index(stage) - 1]
        data = arguments.get("data")
        made = before in calls or (answers and before == "respond")
        if stage == "evolve" or made or not isinstance(data, str) or Path(data) != Path(out):
            continue
        if not Path(out).is_dir():
            makers = ", ".join(order[: order.index(stage)])
            raise InputError(
                f"{name}: {stage} reads the run folder {out}, which is not there",
                fix=f"Correct out, name other data, or add what makes it: {makers}.",
            )
        if not (Path(out) / OUTPUTS[before]).is_file():
            raise InputError(
                f"{name}: {stage} reads {Path(out) / OUTPUTS[before]}, which nothing makes", fix=f"Add {before}."
            )


def _check_columns(calls: dict[str, dict[str, Any]], out: str, lines: dict[tuple[str, ...], int], name: str) -> None:
    """What select goes by is a score of the recipe or a column of the data: found out before anything is paid."""
    if "score" not in calls or "select" not in calls or not _reads(calls["select"], out):
        return
    scores = [metric.name for metric in chosen(calls["score"].get("metrics", DEFAULT_METRICS))]
    where = calls["select"].get("where", ())
    conditions = [parse_condition(text).column for text in ([where] if isinstance(where, str) else where)]
    named = [("by", calls["select"]["by"]), *(("where", column) for column in conditions)]
    own = {"by": (*scores, *NUMBERS), "where": (*scores, *NUMBERS, *TEXTS, "base_model")}
    unknown = [(key, column) for key, column in named if column not in own[key]]
    if not unknown:
        return
    order = list(STAGES)
    first = "score"
    while first != "evolve" and _reads(calls[first], out) and order[order.index(first) - 1] in calls:
        first = order[order.index(first) - 1]
    data = calls[first]["seeds" if first == "evolve" else "data"]
    there = first_columns(data, None if first == "evolve" else order[order.index(first) - 1])
    for key, column in unknown:
        if there is None:
            log.warning("warning: select.%s: %s is no score of the recipe; the data has to have it", key, column)
        elif column not in there:
            place = _place(name, lines, ("select", key) if ("select", key) in lines else ("select",))
            raise InputError(
                f"{place}: select.{key} names {column}, neither a score of the recipe nor a column of its data",
                fix="Add it to score.metrics." if column in METRICS else f"Scores: {', '.join(scores)}.",
            )


def _reads(arguments: Mapping[str, Any], out: str) -> bool:
    """Whether a stage reads the recipe's run folder."""
    data = arguments.get("data")
    return isinstance(data, str | Path) and Path(data) == Path(out)


def _lacks_input(stage: str, arguments: Mapping[str, Any], out: Path) -> bool:
    """Whether a stage reads what an earlier one has yet to make."""
    if stage == "evolve" or Path(str(arguments["data"])) != out:
        return False
    before = list(STAGES)[list(STAGES).index(stage) - 1]
    return not (out / OUTPUTS[before]).is_file()


def _implied(stage: str, out: str) -> dict[str, str]:
    """A stage's data and output where the recipe does not name them."""
    implied = {} if stage == "evolve" else {"data": out}
    return {**implied, "out": f"{out}/selected.jsonl" if stage == "select" else out}


def _options(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """A stage's options, each with its type and its default (... for none), its keyword arguments' own included."""
    options: dict[str, tuple[Any, Any]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            [keywords] = get_args(parameter.annotation)
            options |= {name: (kind, None) for name, kind in get_type_hints(keywords).items()}
        else:
            # see _check_data
            kind = Any if parameter.annotation in (Data, Data | None) else parameter.annotation
            options[name] = (kind, ... if parameter.default is parameter.empty else parameter.default)
    return options


def _arguments_model(stage: str, function: Callable[..., Any]) -> type[BaseModel]:
    """A pydantic model of a stage's options, made of its function's signature."""
    fields: dict[str, Any] = {name: about for name, about in _options(function).items() if name not in COMMON}
    return create_model(stage, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)


def _explained(error: ValidationError, stage: str, lines: dict[tuple[str, ...], int], name: str) -> InputError:
    problems = []
    for problem in error.errors():
        key = str(problem["loc"][0])
        place = _place(name, lines, (stage, key) if (stage, key) in lines else (stage,))
        if problem["type"] == "missing":
            words = f"{stage} lacks {key}"
        elif problem["type"] == "extra_forbidden":
            words = f"{stage} has no option {key!r}"
        else:
            words = f"{stage}.{key} is {problem['input']!r}: {problem['msg']}"
        problems.append(f"{place}: {words}")
    return InputError("\n".join(dict.fromkeys(problems)), fix=_expected(stage))


def _place(name: str, lines: dict[tuple[str, ...], int], key: tuple[str, ...]) -> str:
    return f"{name}, line {lines[key]}" if key in lines else name


def _expected(stage: str | None = None) -> str:
    if stage is None:
        return f"A recipe has the keys out, {', '.join(STAGES)}."
    options = [name for name in _options(STAGES[stage]) if name not in COMMON]
    return f"Options of {stage}: {', '.join(options)}."
