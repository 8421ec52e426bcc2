"""How runs were made: the commands, versions, models and prices of their manifests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from evolvent.costs.prices import money
from evolvent.ranking.result import Ranked
from evolvent.report.page.commands import commands_of, ranking_command
from evolvent.report.page.source import Source, plan_of
from evolvent.runs.manifest import StageEntry
from evolvent.runs.progress import time_words


@dataclass(frozen=True, slots=True)
class Made:
    """How a stage's file was made.

    Attributes:
        run, stage, state: which stage of which run.
        command: the commands with the options that are not the defaults, a line each; empty where settings alone do
            not tell them.
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
        command = "\n".join(commands_of(key, entry, run))
        settings = orjson.dumps(entry.settings, option=orjson.OPT_INDENT_2).decode()
        yield Made(run.name, stage, entry.state, command, list(_facts(entry)), settings)


def planned(ranked: Ranked) -> Iterator[Made]:
    """How a ranking was made; nothing of one that no command has made."""
    plan = plan_of(ranked)
    if plan is None:
        return
    facts = [("planned in", str(ranked.plan)), ("decided by", plan["rule"])]
    facts += [("input", f"{name}, digest {digest[:16]}") for name, digest in plan["input"].items()]
    settings = orjson.dumps(plan, option=orjson.OPT_INDENT_2).decode()
    folder = ranked.folder.name
    yield Made(folder, f"rank {plan['ranked']}", "done", ranking_command(plan, folder), facts, settings)


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
        for server, count in account.get("servers", {}).items():
            yield "server", f"{uri}: {count:,} replies from {server}"
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
