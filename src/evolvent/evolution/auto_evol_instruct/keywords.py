"""Keywords of evolution trajectories (arXiv 2412.11231, §4.3): how many different ways an evolver knows.

The ways that an Auto Evol-Instruct run listed are named by a model, a phrase for each; equal names are one keyword.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import orjson

from evolvent.calls.stored import ask
from evolvent.errors import CallError, InputError
from evolvent.evolution.auto_evol_instruct.trajectory import META, METHOD, METHODS_LIST
from evolvent.evolution.auto_evol_instruct.ways import PHRASE_WORDS, keyword, same_way, ways
from evolvent.evolution.evol_instruct import chat
from evolvent.evolution.templates import Prompt, load_prompt
from evolvent.files import MANIFEST as NAME
from evolvent.files import locate, replacing
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.models.uri import parse_uri
from evolvent.records import Record, content_digest
from evolvent.runs.folder import Run
from evolvent.runs.inputs import StageInput, stage_input
from evolvent.runs.record_files import read_records
from evolvent.runs.rehearsal import Work
from evolvent.runs.stage import Calling, run_stage

STAGE = "keywords"

# How long a dry run assumes a phrase to be, in tokens.
PHRASE_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Keywords:
    """The keywords of a run.

    Attributes:
        run: the stage's run: its file, ``keywords.parquet``, has a row for each different way, the phrase in
            ``output``; of a dry run the estimate, and then nothing else is counted.
        counts: evolutions looked at, those without a list, ways, different ways, those without a keyword.
        keywords: each keyword and how many ways of all lists it names, the most frequent first.
    """

    run: Run
    counts: dict[str, int]
    keywords: list[tuple[str, int]]


def keywords(
    run: str | Path | Run,
    *,
    model: str,
    out: str | Path | None = None,
    max_tokens: int = 512,
    extra_body: Mapping[str, object] | None = None,
    **calling: Unpack[Calling],
) -> Keywords:
    """Name the ways that an Auto Evol-Instruct run listed, and count the different names.

    Each different way is named once, at temperature 0, and written to ``RUN/keywords.parquet``. Run again it goes on
    where it stopped. The figure grows with the number of evolutions: compare runs of equal size.

    Args:
        run: the run folder, or the Run.
        model: URI of the model that names ways.
        out: a JSON file for the counts and all keywords, with the ways that each one names.
        max_tokens: longest reply, in tokens.
        extra_body: extra request fields for ``openai:`` models.
        calling: how calls are made: concurrency, caps, price, budget, retry_failed, fresh, progress (see ``Calling``).

    Raises:
        InputError: no run folder, one that holds no lists of ways, or one that holds other keywords.
        ModelUnavailableError: the model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every call failed.
    """
    folder = run.path if isinstance(run, Run) else locate(run, "read")[0]
    if not (folder / NAME).is_file():
        raise InputError(f"{folder} is not a run folder", fix="Name the folder that evolvent evolve wrote.")
    if out is not None and not locate(out, "written")[0].resolve().parent.is_dir():
        raise InputError(f"--out {out} cannot be written: its folder does not exist", fix="Make it first.")
    uri, prompt = str(parse_uri(model)), load_prompt("auto_evol_instruct/keyword")
    source, counts = _listed_ways(folder)
    sampling = Sampling(0.0, max_tokens=max_tokens)

    def work(models: Mapping[str, ChatModel]) -> Work:
        async def name(way: Record) -> list[Record]:
            return [await _named(way, models[uri], prompt, sampling)]

        return name

    done = run_stage(
        STAGE,
        folder,
        settings={
            "model": uri,
            "prompt": prompt.version,
            "max_tokens": max_tokens,
            "extra_body": dict(extra_body) if extra_body else None,
        },
        source=source,
        models=[model],
        work=work,
        group=lambda _: "ways",
        counts=counts,
        extra_body=extra_body,
        reply_tokens=PHRASE_TOKENS,
        derive=lambda path: {"different keywords": len(_by_keyword(path))},
        **calling,
    )
    if done.estimate is not None:
        return Keywords(done, counts, [])
    named = _by_keyword(done.output)
    counts["ways without a keyword"] = source.rows - sum(map(len, named.values()))
    frequent = sorted(((word, sum(_times(way) for way in ways)) for word, ways in named.items()), key=_most_first)
    found = Keywords(done, counts, frequent)
    if out is not None:
        _write(found, named, locate(out, "written")[0])
    return found


def _listed_ways(folder: Path) -> tuple[StageInput, dict[str, int]]:
    """The different ways that a run listed, as a stage's input, and what was counted on the way to them."""
    source = stage_input(folder, before="evolve", wanted=lambda status, round: status != "failed" and round > 0)
    times: Counter[str] = Counter()
    said: dict[str, str] = {}
    evolutions = without = 0
    for record in source:
        if record.method != METHOD:
            continue
        evolutions += 1
        meta = orjson.loads(record.meta) if record.meta else {}
        listed = ways(meta.get(META, {}).get(METHODS_LIST, ""))
        without += not listed
        for way in listed:
            times[same_way(way)] += 1
            said.setdefault(same_way(way), way)
    if not said:
        why = (
            f"none of its {evolutions:,} evolutions" if evolutions else f"it has no evolutions by {METHOD}, which alone"
        )
        raise InputError(
            f"{folder} has no ways to name: {why} lists any", fix=f"Evolve with --method {METHOD}, and look at a reply."
        )

    def records(start: int) -> Iterator[tuple[int, Record]]:
        return ((index, _way(index, said[key], times[key])) for index, key in list(enumerate(said))[start:])

    counts = {"evolutions": evolutions, "without a list": without, "ways": times.total(), "different ways": len(said)}
    return replace(source, rows=len(said), records=records), counts


def _way(index: int, way: str, times: int) -> Record:
    id = content_digest(way, "", "", None)
    return Record(id, id, index, way, meta=orjson.dumps({"times": times}).decode())


def _times(way: Record) -> int:
    """How many of the run's lists have this way."""
    return int(orjson.loads(way.meta or "{}")["times"])


async def _named(way: Record, model: ChatModel, prompt: Prompt, sampling: Sampling) -> Record:
    """A way with the phrase that the model has for it."""
    named = replace(way, teacher=model.uri, prompt_version=prompt.version)
    question = chat(prompt.render(way=way.instruction), None)
    try:
        # At temperature 0 there is neither a seed nor a second attempt.
        reply = await ask(model, question, sampling, run_seed=0, record_id=way.id, stage=STAGE)
    except CallError as error:
        return replace(named, status="failed", reason=str(error))
    reason = _why_no_keyword(reply)
    return replace(
        named,
        output=reply.text,
        finish_reason=reply.finish_reason,
        status="eliminated" if reason else "ok",
        reason=reason,
    )


def _why_no_keyword(reply: Reply) -> str | None:
    if reply.finish_reason == "content_filter":
        return "filtered"
    if reply.finish_reason == "length":
        return "truncated"
    word = keyword(reply.text)
    if not word:
        return "refused" if reply.refusal else "empty"
    return "no phrase" if len(word.split()) > PHRASE_WORDS else None


def _by_keyword(path: Path) -> dict[str, list[Record]]:
    """The different ways under the keyword that names each; those without one are left out."""
    found: dict[str, list[Record]] = {}
    for way in read_records(path):
        if way.status == "ok":
            found.setdefault(keyword(way.output), []).append(way)
    return found


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _write(found: Keywords, named: Mapping[str, list[Record]], path: Path) -> None:
    """Write the counts and all keywords as JSON."""
    words: list[dict[str, Any]] = [
        {"keyword": word, "times": times, "ways": [way.instruction for way in named[word]]}
        for word, times in found.keywords
    ]
    content = {"different keywords": len(words), **found.counts, "keywords": words}
    with replacing(path) as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
