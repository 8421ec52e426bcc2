"""The table of commands: the function that each calls, and what it prints of what that returns."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from evolvent.commands.parameters import JSON, as_typed, further, json_switch, method_in, parameters, values
from evolvent.errors import InputError
from evolvent.object_storage.urls import url_or_path
from evolvent.options import Interface, OptionError
from evolvent.report.at_end import print_page
from evolvent.report.comparison import comparison_tables
from evolvent.report.json_document import json_document
from evolvent.report.printing import (
    print_calls,
    print_card,
    print_contents,
    print_estimates,
    print_exported,
    print_fates,
    print_files,
    print_findings,
    print_pushed,
    print_run,
    print_stages,
    print_tables,
    print_trained,
    print_verified,
)
from evolvent.report.progress import on_standard_error
from evolvent.special_files import descriptor
from evolvent.words import number_of

if TYPE_CHECKING:
    from evolvent.commands.look import Calls
    from evolvent.evaluation.evaluate import Evaluation
    from evolvent.evolution.auto_evol_instruct.keywords import Keywords
    from evolvent.evolution.auto_evol_instruct.optimize import OptimizedMethod
    from evolvent.ranking.result import Ranked
    from evolvent.ranking.validate import Validation
    from evolvent.recipe import RecipeRun
    from evolvent.report.page.report import Report
    from evolvent.runs.run import Run
    from evolvent.runs.sampled import Pilot


class Command(NamedTuple):
    """A command.

    Attributes:
        interface: the interface of its function, or the function itself if its module is a light one: ``module:name``.
        help: what it is for, in a line.
        show: prints what the function returned; the second argument is what was typed.
        json: whether what the function returned can be had as JSON.
    """

    interface: str
    help: str
    show: Callable[[Any, Mapping[str, Any]], object]
    json: bool = False


def _run(run: "Run", _: object) -> None:
    if run.preview is None:
        print_run(run)
        return
    from evolvent.report.preview import print_preview

    print_preview(run)


def _evolved(done: "Run | Pilot", typed: object) -> None:
    from evolvent.report.pilot import how_to_go_on
    from evolvent.runs.sampled import Pilot

    if isinstance(done, Pilot):
        typer.echo(f"\n{how_to_go_on(done, done.best)}")
    else:
        _run(done, typed)


def _demo(done: "RecipeRun", _: object) -> None:
    from evolvent.report.demo import print_demo

    print_demo(done.path, done.stages)
    print_page(done.path)


def _searched(found: "OptimizedMethod", _: object) -> None:
    from evolvent.evolution.auto_evol_instruct.history import read_history
    from evolvent.report.method_search import failed_calls, steps_table
    from evolvent.runs.run import Run
    from evolvent.stages import file_of

    stage = "optimize-method"
    print_run(Run(found.folder, stage, found.file, dict(found.counts), found.already_done, found.estimate))
    if found.estimate is None:
        history = read_history(found.folder / file_of(stage))  # METHOD.yaml may have been edited since
        print_tables([steps_table(history)])
        failed = failed_calls(history)
        if failed:
            typer.echo(f"warning: {stage}: {failed}; --fresh asks for them again", err=True)


def _figures(found: "Evaluation", _: object) -> None:
    from evolvent.report.evaluation import difference_table, evaluation_tables
    from evolvent.report.published import published_table

    for run in found.stages.values():
        print_run(run)
    if found.stages["evaluate"].already_done:
        print_tables(evaluation_tables(found.figures))
    if found.published:
        print_tables([published_table(found.figures, found.published)])
    if found.against is not None:
        print_tables([difference_table(found.differences, str(found.against), found.unlike)])


def _merged(runs: "Sequence[Run]", _: object) -> None:
    for one in runs:
        print_run(one)


def _keywords(found: "Keywords", typed: Mapping[str, Any]) -> None:
    from evolvent.report.keywords import keyword_tables

    if found.run.estimate is not None:
        print_run(found.run)
        return
    print_tables(keyword_tables(found))
    typer.echo(
        f"\nwritten: {url_or_path(found.run.output)}" + (f", {url_or_path(typed['out'])}" if "out" in typed else "")
    )
    print_fates(found.run)


def _recipe(done: "RecipeRun", typed: Mapping[str, Any]) -> None:
    if typed.get("dry_run"):
        print_estimates(done.stages, done.left_out)
        return
    if typed.get("shard"):
        for made in list(done.stages.values())[-1:]:
            print_run(made)
        return
    written = [one.path for key, one in done.stages.items() if key.partition(":")[0] == "select"]
    with _beside_data(next(filter(_is_standard_output, written), None)):
        print_stages(done.path, done.stages)
        print_page(done.path)


def _ranked(found: "Ranked", _: object) -> None:
    from evolvent.report.ranking import ranking_tables, verdicts

    print_tables(ranking_tables(found))
    for line in verdicts(found):
        typer.echo(line)
    print_page(found.folder)


def _validated(found: "Validation", _: object) -> None:
    from evolvent.report.ranking import validation_table

    print_tables([validation_table(found)])


def _reported(done: "Report", _: object) -> None:
    from evolvent.report.printing import print_report

    print_report(done)


def _calls(found: "Calls", _: object) -> None:
    if found.out is not None:
        typer.echo(f"{found.out}: {number_of(found.total, 'calls')}")
    else:
        print_calls(found.calls, found.total, found.why_none)


COMMANDS = {
    "demo": Command("evolvent.demo:demo", "Run sample seeds through the whole path, offline.", _demo),
    "evolve": Command(
        "evolvent.commands.evolve:evolve", "Evolve seeds, round after round: OUT/evolved.parquet.", _evolved
    ),
    "optimize-method": Command(
        "evolvent.evolution.auto_evol_instruct.options:OPTIMIZE_METHOD",
        "Search for a better evolving method: METHOD.yaml.",
        _searched,
    ),
    "keywords": Command(
        "evolvent.evolution.auto_evol_instruct.options:KEYWORDS",
        "Count the keywords of an Auto Evol-Instruct run.",
        _keywords,
    ),
    "verify": Command(
        "evolvent.evolution.autoif.options:VERIFY",
        "Verify answers with the functions of an AutoIF run.",
        lambda found, _: print_verified(found),
    ),
    "respond": Command("evolvent.responses.options:RESPOND", "Let teachers answer: OUT/responses.parquet.", _run),
    "score": Command("evolvent.metrics.options:SCORE", "Score pairs: OUT/scored.parquet.", _run),
    "compare": Command(
        "evolvent.metrics.options:COMPARE",
        "Compare data sets by their scores, with intervals.",
        lambda found, _: print_tables(comparison_tables(found)),
    ),
    "rank evolvers": Command(
        "evolvent.ranking.options:RANK_EVOLVERS", "Which model should evolve the seeds?", _ranked, json=True
    ),
    "rank teachers": Command(
        "evolvent.ranking.options:RANK_TEACHERS", "Which model should answer the instructions?", _ranked, json=True
    ),
    "rank data": Command(
        "evolvent.ranking.options:RANK_DATA", "Which data set should the model be tuned on?", _ranked, json=True
    ),
    "rank validate": Command(
        "evolvent.ranking.options:RANK_VALIDATE", "How well have figures foretold students?", _validated, json=True
    ),
    "select": Command(
        "evolvent.selection.options:SELECT",
        "Keep the best rows as a training set, with a note on how.",
        lambda done, _: print_files({"select": done}),
    ),
    "train": Command(
        "evolvent.training.options:TRAIN",
        "Train a student on data: a folder that hf: loads.",
        lambda done, _: print_trained(done),
    ),
    "evaluate": Command(
        "evolvent.evaluation.options:EVALUATE",
        "Evaluate a model on benchmarks: OUT/evaluated.parquet.",
        _figures,
    ),
    "run": Command("evolvent.recipe_options:RUN", "Run a recipe: the same calls, named in a file.", _recipe),
    "merge": Command("evolvent.runs.options:MERGE", "Join the shards of a run's stages.", _merged),
    "slurm": Command(
        "evolvent.recipe_options:SLURM",
        "Write a script that submits a recipe's shards to Slurm.",
        lambda script, _: typer.echo(script, nl=False),
    ),
    "show": Command(
        "evolvent.report.show:show",
        "Show what a run holds: counts, tokens, scores, examples.",
        lambda found, _: print_contents(found),
        json=True,
    ),
    "report": Command(
        "evolvent.report.page.options:REPORT", "Write what runs have come to as one HTML file.", _reported, json=True
    ),
    "calls": Command(
        "evolvent.commands.look:calls", "Look into a run's calls: prompts, replies, failures.", _calls, json=True
    ),
    "card": Command(
        "evolvent.publishing.options:CARD",
        "Write the data card of a run, for the Hub: README.md.",
        lambda done, _: print_card(done),
    ),
    "push": Command(
        "evolvent.commands.publish:push",
        "Upload a run's data to the Hub, with its card.",
        lambda done, _: print_pushed(done),
    ),
    "convert": Command(
        "evolvent.datasets.options:CONVERT",
        "Convert instruction data from one format to another.",
        lambda counts, typed: typer.echo(f"{typed['out']}: {counts}"),
    ),
    "export": Command(
        "evolvent.exporting.options:EXPORT",
        "Write a training set and its configuration for a trainer.",
        lambda done, _: print_exported(done),
    ),
    "doctor": Command(
        "evolvent.environment:doctor",
        "Say what this machine can run.",
        lambda found, _: print_findings(found),
        json=True,
    ),
    "agent": Command(
        "evolvent.commands.agent:agent",
        "Say what a coding agent must know, in 200 lines.",
        lambda text, _: typer.echo(text),
    ),
}


def interface_of(name: str) -> Interface:
    """What the function of a command is given."""
    module, _, place = COMMANDS[name].interface.partition(":")
    found = getattr(import_module(module), place)
    interface: Interface = getattr(found, "interface", found)
    return interface


def _is_standard_output(out: str | Path) -> bool:
    return str(out) == "-" or descriptor(Path(out)) == 1


@contextmanager
def _beside_data(out: str | Path | None) -> Iterator[None]:
    """Say on standard error what is said while a command writes its data to standard output."""
    if out is not None and _is_standard_output(out):
        with redirect_stdout(sys.stderr):
            yield
    else:
        yield


def made(name: str, typed: Sequence[str]) -> Any:
    """A command as Typer runs it.

    Args:
        name: its name in the table.
        typed: what is typed behind it; the method that it names decides which options the help shows.
    """
    command, interface = COMMANDS[name], interface_of(name)
    method = method_in(interface, typed)

    def run(ctx: typer.Context, **found: Any) -> None:
        as_json = found.pop(JSON, False)
        source = ctx.get_parameter_source
        typed = {name: value for name, value in found.items() if getattr(source(name), "name", "") != "DEFAULT"}
        given = values(interface, typed)
        if "progress" in interface.options():
            given["progress"] = on_standard_error()
        function = getattr(import_module(interface.module), interface.name)
        if as_json and _is_standard_output(given.get("out", "")):
            raise InputError("--json and --out - both write to standard output", fix="Leave one of the two out.")
        with _beside_data("-" if as_json else given.get("out")):
            try:
                done = function(**given)
            except OptionError as error:
                raise as_typed(interface, error) from error
            if not as_json:
                command.show(done, given)
        if as_json:
            typer.echo(json_document(done), nl=False)

    context = next(iter(inspect.signature(run).parameters.values()))
    own = [context, *parameters(interface, method), *([json_switch()] if command.json else [])]
    run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in inspect.signature(run).parameters.values()}
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name, help=command.help, epilog=further(interface, method))(run)
    return typer.main.get_command(app)
