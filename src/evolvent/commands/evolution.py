"""Commands that evolve instructions."""

from typing import Annotated

import typer

from evolvent.commands import options as option
from evolvent.commands.values import mapping, names
from evolvent.printing import print_run


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
        operators=names(operators, "--operators"),
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
        map=mapping(map, "--map"),
        skip_bad=skip_bad,
        fresh=fresh,
        progress=True,
    )
    print_run(run)
