"""Keywords of evolution trajectories (arXiv 2412.11231, §4.3): how many different ways an evolver knows.

The ways to make an instruction more complex that an Auto Evol-Instruct run listed are named by a model, a phrase for
each; equal names are one keyword. Ways are counted on disk: memory holds what is printed and returned, a word and a
number for each different keyword, however many evolutions there are.
"""

import re
import sqlite3
import unicodedata
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from evolvent.call_store.ask import ask, why_cut
from evolvent.errors import CallError, InputError
from evolvent.evolution.auto_evol_instruct.applied import METHOD
from evolvent.evolution.auto_evol_instruct.options import KEYWORDS, Naming
from evolvent.evolution.auto_evol_instruct.ways import ListedWays, counting, on_disk, times_of
from evolvent.evolution.templates import load_prompt
from evolvent.files import MANIFEST, locate, output_path, replacing
from evolvent.models.models import Models, chat_need, opened
from evolvent.models.protocols import ChatModel, Reply, Sampling, StageModels
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, implements
from evolvent.prompts import Prompt
from evolvent.records import Record, conversation
from evolvent.runs.inputs import Wanted, stage_input
from evolvent.runs.local import run as execute
from evolvent.runs.no_run import no_run
from evolvent.runs.record_files import read_records
from evolvent.runs.run import Run
from evolvent.runs.stage import Make, Rehearsed, Stage
from evolvent.stages import read_by

STAGE = "keywords"

# How long a dry run assumes a phrase to be, in tokens.
PHRASE_TOKENS = 8

_LABEL = re.compile(r"\A\W*(?:the |short )*(?:key ?words?|key ?phrases?|phrase|name|answer|way|method) *[:：]", re.I)
_ARTICLES = {"a", "an", "the"}

# A reply with more words than this is no phrase.
PHRASE_WORDS = 10


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


@implements(KEYWORDS)
def keywords(
    run: str | Path | Run,
    *,
    given: Naming,
    calling: Calling,
    models: Models | None = None,
) -> Keywords:
    """Name the ways that an Auto Evol-Instruct run listed, and count the different names.

    Each different way is named once, at temperature 0, and written to ``RUN/keywords.parquet``. Run again it goes on
    where it stopped. The figure grows with the number of evolutions: compare runs of equal size.

    Raises:
        InputError: no run folder, one that holds no lists of ways, or one that holds other keywords.
        ModelUnavailableError: the model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every call failed.
    """
    folder = run.path if isinstance(run, Run) else locate(run, "read")[0]
    if not (folder / MANIFEST).is_file():
        raise no_run(folder, "Name the folder that evolvent evolve wrote.")
    out = None if given.out is None else output_path(given.out)
    stage = naming_stage(folder, given, calling)
    with opened(models) as shared:
        done = execute(stage, folder, shared, calling)
    if done.estimate is not None:
        return Keywords(done, stage.source.counts, [])
    with closing(_named_ways(done.output)) as named, counting():
        without = stage.source.rows - named.execute("SELECT count(*) FROM way").fetchone()[0]
        frequent = named.execute("SELECT keyword, sum(times) FROM way GROUP BY keyword ORDER BY 2 DESC, 1").fetchall()
        found = Keywords(done, {**stage.source.counts, "ways without a keyword": without}, frequent)
        if out is not None:
            _write(found, named, out)
    return found


def naming_stage(folder: Path, given: Naming, calling: Calling) -> Stage:
    """The stage that names the ways of a run.

    Raises:
        InputError: the folder holds no lists of ways.
    """
    work = WayNaming(
        model=str(parse_uri(given.model)),
        prompt=load_prompt("auto_evol_instruct/keyword"),
        sampling=Sampling(0.0, max_tokens=given.max_tokens),
    )
    source = ListedWays(stage_input(folder, before=read_by(STAGE), out=folder, wanted=Wanted(("ok", "eliminated"), 1)))
    if not source.rows:
        read = source.counts["evolutions"]
        why = f"none of its {read:,} evolutions" if read else f"it has no evolutions by {METHOD}, which alone"
        raise InputError(
            f"{folder} has no ways to name: {why} lists any",
            fix=f"Evolve with --method {METHOD}, and look at a reply.",
        )
    return Stage(
        name=STAGE,
        settings={
            "model": work.model,
            "prompt": work.prompt.version,
            "max_tokens": given.max_tokens,
            "extra_body": dict(calling.extra_body) if calling.extra_body else None,
        },
        source=source,
        needs=(chat_need(given.model, calling),),
        work=work,
        group=as_a_way,
        counts=source.counts,
        derive=different_keywords,
        dry_run=Rehearsed(reply_tokens=PHRASE_TOKENS),
        calls_each=1,
        grows=("max_tokens",),
    )


@dataclass(frozen=True, slots=True)
class WayNaming:
    """What ways are named with; the work of the keywords stage.

    Attributes:
        model: URI of the model, as records hold it.
        prompt: what it is asked.
        sampling: how its replies are drawn.
    """

    model: str
    prompt: Prompt
    sampling: Sampling

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to name one way at a time."""
        model = models.chat(self.model)

        async def name(found: Sequence[Record]) -> list[list[Record]]:
            return [[await _named(way, model, self.prompt, self.sampling)] for way in found]

        yield name


def as_a_way(_: Record) -> str:
    """What a row is counted under."""
    return "ways"


async def _named(way: Record, model: ChatModel, prompt: Prompt, sampling: Sampling) -> Record:
    """A way with the phrase that the model has for it."""
    named = replace(way, teacher=model.uri, prompt_version=prompt.version)
    question = conversation(prompt.render(way=way.instruction))
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
    why, word = why_cut(reply), keyword(reply.text)
    if why or not word:
        return why or "empty"
    return "no phrase" if len(word.split()) > PHRASE_WORDS else None


def _named_ways(path: Path) -> sqlite3.Connection:
    """The different ways that have a keyword, in their order, each with how many lists have it."""
    with counting():
        named = on_disk("CREATE TABLE way (keyword TEXT, text TEXT, times INTEGER)")
        ok = (way for way in read_records(path) if way.status == "ok")
        rows = ((keyword(way.output), way.instruction, times_of(way)) for way in ok)
        named.executemany("INSERT INTO way VALUES (?, ?, ?)", rows)
        named.execute("CREATE INDEX by_keyword ON way (keyword)")
    return named


def different_keywords(path: Path) -> dict[str, int]:
    """How many different keywords a file of named ways has, counted."""
    with closing(_named_ways(path)) as named, counting():
        return {"different keywords": named.execute("SELECT count(DISTINCT keyword) FROM way").fetchone()[0]}


def _write(found: Keywords, named: sqlite3.Connection, path: Path) -> None:
    """Write the counts and all keywords as JSON, a keyword with its ways on a line."""
    head = orjson.dumps({"different keywords": len(found.keywords), **found.counts}, option=orjson.OPT_INDENT_2)
    with replacing(path) as file:
        file.write(head.removesuffix(b"\n}") + b',\n  "keywords": [')
        for number, (word, times) in enumerate(found.keywords):
            texts = named.execute("SELECT text FROM way WHERE keyword = ? ORDER BY rowid", (word,))
            line: dict[str, Any] = {"keyword": word, "times": times, "ways": [text for (text,) in texts]}
            file.write((b",\n    " if number else b"\n    ") + orjson.dumps(line))
        file.write(b"\n  ]\n}")


def keyword(reply: str) -> str:
    """The keyword in a model's reply, normalised, so that equal ones can be counted; empty if there is none.

    It stands in the first line with text. A label before it ("Keyword:") is dropped; letters are casefolded; all that
    is no letter or digit is a blank, except an apostrophe, which is dropped; English articles are dropped, and so is
    the plural's s of each word ("ies" becomes "y"; words in ss, us and is keep theirs). Words are neither stemmed
    further nor reordered: "adding constraints" and "add constraint" are two keywords.
    """
    line = next((line for line in reply.splitlines() if any(map(str.isalnum, line))), "")
    text = unicodedata.normalize("NFKC", _LABEL.sub("", line)).casefold().replace("'", "").replace("’", "")
    words = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in text).split()
    return " ".join(_singular(word) for word in words if word not in _ARTICLES)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word
