"""Commands on whole runs: the demo, recipes, what a run holds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from evolvent.commands import options as option
from evolvent.commands.values import pair
from evolvent.report.printing import print_calls, print_estimates, print_stages, print_summary


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The run folder.")] = Path("demo"),
    fresh: option.FreshAll = False,
) -> None:
    """Run sample seeds through the whole path, offline."""
    from evolvent.demo import demo as run_demo

    done = run_demo(out, fresh=fresh, progress=True)
    print_stages(done.path, done.stages, examples=2)
    typer.echo(
        "\nThe embedded models are for trying the tool: this data is not for training. "
        "With your own seeds and model:\n  evolvent evolve SEEDS --model hf:ID --out RUN"
    )


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="A YAML recipe.", show_default=False)],
    set: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value: evolve.rounds=2. Repeatable."),
    ] = None,
    fresh: option.FreshAll = False,
    retry_failed: option.RetryFailed = False,
    dry_run: option.DryRun = False,
) -> None:
    """Run a recipe: the same calls, named in a file."""
    from evolvent.recipe import run as run_recipe

    pairs = [pair(text, "--set") for text in set or []]
    done = run_recipe(
        recipe, set=dict(pairs), fresh=fresh, retry_failed=retry_failed, dry_run=dry_run, progress=not dry_run
    )
    if dry_run:
        print_estimates(done.stages)
        return
    print_stages(done.path, done.stages)


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    examples: Annotated[int, typer.Option("--examples", metavar="N", min=0, help="How many trajectories to show.")] = 3,
) -> None:
    """Show what a run holds: counts, tokens, scores, examples."""
    print_summary(run, examples=examples)


def calls(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    record: Annotated[
        str | None, typer.Option("--record", metavar="ID", help="Of this record, or of its seed.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="URI", help="Of this model.")] = None,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="Of this stage: evolve, respond …")
    ] = None,
    error: Annotated[str | None, typer.Option("--error", metavar="TEXT", help="Failed with these words.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Failed calls only.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many to print.")] = 10,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.jsonl", help="Write all of them to a file instead.")
    ] = None,
) -> None:
    """Look into a run's calls: prompts, replies, failures."""
    from evolvent.calls.log import calls as stored_calls
    from evolvent.calls.log import count_calls, export, why_none

    wanted: dict[str, Any] = {"record": record, "model": model, "stage": stage, "error": error, "failed": failed}
    if out is not None:
        typer.echo(f"{out}: {export(stored_calls(run, **wanted), out):,} calls")
        return
    total = count_calls(run, **wanted)
    print_calls(
        stored_calls(run, **wanted, limit=limit), total, [] if total else why_none(run, record=record, model=model)
    )
