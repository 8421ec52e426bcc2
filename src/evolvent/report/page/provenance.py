"""How runs were made: the commands, versions, models and prices of their manifests."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from evolvent.costs.prices import money
from evolvent.evolution.options import EVOLVE
from evolvent.options import Interface, Option, typed_name
from evolvent.report.page.source import Source
from evolvent.responses.options import RESPOND
from evolvent.runs.manifest import StageEntry
from evolvent.runs.progress import time_words
from evolvent.selection.options import SELECT
from evolvent.stages import file_of

# Stages of which every setting is an option of the same name.
COMMANDS = {"evolve": EVOLVE, "respond": RESPOND, "select": SELECT}


@dataclass(frozen=True, slots=True)
class Made:
    """How a stage's file was made.

    Attributes:
        run, stage, state: which stage of which run.
        command: the command with the options that are not the defaults; empty where settings alone do not tell it.
        facts: what is known of it, as names and values.
        settings: every setting that decides the file, as JSON.
    """

    run: str
    stage: str
    state: str
    command: str
    facts: Sequence[tuple[str, str]]
    settings: str


def provenance(run: Source) -> Iterator[Made]:
    """How each stage of a run was made."""
    for key, entry in run.entries.items():
        stage = key.partition(":")[0]
        command = _command(stage, key, entry, run) if stage in COMMANDS else ""
        settings = orjson.dumps(entry.settings, option=orjson.OPT_INDENT_2).decode()
        yield Made(run.name, stage, entry.state, command, list(_facts(entry)), settings)


def _command(stage: str, key: str, entry: StageEntry, run: Source) -> str:
    interface: Interface = COMMANDS[stage]
    method = entry.settings.get("method") if interface.methods else None
    data = run.folder.name if "stage" in entry.input else str(entry.input.get("source", "DATA"))
    words = ["evolvent", stage, data]
    for option in interface.options(method).values():
        words += _typed(option, entry.settings.get(option.name, option.default))
    words += ["--out", f"{run.folder.name}/{file_of(key)}" if stage == "select" else run.folder.name]
    return shlex.join(words)


def _typed(option: Option, value: Any) -> list[str]:
    """An option as it is typed; nothing where it has its default."""
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    if value is None or value == default or option.name in ("out", "progress"):
        return []
    flag = typed_name(option, value)
    if isinstance(value, bool):
        return [flag]
    if isinstance(value, list) and option.about.repeatable:
        return [word for one in value for word in (flag, str(one))]
    if isinstance(value, list):
        return [flag, ",".join(str(one[0] if isinstance(one, list) else one) for one in value)] if value else []
    return [flag, orjson.dumps(value).decode() if isinstance(value, dict) else str(value)]


def _facts(entry: StageEntry) -> Iterator[tuple[str, str]]:
    source = entry.input
    yield "input", f"{source.get('source', '')}, {source.get('rows', 0):,} rows, digest {str(source['digest'])[:16]}"
    if entry.output.get("digest"):
        yield "output", f"{entry.output['name']}, digest {str(entry.output['digest'])[:16]}"
    times = f"{entry.started} to {entry.finished or '…'}" if entry.started else ""
    yield "made", f"{times}, {time_words(entry.wall_s)} of work" if entry.wall_s else times
    for uri, identity in entry.models.items():
        yield "model", f"{uri} ({_weights(identity)})"
    for uri, served in entry.served.items():
        yield "served", f"{uri}: {', '.join(' '.join(part or '' for part in one) for one in served)}"
    for uri, account in entry.paid.items():
        yield "paid", f"{uri}: {_account(account)}"
    yield "versions", ", ".join(f"{name} {version}" for name, version in entry.versions.items())


def _weights(identity: str) -> str:
    """What of a model's identity tells its weights; all of it where none is told."""
    try:
        found = orjson.loads(identity)
        return f"{found['backend']}, weights {found['weights'][:16]}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return identity


def _account(account: Mapping[str, Any]) -> str:
    tokens = f"{account['prompt_tokens']:,} tokens in, {account['completion_tokens']:,} out"
    words = f"{account['calls']:,} calls, {'about ' if account.get('estimated') else ''}{tokens}"
    price = account.get("price")
    if not price:
        return f"{words}, no price given"
    return f"{words}, {money(account['cost'])} at {price[0]:g} and {price[1]:g} a million tokens in and out"
