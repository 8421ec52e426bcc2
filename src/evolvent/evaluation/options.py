"""The options of evaluate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evolvent.errors import InputError
from evolvent.models.uri import JUDGES, MODELS, check_judge
from evolvent.options import SHARING, Calling, Interface, argument, mapping, names, option, run_folder, unsafe_execution


def check_tasks(names: Sequence[str]) -> None:
    """Check that there are tasks of these names, none twice.

    Raises:
        InputError: one is unknown, one is named twice, or there is none.
    """
    from evolvent.evaluation.tasks import TASKS

    known = f"Tasks: {', '.join(TASKS)}."
    for name in names:
        if name not in TASKS:
            raise InputError(f"there is no task {name!r}", fix=known)
    if not names or len(set(names)) < len(names):
        raise InputError("no task is named" if not names else "a task is named twice", fix=known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluating:
    """On what a model is evaluated, and against which."""

    out: Path = run_folder()
    tasks: tuple[str, ...] = option("Which tasks.", metavar="A,B", parse=names, check=check_tasks)
    data: Path | None = option(
        "The folder that holds the tasks' data; the Hub, if not given (docs/evaluation.md).", None, metavar="DIR"
    )
    limit: int | None = option(
        "The first N items of each task only, of subjects and kinds in turn.", None, metavar="N", least=1
    )
    max_tokens: int | None = option(
        "Longest reply to an item, in tokens; what each task says, if not given.", None, metavar="N", least=1
    )
    judge: str | None = option(
        f"The model that judges replies to followbench, mt_bench and alpaca_eval: {JUDGES}.",
        None,
        metavar="URI",
        check=check_judge,
    )
    against: str | None = option(
        "Compare on the same items: the run folder of another evaluation, or another model.", None, metavar="RUN"
    )
    published: bool = option("Show the figures that paper 1 published, too.", False)
    training_data: str | None = option(
        "What the model was trained on: items that it holds are named.", None, metavar="DATA"
    )
    format: str | None = option("The training data's format; detected if not given.", None, metavar="NAME")
    map: Mapping[str, str] | None = option(
        "Columns of training data of no known format: instruction=question,output=answer.",
        None,
        metavar="FIELD=COLUMN,…",
        parse=mapping,
    )
    unsafe_execution: bool = unsafe_execution()


EVALUATE = Interface(
    "evolvent.evaluation.evaluate",
    "evaluate",
    {"model": argument(f"The model that is evaluated: {MODELS}.", "MODEL")},
    (Evaluating, Calling),
    without=SHARING,
)
