"""Commands that evolve instructions."""

from typing import Annotated

import typer

from evolvent.commands import options as option
from evolvent.commands.values import mapping, names, pair
from evolvent.report.printing import print_run


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
