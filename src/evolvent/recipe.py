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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.evolution import EVOL_INSTRUCT
from evolvent.evolution.autoif.rules import METHOD as AUTOIF
from evolvent.evolution.evolve import check_seeds, evolve
from evolvent.metrics.all_metrics import chosen, columns_by_name
from evolvent.metrics.score import own_columns, score
from evolvent.models.models import Models, opened
from evolvent.models.uri import parse_uri
from evolvent.options import Function, OptionError, checked, collect, implements, options_in, read_text
from evolvent.recipe_file import Written, put, read_recipe
from evolvent.recipe_options import RUN, Recipe
from evolvent.responses.respond import respond
from evolvent.runs.run import Run
from evolvent.selection.columns import NUMBERS, TEXTS, first_columns
from evolvent.selection.select import Selection, select
from evolvent.selection.where import parse_conditions
from evolvent.stages import file_of

log = logging.getLogger(__name__)

# The stages of a recipe; each reads the file of the one before it.
FUNCTIONS: dict[str, Function[Any]] = {"evolve": evolve, "respond": respond, "score": score, "select": select}
BEFORE = dict(zip(list(FUNCTIONS)[1:], FUNCTIONS, strict=False))

Calls = dict[str, dict[str, Any]]


# What is set for the whole recipe, not for one stage.
COMMON = [name for name in options_in(Recipe) if name != "set"]


@dataclass(slots=True)
class RecipeRun:
    """What a recipe did.

    Attributes:
        path: the run folder.
        stages: what each stage returned, by its name.
    """

    path: Path
    stages: dict[str, Run | Selection] = field(default_factory=dict)


@implements(RUN)
def run(
    recipe: str | Path | Mapping[str, Any],
    *,
    how: Recipe,
    models: Models | None = None,
) -> RecipeRun:
    """Run a recipe's stages, one after the other; stages that are done already are left as they are.

    A dry run says what each stage would take that calls chat models and whose input is there.

    Returns:
        The run folder and what each stage returned.

    Raises:
        InputError: the recipe is wrong; the message names the line and what was expected.
        Anything that the stages raise.
    """
    written = read_recipe(recipe)
    for key, value in (how.set or {}).items():
        put(written.content, key, value)
    calls = _calls(written)
    done = RecipeRun(Path(written.content["out"]))
    with opened(models) as shared:
        for stage, arguments in calls.items():
            taken = inspect.signature(FUNCTIONS[stage]).parameters
            if how.dry_run and ("dry_run" not in taken or _lacks_input(stage, arguments, done.path)):
                continue
            common = {name: getattr(how, name) for name in COMMON} | {"models": shared}
            extra = {name: value for name, value in common.items() if name in taken}
            if stage == "select":
                _check_own_scores(calls, written)
            done.stages[stage] = FUNCTIONS[stage](**arguments, **extra)
            if models is None:
                later = list(calls)[list(calls).index(stage) + 1 :]
                shared.close(keep={uri for name in later for uri in _models_in(name, calls[name])})
    return done


def _models_in(stage: str, arguments: Mapping[str, Any]) -> set[str]:
    """The models that a stage is given, by URI as records hold it."""
    interface = FUNCTIONS[stage].interface
    options = interface.options(interface.method(arguments))
    given = [arguments[name] for name, one in options.items() if one.about.metavar == "URI" and arguments.get(name)]
    return {str(parse_uri(uri)) for uris in given for uri in ([uris] if isinstance(uris, str) else uris)}


def _calls(written: Written) -> Calls:
    """The stages' calls in their order, checked before the first one is made."""
    content = written.content
    for key in content:
        if key not in FUNCTIONS and key != "out":
            raise InputError(f"{written.place(str(key))}: unknown key {key!r}", fix=_expected())
    if not isinstance(content.get("out"), str) or not content["out"]:
        raise InputError(f"{written.name}: no run folder is named", fix="Add a line: out: runs/NAME")
    calls = {stage: _arguments(stage, written) for stage in FUNCTIONS if stage in content}
    if not calls:
        raise InputError(f"{written.name}: no stage is named", fix=_expected())
    _check_chain(calls, content["out"], written.name)
    _check_columns(calls, content["out"], written)
    return calls


def _arguments(stage: str, written: Written) -> dict[str, Any]:
    """What a stage is given, each value checked and as the stage's function has it."""
    interface, found = FUNCTIONS[stage].interface, written.content[stage] or {}
    if not isinstance(found, dict):
        raise InputError(f"{written.place(stage)}: {stage} holds no options", fix=_expected(stage))
    given = {**_implied(stage, written.content["out"]), **found}
    data, *options = taken = taken_by(stage)
    unknown = [f"{written.place(stage, name)}: {stage} has no option {name!r}" for name in given if name not in taken]
    if unknown:
        raise InputError("\n".join(unknown), fix=_expected(stage))
    try:
        known = interface.options(interface.method(given))
        lacking = [name for name in options if name in known and known[name].required and name not in given]
        if lacking:
            raise InputError(f"{stage} lacks {' and '.join(lacking)}", fix=_expected(stage))
        _check_data(stage, data, given)
        given |= {name: checked(one, read_text(one, given[name])) for name, one in known.items() if name in given}
        collect(interface, {name: given[name] for name in options if name in given})
    except OptionError as error:
        words = f"{stage}.{error.message}" if error.message.startswith(f"{error.option} is ") else error.message
        raise InputError(f"{written.place(stage, error.option)}: {words}", fix=error.fix) from error
    except InputError as error:
        raise InputError(f"{written.place(stage)}: {error.message}", fix=error.fix) from error
    return given


def _check_data(stage: str, name: str, given: Mapping[str, Any]) -> None:
    """What a YAML file can name data with: a path or Hub id, or rows written out. Python may give any Data."""
    value = given.get(name)
    if stage == "evolve" and value is None:
        if given.get("method") != AUTOIF:  # which has seeds of its own
            check_seeds(given.get("method", EVOL_INSTRUCT), value)
        return
    rows = isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value)
    if value is None or isinstance(value, bool | int | float | Mapping) or (isinstance(value, list) and not rows):
        fix = "Name one file, run folder or Hub id; join files with: cat A B > AB."
        raise OptionError(name, f"{value!r} is no data", fix=fix)


def _check_chain(calls: Calls, out: str, name: str) -> None:
    """Each stage that reads the run folder needs the stage before it, in the recipe or done already."""
    answers = calls.get("evolve", {}).get("method") == AUTOIF
    if answers and "respond" in calls and Path(calls["respond"]["out"]) == Path(out):
        raise InputError(
            f"{name}: AutoIF answers its instructions itself, in the same run folder",
            fix="Leave respond out (see evolve.teacher), or give it another out.",
        )
    for stage, before in BEFORE.items():
        made = before in calls or (answers and before == "respond")
        if stage not in calls or made or not _reads(calls[stage], out):
            continue
        if not Path(out).is_dir():
            makers = ", ".join(list(FUNCTIONS)[: list(FUNCTIONS).index(stage)])
            raise InputError(
                f"{name}: {stage} reads the run folder {out}, which is not there",
                fix=f"Correct out, name other data, or add what makes it: {makers}.",
            )
        if not (file := Path(out) / file_of(before)).is_file():
            raise InputError(f"{name}: {stage} reads {file}, which nothing makes", fix=f"Add {before}.")


def _check_columns(calls: Calls, out: str, written: Written) -> None:
    """What select goes by is a score of the recipe or a column of the data: found out before anything is paid."""
    if "score" not in calls or "select" not in calls or not _reads(calls["select"], out):
        return
    metrics = calls["score"].get("metrics", score.interface.options()["metrics"].default)
    scores = [column.name for metric in chosen(metrics) for column in metric.columns]
    named = _named_by_select(calls)
    own = {"by": (*scores, *NUMBERS), "where": (*scores, *NUMBERS, *TEXTS, "base_model")}
    unknown = [
        (key, column)
        for key, column in named
        if column not in own[key] and column.partition("@")[0] not in scores  # by another model, say
    ]
    if not unknown:
        return
    first = "score"
    while first in BEFORE and _reads(calls[first], out) and BEFORE[first] in calls:
        first = BEFORE[first]
    there = first_columns(calls[first].get(taken_by(first)[0], ""), BEFORE.get(first))
    for key, column in unknown:
        if there is None:
            log.warning("warning: select.%s: %s is no score of the recipe; the data has to have it", key, column)
        elif column not in there:
            raise InputError(
                f"{written.place('select', key)}: select.{key} names {column}, "
                "neither a score of the recipe nor a column of its data",
                fix="Add it to score.metrics." if column in columns_by_name() else f"Scores: {', '.join(scores)}.",
            )


def _check_own_scores(calls: Calls, written: Written) -> None:
    """What select goes by is what the recipe's score stage has made, not an earlier one with another model."""
    out = written.content["out"]
    if "score" not in calls or not _reads(calls["select"], out) or Path(calls["score"]["out"]) != Path(out):
        return
    options = {name: calls["score"][name] for name in taken_by("score")[1:] if name in calls["score"]}
    given, _, calling = collect(score.interface, options)
    own = own_columns(Path(out), given, calling)
    for key, column in _named_by_select(calls):
        if own.get(column, column) != column:
            raise InputError(
                f"{written.place('select', key)}: select.{key} names {column}, which in {out} is by another model or "
                f"layout than the recipe's; its own is {own[column]}",
                fix=f"Name {own[column]}, or make the recipe's scores the only ones with --fresh.",
            )


def _named_by_select(calls: Calls) -> list[tuple[str, str]]:
    """The columns that select is given, each with its option."""
    conditions = parse_conditions(calls["select"].get("where", ()))
    return [("by", calls["select"]["by"]), *(("where", condition.column) for condition in conditions)]


def _reads(arguments: Mapping[str, Any], out: str | Path) -> bool:
    """Whether a stage reads the recipe's run folder."""
    data = arguments.get("data")
    return isinstance(data, str | Path) and Path(data) == Path(out)


def _lacks_input(stage: str, arguments: Mapping[str, Any], out: Path) -> bool:
    """Whether a stage reads what an earlier one has yet to make."""
    return stage in BEFORE and _reads(arguments, out) and not (out / file_of(BEFORE[stage])).is_file()


def _implied(stage: str, out: str) -> dict[str, str]:
    """A stage's data and output where the recipe does not name them."""
    implied = {"data": out} if stage in BEFORE else {}
    return {**implied, "out": f"{out}/{file_of(stage)}" if stage == "select" else out}


def taken_by(stage: str) -> list[str]:
    """What a recipe may give a stage: its data, then its options."""
    return [name for name in inspect.signature(FUNCTIONS[stage]).parameters if name not in (*COMMON, "models")]


def _expected(stage: str | None = None) -> str:
    if stage is None:
        return f"A recipe has the keys out, {', '.join(FUNCTIONS)}."
    return f"Options of {stage}: {', '.join(taken_by(stage))}."
