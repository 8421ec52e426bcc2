"""export: a training set as a folder that a trainer trains from: its data, and the configuration that fits it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from evolvent.datasets.training_examples import Example, control_words, example_of
from evolvent.errors import CallError, InputError
from evolvent.exporting.options import EXPORT, Exporting
from evolvent.exporting.trainers import DATA, TEMPLATE, TRAINERS, Setup
from evolvent.files import make_folder, output_path, replacing
from evolvent.models.chat_template import read_template
from evolvent.models.folders import EMBEDDED_FOLDER, own_folder
from evolvent.models.token_counts import TokenCounter, open_counter
from evolvent.models.turn_end import TurnEnd, turn_end
from evolvent.models.uri import EMBEDDED, ModelURI, parse_uri
from evolvent.options import Reading, implements
from evolvent.records import Message
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.training_set import training_set
from evolvent.storage_errors import explained

# Without its tokenizer: a token has a byte at the least, and what a template puts around a turn is short.
AROUND_A_TURN = 32

# What tells a folder that an export wrote from somebody's own: the trainer, then the files, a line each. It is written
# last.
MARK = ".evolvent-export"


@dataclass(frozen=True, slots=True)
class Exported:
    """An export.

    Attributes:
        path: the folder.
        files: what was written into it.
        start: the command that trains, to be run in the folder.
        counts: rows read, those that were left out by why, and rows written (for TRL one an answer).
        longest: tokens of the longest example: what the configuration allows.
        notes: what is to be known of it.
    """

    path: Path
    files: tuple[Path, ...]
    start: str
    counts: dict[str, int]
    longest: int
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Read:
    """What became of the rows, as they are read."""

    left_out: Counter[str] = field(default_factory=Counter)
    examples: int = 0
    written: int = 0
    longest: int = 0
    control: set[str] = field(default_factory=set)
    with_control: int = 0
    unanswered: int = 0
    more_than_text: int = 0


@implements(EXPORT)
def export(data: Data, given: Exporting, reading: Reading) -> Exported:
    """Write a training set for a trainer: DIR/train.jsonl, and what it is configured by.

    The loss is on every answer, and on the token that ends it. Columns besides the texts (yours, and our ``meta``) are
    not written.

    Returns:
        The files, the command that trains, counts and notes.

    Raises:
        InputError: unreadable data, nothing that could be trained on, or a base model that cannot be trained.
        RunError: the files cannot be written.
    """
    trainer, model = TRAINERS[given.trainer], parse_uri(given.base_model)
    counter, end = open_counter(given.base_model), turn_end(given.base_model)
    data = training_set(data)
    source = stage_input(
        data,
        before=None,
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )
    preference = source.about.get("format") == "preference"
    if preference and not trainer.pairs:
        pairs = ", ".join(name for name, one in TRAINERS.items() if one.pairs)
        raise InputError(f"preference pairs are not exported for {given.trainer}", fix=f"They are for {pairs}.")
    template = model.options.get("chat_template")
    if template is not None and (given.trainer == "llama-factory" or (given.trainer == "trl" and preference)):
        pairs = " for preference pairs" if preference else ""
        raise InputError(
            f"{given.trainer} reads no chat template from a file{pairs}", fix="Save it with the base model's tokenizer."
        )
    folder = Path(given.out).expanduser()
    earlier = _take(folder, given.trainer)
    read = _Read()
    with replacing(output_path(folder / DATA, data)) as file:
        for example in _examples(source, preference, counter, read):
            for row in trainer.rows(example):
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                read.written += 1
        source.unchanged()
        if not read.written:
            why = ", ".join(f"{n:,} {words}" for words, n in read.left_out.items())
            raise InputError(f"{source.about['source']} holds nothing to train on: {why or 'no row'}")
    setup = Setup(
        model=_weights(model),
        revision=model.revision,
        trust_remote_code=model.options.get("trust_remote_code") == "true",
        preference=preference,
        rows=read.written,
        longest=read.longest,
        turn_end=end.token if end is not None and end.token != end.end_of_text else None,
        template=template is not None,
    )
    others = trainer.files(setup)
    if template is not None:
        others[TEMPLATE] = read_template(template, given.base_model)
    for file_there in folder.iterdir():
        if file_there.name in {*earlier} - {DATA, *others}:  # of pairs, say, where these are none
            file_there.unlink()
    for name, text in (*others.items(), (MARK, "\n".join((given.trainer, DATA, *others, "")))):
        with replacing(output_path(folder / name, data)) as file:
            file.write(text.encode())
    # What makes a pair another one is no part of what is compared for duplicates.
    counted = {what: n for what, n in source.counts.items() if not (preference and "duplicates" in what)}
    return Exported(
        path=folder,
        files=tuple(folder / name for name in (DATA, *others)),
        start=trainer.start.format(method=setup.method),
        counts={"rows": source.rows, **counted, **read.left_out, "written": read.written},
        longest=read.longest,
        notes=tuple(_notes(read, end, counter, saved="eos_token:" in "".join(others.values()))),
    )


def _take(folder: Path, trainer: str) -> list[str]:
    """Take a folder for an export: a new one, an empty one, or that of an export for the same trainer.

    Returns:
        The files that the earlier export wrote.

    Raises:
        InputError: it holds somebody's files, which an export could overwrite, or what another trainer reads.
    """
    mark = folder / MARK
    make_folder(folder)
    with explained(folder):
        there, *files = mark.read_text(encoding="utf-8").splitlines() if mark.exists() else [""]
        foreign = None if there else next(folder.iterdir(), None)
    if foreign is not None:
        raise InputError(f"{folder} holds {foreign.name}, and no export wrote it", fix="Name a new folder: --out DIR.")
    if there not in ("", trainer):
        raise InputError(f"{folder} holds an export for {there}", fix="Name a folder for each: --out DIR.")
    return files


def _examples(source: StageInput, preference: bool, counter: TokenCounter, read: _Read) -> Iterator[Example]:
    for record in source:
        example = example_of(record, preference=preference)
        if isinstance(example, str):
            read.left_out[example] += 1
            continue
        try:
            tokens = max(_tokens(turns, counter) for turns in example.conversations())
        except CallError:
            read.left_out["that the chat template refuses"] += 1
            continue
        read.examples += 1
        read.longest = max(read.longest, tokens)
        read.unanswered += example.unanswered
        read.more_than_text += '"_original"' in (record.meta or "")
        control = example.control()
        read.with_control += bool(control)
        read.control |= control
        yield example


def _tokens(turns: Sequence[Message], counter: TokenCounter) -> int:
    """Tokens of a conversation: exactly, or more than it can have."""
    if counter.exact:
        return counter.prompt(turns)
    return sum(len(turn["content"].encode()) + AROUND_A_TURN for turn in turns)


def _weights(model: ModelURI) -> str:
    """The model as trainers name it: a folder in full, since they are started in another."""
    if model.scheme in EMBEDDED:
        return str(EMBEDDED_FOLDER / EMBEDDED[model.scheme])
    folder = own_folder(model.name, str(model), model.revision)
    return str(folder.resolve()) if folder else model.name


def _notes(read: _Read, end: TurnEnd | None, counter: TokenCounter, *, saved: bool) -> Iterator[str]:
    """What is to be known; ``saved``: the trainer makes what ends an answer the student's end token."""
    if not counter.exact:
        yield (
            "the base model's tokenizer is not on this machine: lengths are bounds, a token a byte, and what ends an "
            "answer in its chat template is taken for its end token"
        )
    if end is not None and end.token is None:
        yield "the chat template puts no token behind an answer: the student does not learn to stop"
    elif end is not None and end.token != end.end_of_text and not saved:
        yield (
            f"an answer ends with {end.token}, and the end token is {end.end_of_text}: tell what serves the student to "
            "stop there, too"
        )
    for examples, words in (
        (read.with_control, control_words(read.control)),
        (read.unanswered, "turns at the end that nobody answered, which are not exported"),
        (read.more_than_text, "more than text (tool calls, loss weights), which is not exported"),
    ):
        if examples:
            yield f"{examples:,} of {read.examples:,} examples have {words}"
