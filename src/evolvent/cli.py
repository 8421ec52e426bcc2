"""The command line: parse, call the API, print. No logic."""

import gc
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from evolvent import cli_options as option
from evolvent.endings import Commands, end_well
from evolvent.errors import InputError
from evolvent.printing import (
    print_calls,
    print_estimates,
    print_files,
    print_findings,
    print_run,
    print_stages,
    print_summary,
)

app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    help="Make instruction-tuning data with small language models: evolve, answer, score, select.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,  # noqa: ARG001 (main reads it)
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from importlib import metadata

        typer.echo(f"evolvent {metadata.version('evolvent')}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The run folder.")] = Path("demo"),
    fresh: option.FreshAll = False,
) -> None:
    """Run sample seeds through the whole path, with embedded models."""
    from evolvent.demo import demo as run_demo

    done = run_demo(out, fresh=fresh, progress=True)
    print_stages(done.path, done.stages, examples=2)
    typer.echo(
        "\nThe embedded models are for trying the tool: this data is not for training. "
        "With your own seeds and model:\n  evolvent evolve SEEDS --model hf:ID --out RUN"
    )


@app.command()
def evolve(
    seeds: Annotated[str, typer.Argument(metavar="SEEDS", help="A data file or a Hub id.", show_default=False)],
    model: option.Evolver,
    out: option.Out,
    method: Annotated[str, typer.Option("--method", metavar="NAME", help="The evolution method.")] = "evol-instruct",
    profile: option.Profile = "default",
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="How often each seed is evolved.")] = 3,
    breadth: option.Breadth = True,
    operators: option.Operators = None,
    templates: option.Templates = None,
    judge: option.Judge = None,
    system: option.EvolverSystem = None,
    limit: option.Limit = None,
    seed: option.Seed = 0,
    temperature: option.Temperature = 0.7,
    top_p: option.TopP = 0.95,
    max_tokens: option.MaxTokens = 2048,
    concurrency: option.Concurrency = None,
    max_requests_per_minute: option.Requests = None,
    max_tokens_per_minute: option.Tokens = None,
    price: option.Price = None,
    budget: option.MaxCost = None,
    dry_run: option.DryRun = False,
    retry_failed: option.RetryFailed = False,
    extra_body: option.ExtraBody = None,
    format: option.Format = None,
    map: option.Map = None,
    skip_bad: option.SkipBad = False,
    fresh: option.Fresh = False,
) -> None:
    """Evolve seeds, round after round: OUT/evolved.parquet."""
    from evolvent.evolution.evolve import evolve as run_evolve
    from evolvent.models.opening import parse_extra_body

    run = run_evolve(
        seeds,
        model=model,
        out=out,
        method=method,
        profile=profile,  # type: ignore[arg-type]
        rounds=rounds,
        breadth=breadth,
        operators=_names(operators, "--operators"),
        templates=templates,
        judge=judge,
        system=system,
        limit=limit,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        concurrency=concurrency,
        max_requests_per_minute=max_requests_per_minute,
        max_tokens_per_minute=max_tokens_per_minute,
        price=price,
        budget=budget,
        dry_run=dry_run,
        retry_failed=retry_failed,
        extra_body=parse_extra_body(extra_body),
        format=format,
        map=_mapping(map, "--map"),
        skip_bad=skip_bad,
        fresh=fresh,
        progress=True,
    )
    print_run(run)


@app.command()
def respond(
    data: option.Data,
    teacher: option.Teachers,
    out: option.Out,
    round: Annotated[
        int | None, typer.Option("--round", metavar="N", min=0, help="One round only; 0 answers the seeds.")
    ] = None,
    system: option.TeacherSystem = None,
    limit: option.Limit = None,
    seed: option.Seed = 0,
    temperature: option.Temperature = 0.0,
    top_p: option.TopP = 1.0,
    max_tokens: option.MaxTokens = 2048,
    concurrency: option.Concurrency = None,
    max_requests_per_minute: option.Requests = None,
    max_tokens_per_minute: option.Tokens = None,
    price: option.Price = None,
    budget: option.MaxCost = None,
    dry_run: option.DryRun = False,
    retry_failed: option.RetryFailed = False,
    extra_body: option.ExtraBody = None,
    format: option.Format = None,
    map: option.Map = None,
    skip_bad: option.SkipBad = False,
    fresh: option.Fresh = False,
) -> None:
    """Let teachers answer: OUT/responses.parquet."""
    from evolvent.models.opening import parse_extra_body
    from evolvent.responses.respond import respond as run_respond

    run = run_respond(
        data,
        teacher=teacher,
        out=out,
        round=round,
        system=system,
        limit=limit,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        concurrency=concurrency,
        max_requests_per_minute=max_requests_per_minute,
        max_tokens_per_minute=max_tokens_per_minute,
        price=price,
        budget=budget,
        dry_run=dry_run,
        retry_failed=retry_failed,
        extra_body=parse_extra_body(extra_body),
        format=format,
        map=_mapping(map, "--map"),
        skip_bad=skip_bad,
        fresh=fresh,
        progress=True,
    )
    print_run(run)


@app.command()
def score(
    data: option.Data,
    base_model: option.BaseModel,
    out: option.Out,
    metrics: Annotated[str, typer.Option("--metrics", metavar="A,B", help="Which metrics.")] = "ifd,ic_ifd",
    layout: Annotated[
        str, typer.Option("--layout", metavar="NAME", help="paper (raw text) or chat (the model's template).")
    ] = "paper",
    batch_tokens: option.BatchTokens = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", metavar="NAME", help="auto, float32 or bfloat16.")] = "auto",
    limit: option.Limit = None,
    format: option.Format = None,
    map: option.Map = None,
    skip_bad: option.SkipBad = False,
    fresh: option.FreshScores = False,
) -> None:
    """Score pairs with a base model: OUT/scored.parquet."""
    from evolvent.metrics.score import score as run_score

    run = run_score(
        data,
        base_model=base_model,
        out=out,
        metrics=_names(metrics, "--metrics") or (),
        layout=layout,
        batch_tokens=batch_tokens,
        device=device,
        dtype=dtype,
        limit=limit,
        format=format,
        map=_mapping(map, "--map"),
        skip_bad=skip_bad,
        fresh=fresh,
        progress=True,
    )
    print_run(run)


@app.command()
def select(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A run folder or a data file.", show_default=False)],
    by: Annotated[
        str, typer.Option("--by", metavar="COLUMN", help="The score to go by, e.g. ic_ifd.", show_default=False)
    ],
    top: Annotated[
        str, typer.Option("--top", metavar="SHARE", help="How much to keep: 25% or 1000.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file: .jsonl .json .csv .parquet.", show_default=False)
    ],
    ascending: Annotated[bool, typer.Option("--ascending", help="Keep the lowest instead.")] = False,
    where: option.Where = None,
    decontaminate: option.Decontaminate = None,
    to: Annotated[
        str, typer.Option("--to", metavar="NAME", help="messages, alpaca, sharegpt or prompt_completion.")
    ] = "messages",
    format: option.Format = None,
    map: option.Map = None,
    skip_bad: option.SkipBad = False,
) -> None:
    """Keep the best rows as a training set: OUT and OUT.selection.json."""
    from evolvent.selection.select import select as run_select

    done = run_select(
        data,
        by=by,
        top=top,
        out=out,
        ascending=ascending,
        where=where or (),
        decontaminate=decontaminate or (),
        to=to,
        format=format,
        map=_mapping(map, "--map"),
        skip_bad=skip_bad,
    )
    print_files({"select": done})


@app.command()
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

    pairs = [_pair(text, "--set") for text in set or []]
    done = run_recipe(
        recipe, set=dict(pairs), fresh=fresh, retry_failed=retry_failed, dry_run=dry_run, progress=not dry_run
    )
    if dry_run:
        print_estimates(done.stages)
        return
    print_stages(done.path, done.stages)


@app.command()
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    examples: Annotated[int, typer.Option("--examples", metavar="N", min=0, help="How many trajectories to show.")] = 3,
) -> None:
    """Show what a run holds: counts, tokens, scores, examples."""
    print_summary(run, examples=examples)


@app.command()
def calls(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    record: Annotated[
        str | None, typer.Option("--record", metavar="ID", help="Of this record, or of its seed.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="URI", help="Of this model.")] = None,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="Of this stage: evolve, respond, score.")
    ] = None,
    error: Annotated[str | None, typer.Option("--error", metavar="TEXT", help="Failed with these words.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Failed calls only.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many to print.")] = 10,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.jsonl", help="Write all of them to a file instead.")
    ] = None,
) -> None:
    """Look into a run's model calls: prompts, replies, failures."""
    from evolvent.runs.calls import calls as stored_calls
    from evolvent.runs.calls import count_calls, export, why_none

    wanted: dict[str, Any] = {"record": record, "model": model, "stage": stage, "error": error, "failed": failed}
    if out is not None:
        typer.echo(f"{out}: {export(stored_calls(run, **wanted), out):,} calls")
        return
    total = count_calls(run, **wanted)
    print_calls(
        stored_calls(run, **wanted, limit=limit), total, [] if total else why_none(run, record=record, model=model)
    )


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A data file or a Hub id.", show_default=False)],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file: .jsonl .json .csv .parquet.", show_default=False)
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="NAME", help="messages, alpaca, sharegpt or prompt_completion.", show_default=False
        ),
    ],
    format: option.Format = None,
    map: option.Map = None,
    skip_bad: option.SkipBad = False,
    limit: option.Limit = None,
) -> None:
    """Convert instruction data from one format to another."""
    from evolvent.datasets.convert import convert as run_convert

    counts = run_convert(source, out, to=to, format=format, map=_mapping(map, "--map"), skip_bad=skip_bad, limit=limit)
    typer.echo(f"{out}: {counts}")


@app.command()
def doctor() -> None:
    """Say what this machine can run."""
    from evolvent.doctor import examine

    print_findings(examine())


def main() -> None:
    """The ``evolvent`` command."""
    # Arrow's own allocator keeps what it once had: 40 MB more at the peak of a small run.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Python looks for garbage after every 700 new objects: a tenth of the time of a run with hundreds of calls at once.
    gc.set_threshold(50_000, 20, 20)
    end_well(app)


def _names(text: str | None, option: str) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(f"{option} {text!r} lacks a name", fix=f"Write names with commas between them: {option} A,B")
    return names


def _pair(text: str, option: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise InputError(f"{option} {text!r} is not KEY=VALUE")
    return key.strip(), value.strip()


def _mapping(text: str | None, option: str) -> dict[str, str] | None:
    return dict(_pair(part, option) for part in text.split(",")) if text else None
