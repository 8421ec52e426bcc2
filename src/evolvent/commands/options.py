"""The options of the commands, each with its type and its help: those that are shared, and the long ones."""

from pathlib import Path
from typing import Annotated

import typer

MODELS = "embedded, hf:ID-or-folder, vllm:ID-or-folder, openai:MODEL?base_url=http://host:port/v1"

Data = Annotated[str, typer.Argument(metavar="DATA", help="A run folder, a data file or a Hub id.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The run folder.", show_default=False)]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="NAME", help="alpaca, sharegpt, messages, prompt_completion …; detected if not given."
    ),
]
Map = Annotated[
    str | None,
    typer.Option("--map", help="Columns of other data: instruction=question,output=answer.", metavar="FIELD=COLUMN,…"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, counted, instead of stopping.")]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Take the first N rows only.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="The run's random seed.")]
Temperature = Annotated[
    float, typer.Option("--temperature", metavar="X", help="How freely replies are drawn; 0 takes the likeliest token.")
]
TopP = Annotated[
    float,
    typer.Option("--top-p", metavar="X", help="Draw from the likeliest tokens that have this probability in all."),
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", metavar="N", min=1, help="Longest reply, in tokens.")]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", metavar="N", min=1, help="Requests at once; it finds its own level if not given."),
]
ExtraBody = Annotated[
    str | None, typer.Option("--extra-body", metavar="JSON", help="Extra request fields for openai: models.")
]
Requests = Annotated[
    float | None,
    typer.Option("--max-requests-per-minute", metavar="N", help="Send each server's model no more requests than this."),
]
Tokens = Annotated[
    float | None,
    typer.Option(
        "--max-tokens-per-minute", metavar="N", help="Exchange no more tokens, in and out, with each server's model."
    ),
]
Price = Annotated[
    list[str] | None,
    typer.Option(
        "--price", metavar="[MODEL=]IN,OUT", help="What a million tokens cost, or a YAML file of prices. Repeatable."
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option("--budget", metavar="X", help="Stop in good order before the folder's calls cost more than this."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Call nothing: show prompts, calls, tokens, time and cost.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Take the failed records of a finished stage again.")]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Make the stage anew, whatever the folder holds; calls that are stored are not repeated."
    ),
]
FreshAll = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Make all stages anew, whatever the folder holds; calls that are stored are not repeated."
    ),
]
FreshScores = Annotated[
    bool,
    typer.Option("--fresh", help="Make the stage anew, whatever the folder holds; losses that are stored are used."),
]
Evolver = Annotated[str, typer.Option("--model", metavar="URI", help=f"The evolver: {MODELS}.", show_default=False)]
Breadth = Annotated[bool, typer.Option("--breadth/--no-breadth", help="In-breadth after the four in-depth operators.")]
Operators = Annotated[
    str | None, typer.Option("--operators", metavar="A,B", help="These operators only, in this order.")
]
Templates = Annotated[
    Path | None, typer.Option("--templates", metavar="DIR", help="Prompt templates of your own: OPERATOR.j2.")
]
Judge = Annotated[
    str | None,
    typer.Option("--judge", metavar="URI", help="Eliminates evolutions equal to their parent; AutoIF: scores answers."),
]
EvolverSystem = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="System prompt of the evolver.")]
Teachers = Annotated[
    list[str],
    typer.Option("--teacher", metavar="URI", help=f"A teacher, repeatable: {MODELS}.", show_default=False),
]
TeacherSystem = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="System prompt of the teachers.")]
BaseModel = Annotated[
    str,
    typer.Option(
        "--base-model",
        metavar="URI",
        help="The model to be tuned: embedded-base, hf:ID-or-folder.",
        show_default=False,
    ),
]
BatchTokens = Annotated[
    int | None, typer.Option("--batch-tokens", metavar="N", min=1, help="Padded tokens in one forward pass.")
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COLUMN<X", help='Condition, repeatable: "ifd<1". Signs: < <= > >= ==.'),
]
Decontaminate = Annotated[
    list[str] | None,
    typer.Option("--decontaminate", metavar="FILE", help="Leave out rows that share 13 words in a row with it."),
]
Method = Annotated[str, typer.Option("--method", metavar="NAME", help="evol-instruct, auto-evol-instruct or autoif.")]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="default, or paper: as the code of arXiv 2412.11231 does it. AutoIF: autoif-paper, autoif-code, paper1.",
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option("--rounds", metavar="N", min=1, help="How often each seed is evolved: 3; Auto Evol-Instruct: once."),
]
MethodFile = Annotated[
    Path | None,
    typer.Option("--method-file", metavar="METHOD.yaml", help="Auto Evol-Instruct: what optimize-method wrote."),
]
Queries = Annotated[
    str | None, typer.Option("--queries", metavar="DATA", help="AutoIF: the questions that instructions go with.")
]
QueriesMap = Annotated[
    str | None, typer.Option("--queries-map", metavar="FIELD=COLUMN", help="As --map, for the queries.")
]
AutoIFTeacher = Annotated[
    str | None, typer.Option("--teacher", metavar="URI", help="AutoIF: the model that answers, if not the evolver.")
]
NLI = Annotated[
    str | None, typer.Option("--nli", metavar="URI", help="AutoIF: an hf: cross-encoder that finds contradictions.")
]
Samples = Annotated[
    int | None, typer.Option("--samples", metavar="N", min=1, help="AutoIF: functions drawn for an instruction.")
]
Rule = Annotated[
    list[str] | None,
    typer.Option("--rule", metavar="NAME=VALUE", help="AutoIF: another constant, e.g. prompts=5. Repeatable."),
]
UnsafeExecution = Annotated[
    bool, typer.Option("--unsafe-execution", help="Run code that a model wrote without the sandbox's wall.")
]
