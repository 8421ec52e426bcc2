"""The configurations of a data set: one a file that a stage of the run has written, as Parquet for everybody."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from evolvent.datasets.formats import Row
from evolvent.datasets.parquet_files import rows_at_once, write_parquet
from evolvent.datasets.render import OUTPUT_FORMATS
from evolvent.datasets.sources import open_source
from evolvent.errors import InputError
from evolvent.files import is_as_noted
from evolvent.metrics.all_metrics import MODELS
from evolvent.metrics.score import REASON
from evolvent.publishing.public import Public
from evolvent.runs.lock import in_use
from evolvent.runs.manifest import StageEntry
from evolvent.runs.record_files import count_rows, is_record_file
from evolvent.stages import file_of, row_of

if TYPE_CHECKING:
    import pyarrow as pa

# What each stage's file holds; the others' hold no data to be published.
HOLDS = {
    "self-instruct": "the instructions that AutoIF begins with",
    "evolve": "seeds (round 0) and every evolution of theirs, eliminated ones too, with the reason",
    "respond": "the teachers' answers, eliminated ones too, with the reason",
    "score": "the answers with their scores",
    "select": "a training set: the rows that were selected",
}
# What AutoIF writes beside its stages' files: by stage, the file, what it holds, and its columns of turns.
BESIDE: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "evolve": [("functions.jsonl", "verified instructions with the functions that check them, as JSON text", ())],
    "respond": [
        ("sft.jsonl", "a training set: the answers that pass their functions", ("messages",)),
        ("dpo.jsonl", "preference pairs: answers that pass and answers that do not", ("prompt", "chosen", "rejected")),
    ],
}
# What is loaded where no configuration is named: the first of these that is there, training sets before the rest.
DEFAULT = ("select", "sft", "score", "respond", "evolve", "self-instruct")
_MODEL_COLUMNS = {"evolver", "teacher", *MODELS.values()}
_REASON_COLUMNS = {"reason", REASON}
BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration of the data set, whose one split is ``train``.

    Attributes:
        name: its name.
        stage: the manifest's entry that it is of.
        file: the run's file.
        rows: how many it has.
        holds: what they are.
        turns: its columns that come first in a file of lines: a format's own.
    """

    name: str
    stage: str
    file: Path
    rows: int
    holds: str
    turns: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The Parquet file in the repository."""
        return f"data/{self.name}/train.parquet"


def configs_of(folder: Path, entries: Mapping[str, StageEntry]) -> list[Config]:
    """The configurations of what a run has finished, what is loaded first coming first."""
    found: list[Config] = []
    for config in _files(folder, entries):
        names = {other.name for other in found}
        number = 2
        name = config.name
        while name in names:
            name, number = f"{config.name}-{number}", number + 1
        found.append(Config(name, config.stage, config.file, config.rows, config.holds, config.turns))
    first = min(found, key=lambda one: DEFAULT.index(_kind(one)), default=None)
    return sorted(found, key=lambda one: one is not first)


def _kind(config: Config) -> str:
    return "sft" if config.file.name == "sft.jsonl" else config.stage.partition(":")[0]


def not_ready(folder: Path, entries: Mapping[str, StageEntry]) -> Iterator[tuple[str, str]]:
    """The stages whose data is not as it should be: each, and what is wrong with it."""
    for key, entry in entries.items():
        if key.partition(":")[0] in HOLDS:
            path = folder / file_of(key)
            if entry.state == "running":
                yield key, "is running" if in_use(folder) else "was interrupted"
            elif entry.state == "shard":
                yield key, "is a shard: evolvent merge joins it with the others"
            elif entry.state == "stale":
                yield key, "is stale: what it was made of was made anew"
            elif not path.is_file():
                yield key, f"has lost its file, {path.name}"
            elif not is_as_noted(path, entry.output):
                yield key, f"did not write {path.name} as it is: it is damaged, or was changed since"


def command_of(key: str, folder: Path) -> str:
    """The command that makes a stage's file."""
    return row_of(key).command.format(folder=folder)


def write_config(config: Config, file: IO[bytes], public: Public) -> None:
    """Write a configuration as Parquet, models named as everybody may see them.

    Raises:
        InputError: the run's file cannot be read.
    """
    if is_record_file(config.file):
        _copy_records(config.file, file, public)
        return
    write_parquet(_public_rows(config.file, public), config.turns, file)


def _files(folder: Path, entries: Mapping[str, StageEntry]) -> Iterator[Config]:
    for key, entry in entries.items():
        stage, path = key.partition(":")[0], folder / file_of(key)
        if stage not in HOLDS or entry.state != "done" or not path.is_file():
            continue
        rows = int(entry.counts["selected"]) if stage == "select" else count_rows(path)
        turns = OUTPUT_FORMATS.get(str(entry.settings.get("format")), ()) if stage == "select" else ()
        yield Config(_name(path), key, path, rows, _holds(stage, entry.settings), turns)
        for name, holds, columns in BESIDE.get(stage, ()) if entry.settings.get("method") == "autoif" else ():
            if (beside := folder / name).is_file() and (lines := _lines(beside)):
                yield Config(beside.stem, key, beside, lines, holds, columns)


def _holds(stage: str, settings: Mapping[str, Any]) -> str:
    if stage == "select":
        end = "lowest" if settings["ascending"] else "highest"
        return f"a training set: of the rows that competed the {end} {settings['by']}, {settings['top']}"
    if stage == "evolve" and settings.get("method") == "autoif":
        return "instructions, eliminated ones too, with the reason, and those that were verified with queries"
    return HOLDS[stage]


def _name(path: Path) -> str:
    """A configuration's name, of signs that the Hub and ``datasets`` take."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", path.name.removesuffix(".gz").rpartition(".")[0]).strip("-") or "data"


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _copy_records(path: Path, file: IO[bytes], public: Public) -> None:
    """Copy a file of records batch by batch, without its footer's notes, which name models as this machine does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as read:
            schema = read.schema_arrow.remove_metadata()
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for group in range(read.num_row_groups):
                    size = rows_at_once(read.metadata.row_group(group), BATCH)
                    for batch in read.iter_batches(batch_size=size, row_groups=[group], use_threads=False):
                        columns = [_public_column(name, batch.column(name), public) for name in schema.names]
                        writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is damaged: {error}", fix="Make it anew with --fresh, or copy it back.") from error


def _public_column(name: str, column: "pa.Array", public: Public) -> "pa.Array":
    import pyarrow as pa

    change = _change_of(name, public)
    if change is None or column.null_count == len(column):
        return column
    return pa.array([None if text is None else change(text) for text in column.to_pylist()], pa.string())


def _change_of(column: str, public: Public) -> Any:
    plain = column.partition("@")[0]
    return public.model if plain in _MODEL_COLUMNS else public.text if plain in _REASON_COLUMNS else None


def _public_rows(path: Path, public: Public) -> Iterator[Row]:
    for row in open_source(path).read(0):
        if not isinstance(row.value, dict):
            raise InputError(f"{path} holds what is no row: {row.problem}", fix="Make it anew with --fresh.")
        yield _public_row(row.value, public)


def _public_row(row: Mapping[str, Any], public: Public) -> Row:
    """A row of a training set: what ``meta`` says of its making names models."""
    meta = row.get("meta")
    is_text = isinstance(meta, str)
    try:
        ours = orjson.loads(meta) if isinstance(meta, str) else meta
    except orjson.JSONDecodeError:
        ours = None  # a column of the user's
    if not isinstance(ours, dict):
        return dict(row)
    ours = _public_values(ours, public)
    if isinstance(ours.get("scores"), dict):
        ours["scores"] = _public_values(ours["scores"], public)
    return {**row, "meta": orjson.dumps(ours).decode() if is_text else ours}


def _public_values(values: Mapping[str, Any], public: Public) -> dict[str, Any]:
    changes = {name: _change_of(name, public) for name, value in values.items() if isinstance(value, str)}
    return {name: change(value) if (change := changes.get(name)) else value for name, value in values.items()}
