"""Recipes: a YAML file that names the same calls, with the same options, as the command line and Python.

    out: runs/first
    evolve: {seeds: seeds.jsonl, model: embedded, rounds: 3}
    respond: {teacher: embedded}
    score: {base_model: embedded-base}
    select: {by: ic_ifd, top: 25%}

A stage's keys are the keyword arguments of its function; where its data is not named it is the run folder itself.
A stage that is wanted again has a name of its own behind it (``respond:b``) and works in a folder of that name in the
run folder; it reads there what another stage of that name made, else the run folder.
"""

import inspect
import logging
import re
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.evaluation.evaluate import Evaluation, evaluate
from evolvent.evolution import EVOL_INSTRUCT
from evolvent.evolution.autoif.rules import METHOD as AUTOIF
from evolvent.evolution.evolve import check_seeds, evolve
from evolvent.metrics.all_metrics import chosen, columns_by_name
from evolvent.metrics.score import own_columns, score
from evolvent.models.models import Models, opened
from evolvent.models.uri import parse_uri
from evolvent.object_storage.attached import attached
from evolvent.object_storage.urls import place_of, url_in
from evolvent.options import Function, OptionError, checked, collect, implements, options_in, read_text
from evolvent.recipe_file import Written, put, read_recipe
from evolvent.recipe_options import RUN, Recipe
from evolvent.responses.respond import respond
from evolvent.runs.made_folder import made_run_folder
from evolvent.runs.run import Run
from evolvent.runs.shards import first_again
from evolvent.selection.columns import NUMBERS, TEXTS, first_columns
from evolvent.selection.select import Selection, select
from evolvent.selection.where import parse_conditions
from evolvent.stages import file_of
from evolvent.training.train import Trained, train

log = logging.getLogger(__name__)

# The stages of a recipe, and those of which each reads the file of another.
FUNCTIONS: dict[str, Function[Any]] = {
    "evolve": evolve,
    "respond": respond,
    "score": score,
    "select": select,
    "train": train,
    "evaluate": evaluate,
}
BEFORE = {"respond": "evolve", "score": "respond", "select": "score", "train": "select"}
# Those that read what another wrote to a place of its own: a training set, a student.
OF_FILES = {"train": "select", "evaluate": "train"}

# What each stage of a recipe is given, by its key: the stage's name, with a colon and a name of its own if it has one.
Calls = dict[str, dict[str, Any]]

# What is set for the whole recipe, not for one stage.
COMMON = [name for name in options_in(Recipe) if name != "set"]


@dataclass(slots=True)
class RecipeRun:
    """What a recipe did.

    Attributes:
        path: the run folder.
        stages: what each stage returned, by its key in the recipe.
        left_out: of a dry run, the stages that read what another has yet to make, each with that.
    """

    path: Path
    stages: dict[str, Run | Selection | Trained | Evaluation] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@implements(RUN)
def run(
    recipe: str | Path | Mapping[str, Any],
    *,
    how: Recipe,
    models: Models | None = None,
) -> RecipeRun:
    """Run a recipe's stages in the order in which they are written; those that are done already are left as they are.

    Of a shard the first stage is made that is not merged yet, and no more.

    A dry run says what each stage would take whose input is there; what it would select is written to a temporary file,
    so that it can say what a training would take.

    Returns:
        The run folder and what each stage returned.

    Raises:
        InputError: the recipe is wrong; the message names the line and what was expected.
        Anything that the stages raise.
    """
    written = read_recipe(recipe)
    for key, value in (how.set or {}).items():
        put(written.content, key, value)
    with attached(written.content, {"out"}) as content:
        return _run(replace(written, content=_in_copy(content, url_in(written.content.get("out")))), how, models)


def _in_copy(content: dict[str, Any], out: str | None) -> dict[str, Any]:
    """A recipe with the places of the copy for URLs of its own run folder, which its stages have yet to make."""
    if out is None:
        return content

    def here(value: Any) -> Any:
        url = url_in(value)
        return str(place_of(url)) if url is not None and f"{url}/".startswith(f"{out}/") else value

    return {
        key: {name: here(one) if name in {"data", "out"} else one for name, one in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in content.items()
    }


def _run(written: Written, how: Recipe, models: Models | None) -> RecipeRun:
    calls = _calls(written)
    done = RecipeRun(Path(written.content["out"]))
    if how.shard is not None and how.fresh and sum(map(_has_shards, calls)) > 1:
        raise first_again("the recipe", done.path)
    with opened(models) as shared, tempfile.TemporaryDirectory(prefix="evolvent-") as scratch:
        for key, arguments in calls.items():
            taken = inspect.signature(_function(key)).parameters
            common = {name: getattr(how, name) for name in COMMON} | {"models": shared}
            extra = {name: value for name, value in common.items() if name in taken}
            if how.dry_run and (maker := _lacking(key, calls, done)) is not None:
                done.left_out[key] = maker
                continue
            if _stage(key) == "select":
                _check_own_scores(key, calls, written)
            if how.dry_run:
                arguments = _in_place(key, calls, done, Path(scratch))
            if how.shard is not None and not _has_shards(key):
                log.warning("%s works on the whole of its input: the recipe without --shard makes it", key)
                break
            with nullcontext() if how.dry_run else _run_folder(key, arguments, done.path):
                done.stages[key] = made = _function(key)(**arguments, **extra)
            if how.shard is not None and isinstance(made, Run) and made.path != Path(arguments["out"]):
                break  # the stages behind it read what merging all its shards will give
            if models is None:
                later = list(calls)[list(calls).index(key) + 1 :]
                shared.close(keep={uri for name in later for uri in _models_in(name, calls[name])})
    return done


def stages_with_shards(recipe: str | Path | Mapping[str, Any]) -> list[tuple[str, str]]:
    """The stages of a recipe that can be made in shards, each with its run folder, in their order.

    AutoIF comes three times: its own stages are merged one after the other.

    Raises:
        InputError: the recipe is wrong, or a stage that has none comes before one that has.
    """
    calls = _calls(read_recipe(recipe))
    whole = ""
    for key in calls:
        if not _has_shards(key):
            whole = key
        elif whole:
            raise InputError(
                f"{whole} works on its whole input, and {key}, which has shards, comes after it",
                fix=f"Run the recipe up to {whole} first; then a recipe of the stages behind it in shards.",
            )
    return [
        (key, url_in(arguments["out"]) or str(arguments["out"]))
        for key, arguments in calls.items()
        if _has_shards(key)
        for _ in range(3 if arguments.get("method") == AUTOIF else 1)
    ]


def _has_shards(key: str) -> bool:
    """Whether a stage can be made in shards."""
    return "shard" in inspect.signature(_function(key)).parameters


def _stage(key: str) -> str:
    """The stage of a key: ``respond`` of ``respond:b``."""
    return key.partition(":")[0]


def _function(key: str) -> Function[Any]:
    return FUNCTIONS[_stage(key)]


def _models_in(key: str, arguments: Mapping[str, Any]) -> set[str]:
    """The models that a stage is given, by URI as records hold it."""
    interface = _function(key).interface
    options = interface.options(interface.method(arguments))
    named = {*(name for name, one in options.items() if one.about.metavar == "URI"), "model"}
    given = [arguments[name] for name in named if arguments.get(name)]
    return {str(parse_uri(uri)) for uris in given for uri in ([uris] if isinstance(uris, str) else uris)}


def _calls(written: Written) -> Calls:
    """The stages' calls in their order, checked before the first one is made."""
    content = written.content
    for key in content:
        if key != "out" and _stage(str(key)) not in FUNCTIONS:
            raise InputError(f"{written.place(str(key))}: unknown key {key!r}", fix=_expected())
        if ":" in str(key) and not re.fullmatch(r"\w[\w-]*", str(key).partition(":")[2]):
            raise InputError(
                f"{written.place(str(key))}: {key!r} names no folder",
                fix=f"Letters, digits, - and _ after the colon: {_stage(key)}:second.",
            )
    if not isinstance(content.get("out"), str) or not content["out"]:
        raise InputError(f"{written.name}: no run folder is named", fix="Add a line: out: runs/NAME")
    calls: Calls = {}
    for key in content:
        if key != "out":
            calls[key] = _arguments(key, calls, written)
    if not calls:
        raise InputError(f"{written.name}: no stage is named", fix=_expected())
    for key in calls:
        _check_chain(key, calls, content["out"], written)
    for key in calls:
        if _stage(key) == "select":
            _check_columns(key, calls, written)
    return calls


def _arguments(key: str, before: Calls, written: Written) -> dict[str, Any]:
    """What a stage is given, each value checked and as the stage's function has it."""
    stage, interface, found = _stage(key), _function(key).interface, written.content[key] or {}
    if not isinstance(found, dict):
        raise InputError(f"{written.place(key)}: {key} holds no options", fix=_expected(stage))
    given = {**_implied(key, before, written), **found}
    data, *options = taken = taken_by(stage)
    unknown = [f"{written.place(key, name)}: {stage} has no option {name!r}" for name in given if name not in taken]
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
        raise InputError(f"{written.place(key, error.option)}: {words}", fix=error.fix) from error
    except InputError as error:
        raise InputError(f"{written.place(key)}: {error.message}", fix=error.fix) from error
    return given


def _check_data(stage: str, name: str, given: Mapping[str, Any]) -> None:
    """What a YAML file can name data with: a path or Hub id, or rows written out. Python may give any Data."""
    value = given.get(name)
    if stage == "evolve" and value is None:
        if given.get("method") != AUTOIF:  # which has seeds of its own
            check_seeds(given.get("method", EVOL_INSTRUCT), value)
        return
    if stage == "evaluate":
        if not isinstance(value, str):
            raise OptionError(name, "no model is named", fix="Add one: model: URI")
        return
    rows = isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value)
    if value is None or isinstance(value, bool | int | float | Mapping) or (isinstance(value, list) and not rows):
        fix = "Name one file, run folder or Hub id; join files with: cat A B > AB."
        raise OptionError(name, f"{value!r} is no data", fix=fix)


def _maker(key: str, calls: Calls) -> str | None:
    """The stage written before one whose file it reads, by its key; AutoIF's evolve answers, too."""
    for other in reversed(list(calls)[: list(calls).index(key)]):
        makes = {_stage(other)} | ({"respond"} if calls[other].get("method") == AUTOIF else set())
        if BEFORE.get(_stage(key)) in makes and _reads(calls[key], calls[other]["out"]):
            return other
    return None


def _check_chain(key: str, calls: Calls, out: str, written: Written) -> None:
    """A stage that reads a folder of the recipe needs what is made there by a stage before it, or was made earlier."""
    stage, data = _stage(key), calls[key].get("data")
    if stage == "respond" and any(_answers(other, calls[key]["out"]) for other in calls.values()):
        raise InputError(
            f"{written.name}: AutoIF answers its instructions itself, in the same run folder",
            fix="Leave respond out (see evolve.teacher), or give it another out.",
        )
    of_recipe = {Path(out), *(Path(out) / other.partition(":")[2] for other in calls)}
    if stage not in BEFORE or not isinstance(data, str | Path) or Path(data) not in of_recipe or _maker(key, calls):
        return
    later = [other for other in calls if _stage(other) == BEFORE[stage] and _reads(calls[key], calls[other]["out"])]
    if later and not (Path(data) / file_of(BEFORE[stage])).is_file():
        raise InputError(
            f"{written.place(key)}: {key} reads what {later[0]} makes, which is written below it",
            fix="Stages run in the order in which they are written: move it up.",
        )
    if not Path(data).is_dir():
        makers = ", ".join(list(FUNCTIONS)[: list(FUNCTIONS).index(stage)])
        raise InputError(
            f"{written.name}: {key} reads the run folder {data}, which is not there",
            fix=f"Correct out, name other data, or add what makes it: {makers}.",
        )
    if not (file := Path(data) / file_of(BEFORE[stage])).is_file():
        raise InputError(f"{written.name}: {key} reads {file}, which nothing makes", fix=f"Add {BEFORE[stage]}.")


def _answers(call: Mapping[str, Any], out: str | Path) -> bool:
    """Whether a stage is AutoIF, which answers, in that run folder."""
    return call.get("method") == AUTOIF and Path(call["out"]) == Path(out)


def _check_columns(key: str, calls: Calls, written: Written) -> None:
    """What select goes by is a score of the recipe or a column of the data: found out before anything is paid."""
    scored = _maker(key, calls)
    if scored is None:
        return
    metrics = calls[scored].get("metrics", score.interface.options()["metrics"].default)
    scores = [column.name for metric in chosen(metrics) for column in metric.columns]
    own = {"by": (*scores, *NUMBERS), "where": (*scores, *NUMBERS, *TEXTS, "base_model")}
    unknown = [
        (option, column)
        for option, column in _named_by_select(calls[key])
        if column not in own[option] and column.partition("@")[0] not in scores  # by another model, say
    ]
    if not unknown:
        return
    first = scored
    while (before := _maker(first, calls)) is not None:
        first = before
    data = calls[first].get(taken_by(_stage(first))[0], "")
    there = first_columns(data, BEFORE.get(_stage(first)))
    for option, column in unknown:
        if there is None:
            log.warning("warning: %s.%s: %s is no score of the recipe; the data has to have it", key, option, column)
        elif column not in there:
            raise InputError(
                f"{written.place(key, option)}: {key}.{option} names {column}, "
                "neither a score of the recipe nor a column of its data",
                fix="Add it to score.metrics." if column in columns_by_name() else f"Scores: {', '.join(scores)}.",
            )


def _check_own_scores(key: str, calls: Calls, written: Written) -> None:
    """What select goes by is what the recipe's score stage has made, not an earlier one with another model."""
    scored = _maker(key, calls)
    if scored is None:
        return
    out = calls[scored]["out"]
    options = {name: calls[scored][name] for name in taken_by("score")[1:] if name in calls[scored]}
    given, _, calling = collect(score.interface, options)
    own = own_columns(Path(out), given, calling)
    for option, column in _named_by_select(calls[key]):
        if own.get(column, column) != column:
            raise InputError(
                f"{written.place(key, option)}: {key}.{option} names {column}, which in {out} is by another model or "
                f"layout than the recipe's; its own is {own[column]}",
                fix=f"Name {own[column]}, or make the recipe's scores the only ones with --fresh.",
            )


def _named_by_select(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns that select is given, each with its option."""
    conditions = parse_conditions(arguments.get("where", ()))
    return [("by", arguments["by"]), *(("where", condition.column) for condition in conditions)]


def _reads(arguments: Mapping[str, Any], folder: str | Path) -> bool:
    """Whether a stage reads a run folder."""
    data = arguments.get("data")
    return isinstance(data, str | Path) and Path(data) == Path(folder)


def _lacking(key: str, calls: Calls, done: RecipeRun) -> str | None:
    """In a dry run, the stage that has yet to make what a stage reads."""
    for other in _files_read(key, calls):
        if other not in done.stages or not (_stage(other) == "select" or Path(calls[other]["out"]).is_dir()):
            return other
    maker = _maker(key, calls)
    if maker is None or _stage(maker) == "select":
        return None
    return None if (Path(calls[key]["data"]) / file_of(BEFORE[_stage(key)])).is_file() else maker


def _files_read(key: str, calls: Calls) -> dict[str, str]:
    """Which options of a stage name a training set or a student of an earlier one, by that one's key."""
    given = {str(Path(value)): name for name, value in calls[key].items() if isinstance(value, str | Path)}
    before = list(calls)[: list(calls).index(key)]
    made = {other: str(Path(calls[other]["out"])) for other in before if _stage(other) in OF_FILES.values()}
    found = {other: given.get(out) or given.get(f"hf:{out}") for other, out in made.items()}
    return {other: name for other, name in found.items() if name}


def _in_place(key: str, calls: Calls, done: RecipeRun, scratch: Path) -> dict[str, Any]:
    """What a stage is given in a dry run: another file to select into, and what was selected there."""
    read = {
        name: done.stages[other].path for other, name in _files_read(key, calls).items() if _stage(other) == "select"
    }
    arguments = calls[key] | read
    if _stage(key) != "select":
        return arguments
    out = Path(arguments["out"])
    return arguments | {"out": scratch / key / (out.name if out.suffix else file_of("select"))}


def _run_folder(key: str, arguments: Mapping[str, Any], out: Path) -> AbstractContextManager[None]:
    """The run folder of a stage that writes into one, and makes none itself: that of the recipe, or the stage's own."""
    folder = out / key.partition(":")[2]
    makes = _stage(key) in OF_FILES.values() and Path(arguments["out"]).parent == folder
    return made_run_folder(folder) if makes else nullcontext()


def _implied(key: str, before: Calls, written: Written) -> dict[str, str]:
    """What a stage is given where the recipe does not name it: output, and the data or the model that others make."""
    stage, _, name = key.partition(":")
    out = written.content["out"]
    own = f"{out}/{name}" if name else out
    implied = {"out": f"{own}/{file_of(stage)}".rstrip("/") if stage in ("select", "train") else own}
    if stage in OF_FILES:  # what is selected or trained may have any name
        made = [before[other]["out"] for other in before if _stage(other) == OF_FILES[stage]]
        made = [path for path in made if Path(path).parent == Path(own)] or made
        if stage == "evaluate":
            return {**implied, **({"model": f"hf:{made[-1]}"} if made else {})}
        return {**implied, "data": str(made[-1] if made else out)}
    if stage not in BEFORE:
        return implied
    return {**implied, "data": own if f"{BEFORE[stage]}:{name}" in _made(written.content) else out}


def _made(content: Mapping[str, Any]) -> set[str]:
    """What the stages of a recipe make, wherever they are written in it; AutoIF's evolve answers, too."""
    autoif = {key for key, given in content.items() if isinstance(given, Mapping) and given.get("method") == AUTOIF}
    return {*content, *(key.replace("evolve", "respond", 1) for key in autoif)}


def taken_by(stage: str) -> list[str]:
    """What a recipe may give a stage: its data, then its options."""
    never = (*COMMON, "models", "preview")  # a preview leaves nothing to the stages that follow
    return [name for name in inspect.signature(FUNCTIONS[stage]).parameters if name not in never]


def _expected(stage: str | None = None) -> str:
    if stage is None:
        return f"A recipe has the keys out, {', '.join(FUNCTIONS)}."
    return f"Options of {stage}: {', '.join(taken_by(stage))}."
