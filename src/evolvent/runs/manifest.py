"""manifest.json: what a run folder holds and how to make it again, one entry a stage.

An entry holds the hash of the stage's input and every setting that changes its output. The same entry means the same
run: go on, or nothing to do. Another entry is refused with the differences, unless the stage is to be made afresh.
"""

import hashlib
import platform
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import orjson

from evolvent.call_store.served import Name
from evolvent.costs.budget import Spent
from evolvent.costs.prices import Price, Prices, read_prices
from evolvent.errors import InputError
from evolvent.files import MANIFEST as NAME
from evolvent.files import is_as_noted, replacing
from evolvent.storage_errors import explained
from evolvent.words import number_of

# Packages that decide numbers and bytes: what one version made of a stage does not belong to what another makes of it.
DECIDING = (
    "evolvent",
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "pyarrow",
    "vllm",
    "xllamacpp",
    "gguf",
    "py3langid",
    "rensa",
)


@dataclass(slots=True)
class StageEntry:
    """What a stage did, or is doing.

    Attributes:
        settings: every setting that changes the output, by its option's name.
        input: where the input came from; its ``digest`` says whether it is the same.
        state: running (or interrupted), done, or stale: what it read was made anew since; shard: its parts of the
            output are made.
        models: identity of each model, by URI.
        served: by model URI, what its server said that it answers with: each model's name and ``system_fingerprint``
            that replies have named, in the order in which they came.
        counts: rows and what became of them.
        paid: by model URI, the calls and tokens that this stage has ever paid for in this folder, and their cost
            where a price was given; of a model with several servers the replies of each (``servers``).
        used: by model URI, the calls and tokens behind the rows, whether paid for by this stage or found in the store.
        output: the finished file's name and digest.
        started: when the stage was first started, UTC.
        finished: when it was done, UTC.
        wall_s: seconds of work, interrupted sessions included.
        versions: of Python, evolvent and what else decides numbers, when the stage began.
        whole: of a shard, what merging it needs to know of the whole: how many ``records`` of input it has, how many
            the stage works on at once (``window``), and what was counted ``before``.
        joined: of a stage that was merged, when each of the shards was finished that it was joined of; kept by what
            goes on from there.
    """

    settings: dict[str, Any]
    input: dict[str, Any]
    state: Literal["running", "done", "stale", "shard"] = "running"
    models: dict[str, str] = field(default_factory=dict)
    served: dict[str, list[Name]] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    paid: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: dict[str, dict[str, Any]] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str = ""
    wall_s: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    whole: dict[str, Any] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)

    @property
    def came_to_nothing(self) -> bool:
        """Whether the stage was stopped before its first reply (a wrong model, say): then it binds nobody."""
        started = self.state == "running" and bool(self.models) and self.wall_s > 0
        return started and not self.paid and not self.finished

    @property
    def mark(self) -> str:
        """What tells its output from that of other settings or another input: a hash of them."""
        decides = orjson.dumps([self.settings, self.input["digest"]], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(decides).hexdigest()[:16]


def read_manifest(folder: Path) -> dict[str, StageEntry]:
    """The stages' entries of a run folder; none if it has no manifest yet.

    Raises:
        InputError: the manifest cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    with explained(path, "read"):
        content = path.read_bytes()
    try:
        stages = orjson.loads(content)["stages"]
        return {name: _checked(name, StageEntry(**entry)) for name, entry in stages.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # orjson's is a ValueError
        why = error if isinstance(error, ValueError) else "it is of another form"
        raise InputError(
            f"{path} is not a manifest of evolvent: {why}", fix="Restore it, or use another --out."
        ) from error


# What a stage counts, where it is more than a number, and the amounts of an account.
COUNTED = {
    "groups": dict[str, dict[str, int]],
    **dict.fromkeys(("funnel", "failures", "notes", "tokens", "without a score"), dict[str, int]),
}
WHOLE = {"records": int, "window": int, "before": dict[str, Any]}
AMOUNTS = {**dict.fromkeys(("calls", "prompt_tokens", "completion_tokens"), int), "servers": dict[str, int]}


def _checked(stage: str, entry: StageEntry) -> StageEntry:
    """An entry as it was read.

    Raises:
        ValueError: something in it is of another type than what is written.
    """

    def check(known: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        for name, kind in known.items():
            if name in found and not _fits(kind, found[name]):
                raise ValueError(f"{name} of {stage} is {str(found[name])[:80]!r}")

    check(get_type_hints(StageEntry), asdict(entry))
    check({"digest": str}, {"digest": None, **entry.input})
    if entry.state == "shard":
        check(WHOLE, {**dict.fromkeys(WHOLE), **entry.whole})
    check(COUNTED, entry.counts)
    for account in (*entry.paid.values(), *entry.used.values()):
        check(AMOUNTS, account)
    return entry


def _fits(kind: Any, value: object) -> bool:
    """Whether a value of JSON is of a type as the entry's fields have it."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin is UnionType:
        return any(_fits(one, value) for one in inner)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(inner[1], one) for one in value.values())
    if origin is list:
        return isinstance(value, list) and all(_fits(inner[0], one) for one in value)
    return kind is Any or isinstance(value, int | float if kind is float else kind)


def write_manifest(folder: Path, stages: dict[str, StageEntry]) -> None:
    """Write the manifest so that a reader sees the old one or the new one, never a part."""
    path = folder / NAME
    content = {"evolvent": metadata.version("evolvent"), "stages": {name: asdict(stages[name]) for name in stages}}
    with replacing(path, of_run=True) as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def account(use: Spent, price: Price | None) -> dict[str, Any]:
    """What calls of a model took, as an entry's ``paid`` has it: where there is a price, with it and the cost."""
    return {
        "calls": use.calls,
        "prompt_tokens": use.prompt_tokens,
        "completion_tokens": use.completion_tokens,
        "estimated": use.estimated,
        "cost": price.of(use.prompt_tokens, use.completion_tokens) if price else None,
        "price": [price.prompt, price.completion] if price else None,
    }


def differences(old: StageEntry, settings: dict[str, Any], source: dict[str, Any]) -> list[str]:
    """How a stage's settings and input differ from those of its entry, one line each."""
    lines = [
        f"{name}: {old.settings.get(name)!r} in the folder, {settings.get(name)!r} now"
        for name in sorted(old.settings.keys() | settings.keys())
        if old.settings.get(name) != settings.get(name)
    ]
    if old.input["digest"] != source["digest"]:
        how = [
            f"{name}: {old.input.get(name)!r} in the folder, {source.get(name)!r} now"
            for name in ("limit", "map", "format")
            if old.input.get(name) != source.get(name)
        ]
        lines += how or [f"input: other content than {old.input.get('source', 'before')} had"]
    return sorted(lines, key=len)  # what a long one follows from is short


def growth(
    old: StageEntry,
    settings: Mapping[str, Any],
    source: Mapping[str, Any],
    grows: Collection[str],
    begins_with: Callable[[Mapping[str, Any]], bool],
) -> list[str]:
    """How a stage's settings and input have grown since its entry, one line each; none if anything else differs.

    Args:
        old: the entry.
        settings, source: those of now.
        grows: the settings that may grow (None is without a limit), and ``input`` if the input may.
        begins_with: whether the input begins with what the manifest noted this of.
    """
    lines = []
    for name in sorted(old.settings.keys() | settings.keys()):
        before, now = old.settings.get(name), settings.get(name)
        if before != now:
            if name not in grows or not isinstance(before, int) or not (now is None or now > before):
                return []
            lines.append(f"{name} {before:,} → {'all' if now is None else f'{now:,}'}")
    if old.input["digest"] != source["digest"]:
        if "input" not in grows or not begins_with(old.input):
            return []
        lines.append(f"input {old.input['rows']:,} → {number_of(source['rows'], 'rows')}")
    return lines


def as_json(settings: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Settings as the manifest gives them back: a tuple is a list there."""
    try:
        found: dict[str, Any] = orjson.loads(orjson.dumps(dict(settings)))
    except TypeError as error:
        raise InputError(
            f"a setting of {stage} cannot be written down: {error}",
            fix="Settings are texts in UTF-8, numbers, lists and mappings with text keys.",
        ) from None
    return found


def check_as_written(path: Path, entry: StageEntry) -> None:
    """Check that a stage's finished file holds what the stage wrote.

    Raises:
        InputError: it does not.
    """
    if not is_as_noted(path, entry.output):
        raise InputError(
            f"{path} is not as the stage wrote it: it is damaged, or was changed since",
            fix="Make it anew with --fresh (equal calls are not paid again), or copy it back.",
        )


def now() -> str:
    """The time as the manifest writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    """Versions of what decides the numbers, and the git revision of the working folder if it has one."""
    found = {"python": platform.python_version(), "evolvent": metadata.version("evolvent")}
    for package in DECIDING:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return found
    if git.returncode == 0:
        found["git"] = git.stdout.strip()
    return found


def known_prices(
    given: Prices, uris: Sequence[str], spent: Iterable[Spent], entries: Mapping[str, StageEntry]
) -> dict[str, Price]:
    """The prices of a stage's models, and of those that the folder holds calls of: given now, or noted before."""
    noted: dict[str, Price] = {}
    for entry in entries.values():
        for uri, account in entry.paid.items():
            if account.get("price"):
                noted.setdefault(uri, Price(*account["price"]))
    return read_prices(given, uris, others=[use.model for use in spent], noted=noted)
