"""Commands that make, score and select pairs."""

from typing import Annotated

import typer

from evolvent.commands import options as option
from evolvent.commands.values import mapping, names
from evolvent.report.printing import print_run


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
        map=mapping(map, "--map"),
        skip_bad=skip_bad,
        fresh=fresh,
        progress=True,
    )
    print_run(run)


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
        metrics=names(metrics, "--metrics") or (),
        layout=layout,
        batch_tokens=batch_tokens,
        device=device,
        dtype=dtype,
        limit=limit,
        format=format,
        map=mapping(map, "--map"),
        skip_bad=skip_bad,
        fresh=fresh,
        progress=True,
    )
    print_run(run)
