"""The adapter to lm-evaluation-harness: documents and prompts of a task as its Task objects give them.

Generation is our own, and so are figures. A task is a YAML file in ``tasks/`` that names local files, relative to a
folder of data; so ``lm_eval --include_path`` runs it, too, from within that folder. ``metadata.hub`` says where its
data are otherwise, ``metadata.ships`` that they lie beside it, ``metadata.key`` which column names an item,
``metadata.spread`` which column's values a limit takes in turn.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from evolvent.errors import InputError, require_extra
from evolvent.models.protocols import Sampling
from evolvent.records import Message, Record

FOLDER = Path(__file__).parent / "tasks"

# No right answer is as long, and what the harness takes out of an answer takes it the square of its length.
LONGEST_ANSWER = 10_000  # characters


def items(name: str, data: Path | None, limit: int | None) -> Iterator[Record]:
    """The items of a task as records: the instruction is the prompt, ``meta`` the document.

    Args:
        name: the task.
        data: the folder of data; None for the Hub.
        limit: so many only: the first, or the first of each subject or kind in turn, where the task has such.

    Raises:
        InputError: its data are not there, or are not as the task expects them.
    """
    task = opened(name, data)
    config = task.config
    for number in _first(task.eval_docs, limit, config.metadata.get("spread")):
        document = task.eval_docs[number]
        key = str(document.get((config.metadata or {}).get("key"), number))
        turns = prompt(task, document)
        yield Record(
            id=f"{name}/{key}",
            seed_id=f"{name}/{key}",
            seed_index=number,
            instruction=turns[-1]["content"],
            messages=turns if len(turns) > 1 else None,
            meta=orjson.dumps(document).decode(),
            scores={"task": name},
        )


def _first(documents: Any, limit: int | None, spread: str | None) -> list[int]:
    """The places of the first so many documents, in order; of a column's values in turn, if one is named."""
    if limit is None or spread is None:
        return list(range(len(documents)))[:limit]
    rounds: Counter[str] = Counter()
    in_turn = []
    for place, value in enumerate(documents[spread]):
        in_turn.append((rounds[value], place))
        rounds[value] += 1
    return sorted(place for _, place in sorted(in_turn)[:limit])


def texts(item: Record) -> list[str]:
    """What of an item must not be in training data: the texts that its task's file names, not the words around them.

    A name is a field of the document; a text with fields in braces is filled in.
    """
    document = orjson.loads(item.meta or "{}")
    named = config_of(str(item.scores["task"]))["metadata"]["texts"]
    return [one.format(**document) if "{" in one else str(document[one]) for one in named]


def prompt(task: Any, document: Mapping[str, Any]) -> list[Message]:
    """What is asked, as turns; demonstrations, where a task has them, are turns of their own."""
    turns: list[Message] = task.fewshot_context(
        document,
        num_fewshot=task.config.num_fewshot or 0,
        apply_chat_template=True,
        fewshot_as_multiturn=True,
        chat_template=lambda turns, **_: turns,
    )
    return turns


def matches(name: str, document: Mapping[str, Any], reply: str) -> dict[str, float]:
    """Whether a reply holds a document's answer, by the name of each filter of its task's file."""
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.api.registry import get_filter
    from lm_eval.utils import apply_template

    config = config_of(name)
    target = config["doc_to_target"]
    answer = document[target] if target in document else apply_template(target, document)
    [metric] = config["metric_list"]
    how = {option: value for option, value in metric.items() if option.startswith(("ignore", "regexes"))}
    found = {}
    for filters in config["filter_list"]:
        replies = [[reply]]
        for step in filters["filter"]:
            options = {option: value for option, value in step.items() if option != "function"}
            replies = list(get_filter(step["function"])(**options).apply(replies, [document]))
        [said] = replies
        same = (
            len(said) <= LONGEST_ANSWER
            and exact_match_fn(predictions=[said], references=[answer], **how)["exact_match"]
        )
        found[filters["name"]] = float(same)
    return found


def decoding(name: str, max_tokens: int | None) -> Sampling:
    """How replies to a task's items are drawn: greedily, as long and up to the texts that its file says."""
    wanted = config_of(name)["generation_kwargs"]
    return Sampling(0.0, max_tokens=max_tokens or wanted["max_gen_toks"], stop=tuple(wanted["until"]))


@cache
def config_of(name: str) -> Mapping[str, Any]:
    """A task's file, with the functions that it names."""
    require_extra("lm_eval", "evaluate")
    from lm_eval.tasks._yaml_loader import load_yaml

    return MappingProxyType(load_yaml(FOLDER / f"{name}.yaml"))


def opened(name: str, data: Path | None) -> Any:
    """A task as the harness has it, with its documents.

    Raises:
        InputError: its data are not there, or are not as the task expects them.
    """
    config = dict(config_of(name))
    hub = config["metadata"].get("hub")
    data = FOLDER if config["metadata"].get("ships") else data
    if data is None and hub is None:
        raise InputError(f"task {name} reads local files", fix="Name the folder that holds them: --data DIR.")
    if data is None:
        config |= hub
        config.pop("dataset_kwargs", None)
        where = f"{config['dataset_path']} on the Hub"
        fix = "Name a folder that holds them: --data DIR (docs/evaluation.md says which files)."
    else:
        files = {split: _there(name, data, file) for split, file in config["dataset_kwargs"]["data_files"].items()}
        config["dataset_kwargs"] = {"data_files": {split: str(file) for split, file in files.items()}}
        where, fix = ", ".join(map(str, files.values())), "See docs/evaluation.md for what the file holds."
    from lm_eval.api.task import ConfigurableTask

    with quiet():
        try:
            return ConfigurableTask(config=config)
        except Exception as error:  # the Hub's, Arrow's and Jinja's errors have no common kind
            first = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InputError(f"task {name}: {where} cannot be read: {first}", fix=fix) from error


def _there(name: str, data: Path, file: str) -> Path:
    """A file or folder of a task's data, of which a pattern may leave a part open."""
    found = sorted(data.glob(file)) if data.is_dir() else []
    if not found:
        raise InputError(f"task {name} needs {data / file}, which is not there", fix="Put it there, or leave it out.")
    if len(found) > 1:
        names = " and ".join(str(one) for one in found)
        raise InputError(f"task {name} would read {file} of one folder, and there are {names}", fix="Leave one there.")
    return found[0]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and remarks of the libraries."""
    import datasets

    logger, shown = logging.getLogger("lm_eval"), datasets.is_progress_bar_enabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            datasets.enable_progress_bars()
