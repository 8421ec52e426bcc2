"""The options that several commands share, each with its type and its help."""

from pathlib import Path
from typing import Annotated

import typer

MODELS = "embedded, hf:ID-or-folder, vllm:ID-or-folder, openai:MODEL?base_url=http://host:port/v1"

Data = Annotated[str, typer.Argument(metavar="DATA", help="A run folder, a data file or a Hub id.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="The run folder.", show_default=False)]
Format = Annotated[
    str | None, typer.Option("--format", help="alpaca, sharegpt, messages, prompt_completion …; detected if not given.")
]
Map = Annotated[
    str | None,
    typer.Option("--map", help="Columns of other data: instruction=question,output=answer.", metavar="FIELD=COLUMN,…"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, counted, instead of stopping.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many rows.")]
Seed = Annotated[int, typer.Option("--seed", help="The run's random seed.")]
TopP = Annotated[float, typer.Option("--top-p", help="Nucleus mass.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest reply, in tokens.")]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", min=1, help="Requests at once; it finds its own level if not given.")
]
ExtraBody = Annotated[
    str | None, typer.Option("--extra-body", metavar="JSON", help="Extra request fields for openai: models.")
]
Requests = Annotated[
    float | None, typer.Option("--max-requests-per-minute", help="At most so many requests to each server's model.")
]
Tokens = Annotated[
    float | None,
    typer.Option("--max-tokens-per-minute", help="At most so many tokens in and out of each server's model."),
]
Price = Annotated[
    list[str] | None,
    typer.Option(
        "--price", metavar="[MODEL=]IN,OUT", help="What a million tokens cost, or a YAML file of prices. Repeatable."
    ),
]
MaxCost = Annotated[
    float | None, typer.Option("--budget", help="Stop in good order before the folder's calls cost more than this.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Call nothing: show prompts, calls, tokens, time and cost.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Take the failed records of a finished stage again.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Make this stage anew; equal calls are not paid again.")]
