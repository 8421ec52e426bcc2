"""Commands that evolve instructions."""

from pathlib import Path
from typing import Annotated

import typer

from evolvent.commands import options as option
from evolvent.commands.values import mapping, names, pair
from evolvent.report.printing import print_fates, print_run, print_tables, print_verified


def evolve(
    model: option.Evolver,
    out: option.Out,
    seeds: Annotated[
        str | None,
        typer.Argument(
            metavar="SEEDS", help="A data file or a Hub id. AutoIF has seeds of its own.", show_default=False
        ),
    ] = None,
    method: option.Method = "evol-instruct",
    profile: option.Profile = None,
    rounds: option.Rounds = None,
    breadth: option.Breadth = True,
    operators: option.Operators = None,
    templates: option.Templates = None,
    judge: option.Judge = None,
    system: option.EvolverSystem = None,
    method_file: option.MethodFile = None,
    queries: option.Queries = None,
    queries_map: option.QueriesMap = None,
    teacher: option.AutoIFTeacher = None,
    nli: option.NLI = None,
    samples: option.Samples = None,
    rule: option.Rule = None,
    unsafe_execution: option.UnsafeExecution = False,
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
        profile=profile,
        rounds=rounds,
        breadth=breadth,
        operators=names(operators, "--operators"),
        templates=templates,
        judge=judge,
        system=system,
        method_file=method_file,
        queries=queries,
        queries_map=mapping(queries_map, "--queries-map"),
        teacher=teacher,
        nli=nli,
        samples=samples,
        rule=dict(pair(text, "--rule") for text in rule) if rule else None,
        unsafe_execution=unsafe_execution,
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
        map=mapping(map, "--map"),
        skip_bad=skip_bad,
        fresh=fresh,
        progress=True,
    )
    print_run(run)


def verify(
    data: option.Data,
    functions: Annotated[
        Path,
        typer.Option(
            "--functions", metavar="FILE", help="functions.jsonl, or the run that has it.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.jsonl", help="Write what was found of each row to a file.")
    ] = None,
    unsafe_execution: option.UnsafeExecution = False,
    limit: option.Limit = None,
    format: option.Format = None,
    map: option.Map = None,
    skip_bad: option.SkipBad = False,
) -> None:
    """Verify answers with the functions of an AutoIF run."""
    from evolvent.evolution.autoif.verify import verify as run_verify

    found = run_verify(
        data,
        functions=functions,
        out=out,
        unsafe_execution=unsafe_execution,
        limit=limit,
        format=format,
        map=mapping(map, "--map"),
        skip_bad=skip_bad,
        progress=True,
    )
    print_verified(found)


def optimize_method(
    seeds: Annotated[str, typer.Argument(metavar="SEEDS", help="A data file or a Hub id.", show_default=False)],
    evolver: Annotated[
        str,
        typer.Option("--evolver", metavar="URI", help=f"Evolves and answers: {option.MODELS}.", show_default=False),
    ],
    optimizer: Annotated[
        str, typer.Option("--optimizer", metavar="URI", help="Analyses and mends the method.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="METHOD.yaml", help="The file to write.", show_default=False)],
    profile: Annotated[
        str, typer.Option("--profile", metavar="NAME", help="paper: what could not be evolved is no failure.")
    ] = "default",
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Steps at the most.")] = 10,
    candidates: Annotated[int, typer.Option("--candidates", metavar="N", min=1, help="New methods a step.")] = 5,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Trajectories that a step analyses.")] = 10,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="Rounds of these trajectories.")] = 1,
    dev: Annotated[int, typer.Option("--dev", metavar="N", min=1, help="Rows that methods are measured on.")] = 50,
    pool: Annotated[int, typer.Option("--pool", metavar="N", min=1, help="Rows that the search draws from.")] = 2000,
    system: option.EvolverSystem = None,
    limit: option.Limit = None,
    seed: option.Seed = 0,
    temperature: Annotated[float, typer.Option("--temperature", metavar="X", help="Of the evolver.")] = 0.0,
    top_p: option.TopP = 1.0,
    optimizer_temperature: Annotated[
        float, typer.Option("--optimizer-temperature", metavar="X", help="Of the optimizer.")
    ] = 0.6,
    optimizer_top_p: Annotated[float, typer.Option("--optimizer-top-p", metavar="X", help="Of the optimizer.")] = 0.95,
    max_tokens: option.MaxTokens = 2048,
    concurrency: option.Concurrency = None,
    max_requests_per_minute: option.Requests = None,
    max_tokens_per_minute: option.Tokens = None,
    price: option.Price = None,
    budget: option.MaxCost = None,
    dry_run: option.DryRun = False,
    extra_body: option.ExtraBody = None,
    format: option.Format = None,
    map: option.Map = None,
    skip_bad: option.SkipBad = False,
    fresh: option.Fresh = False,
) -> None:
    """Search for a better evolving method: METHOD.yaml."""
    from evolvent.evolution.auto_evol_instruct.history import read_history
    from evolvent.evolution.auto_evol_instruct.optimize import optimize_method as run_search
    from evolvent.models.opening import parse_extra_body
    from evolvent.report.method_search import failed_calls, steps_table
    from evolvent.runs.folder import Run
    from evolvent.stages import file_of

    found = run_search(
        seeds,
        evolver=evolver,
        optimizer=optimizer,
        out=out,
        profile=profile,
        steps=steps,
        candidates=candidates,
        batch=batch,
        rounds=rounds,
        dev=dev,
        pool=pool,
        system=system,
        limit=limit,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        optimizer_temperature=optimizer_temperature,
        optimizer_top_p=optimizer_top_p,
        max_tokens=max_tokens,
        concurrency=concurrency,
        max_requests_per_minute=max_requests_per_minute,
        max_tokens_per_minute=max_tokens_per_minute,
        price=price,
        budget=budget,
        dry_run=dry_run,
        extra_body=parse_extra_body(extra_body),
        format=format,
        map=mapping(map, "--map"),
        skip_bad=skip_bad,
        fresh=fresh,
        progress=True,
    )
    stage = "optimize-method"
    print_run(Run(found.folder, stage, found.file, dict(found.counts), found.already_done, found.estimate))
    if found.estimate is None:
        history = read_history(found.folder / file_of(stage))  # METHOD.yaml may have been edited since
        print_tables([steps_table(history)])
        failed = failed_calls(history)
        if failed:
            typer.echo(f"warning: {stage}: {failed}; --fresh asks for them again", err=True)


def keywords(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="An Auto Evol-Instruct run.", show_default=False)],
    model: Annotated[str, typer.Option("--model", metavar="URI", help=f"Names the ways: {option.MODELS}.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.json", help="Write all keywords and their ways to a file.")
    ] = None,
    max_tokens: option.MaxTokens = 512,
    concurrency: option.Concurrency = None,
    max_requests_per_minute: option.Requests = None,
    max_tokens_per_minute: option.Tokens = None,
    price: option.Price = None,
    budget: option.MaxCost = None,
    dry_run: option.DryRun = False,
    retry_failed: option.RetryFailed = False,
    extra_body: option.ExtraBody = None,
    fresh: option.Fresh = False,
) -> None:
    """Count the keywords of an Auto Evol-Instruct run."""
    from evolvent.evolution.auto_evol_instruct.keywords import keywords as run_keywords
    from evolvent.models.opening import parse_extra_body
    from evolvent.report.keywords import keyword_tables

    found = run_keywords(
        run,
        model=model,
        out=out,
        max_tokens=max_tokens,
        concurrency=concurrency,
        max_requests_per_minute=max_requests_per_minute,
        max_tokens_per_minute=max_tokens_per_minute,
        price=price,
        budget=budget,
        dry_run=dry_run,
        retry_failed=retry_failed,
        extra_body=parse_extra_body(extra_body),
        fresh=fresh,
        progress=True,
    )
    if found.run.estimate is not None:
        print_run(found.run)
        return
    print_tables(keyword_tables(found))
    typer.echo(f"\nwritten: {found.run.output}" + (f", {out}" if out else ""))
    print_fates(found.run)
