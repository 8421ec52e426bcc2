"""Keywords of evolution trajectories (arXiv 2412.11231, §4.3): how many different ways an evolver knows.

The ways to make an instruction more complex that an Auto Evol-Instruct run listed are named by a model, a phrase for
each; equal names are one keyword. Ways are counted on disk: memory holds what is printed and returned, a word and a
number for each different keyword, however many evolutions there are.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import orjson

from evolvent.calls.ask import ask
from evolvent.errors import CallError, InputError, RunError
from evolvent.evolution.auto_evol_instruct.applied import META, METHOD, METHODS_LIST
from evolvent.evolution.templates import Prompt, load_prompt
from evolvent.files import MANIFEST as NAME
from evolvent.files import locate, replacing
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.models.uri import parse_uri
from evolvent.records import Record, content_digest, conversation
from evolvent.runs.folder import Run
from evolvent.runs.inputs import StageInput, stage_input
from evolvent.runs.record_files import read_records
from evolvent.runs.rehearsal import Work
from evolvent.runs.stage import Calling, run_stage

STAGE = "keywords"

# How long a dry run assumes a phrase to be, in tokens.
PHRASE_TOKENS = 8

# Of the pages of a database of ways that are kept in memory.
CACHE_KIB = 16_000

_ITEM = re.compile(
    r"(?P<indent> *)[*_]{0,2}(?:(?P<number>\(?\d{1,3}[.):]+(?!\d)|\(?[A-Za-z]\))|[-*+•–—](?= ))[*_]{0,2} *"
    r"(?P<text>\S.*)"
)
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
        derive=lambda path: {"different keywords": _different(path)},
        **calling,
    )
    if done.estimate is not None:
        return Keywords(done, counts, [])
    with closing(_named_ways(done.output)) as named, counting():
        counts["ways without a keyword"] = source.rows - named.execute("SELECT count(*) FROM way").fetchone()[0]
        frequent = named.execute("SELECT keyword, sum(times) FROM way GROUP BY keyword ORDER BY 2 DESC, 1").fetchall()
        found = Keywords(done, counts, frequent)
        if out is not None:
            _write(found, named, locate(out, "written")[0])
    return found


def _listed_ways(folder: Path) -> tuple[StageInput, dict[str, int]]:
    """The different ways that a run listed, as a stage's input, and what was counted on the way to them."""
    source = stage_input(folder, before="evolve", wanted=lambda status, round: status != "failed" and round > 0)
    evolutions = without = 0
    with counting():
        different = on_disk("CREATE TABLE way (number INTEGER PRIMARY KEY, key TEXT UNIQUE, text TEXT, times INTEGER)")
        for record in source:
            if record.method != METHOD:
                continue
            evolutions += 1
            meta = orjson.loads(record.meta) if record.meta else {}
            listed = ways(meta.get(META, {}).get(METHODS_LIST, ""))
            without += not listed
            different.executemany(
                "INSERT INTO way (key, text, times) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
                ((same_way(way), way) for way in listed),
            )
        times, rows = different.execute("SELECT coalesce(sum(times), 0), count(*) FROM way").fetchone()
    if not rows:
        why = (
            f"none of its {evolutions:,} evolutions" if evolutions else f"it has no evolutions by {METHOD}, which alone"
        )
        raise InputError(
            f"{folder} has no ways to name: {why} lists any", fix=f"Evolve with --method {METHOD}, and look at a reply."
        )

    def records(start: int) -> Iterator[tuple[int, Record]]:
        found = different.execute("SELECT number - 1, text, times FROM way WHERE number > ? ORDER BY number", (start,))
        return ((index, _way(index, text, times)) for index, text, times in found)

    counts = {"evolutions": evolutions, "without a list": without, "ways": times, "different ways": rows}
    return replace(source, rows=rows, records=records), counts


def _way(index: int, way: str, times: int) -> Record:
    id = content_digest(way, "", "", None)
    return Record(id, id, index, way, meta=orjson.dumps({"times": times}).decode())


def _times(way: Record) -> int:
    """How many of the run's lists have this way."""
    return int(orjson.loads(way.meta or "{}")["times"])


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
    if reply.finish_reason == "content_filter":
        return "filtered"
    if reply.finish_reason == "length":
        return "truncated"
    word = keyword(reply.text)
    if not word:
        return "refused" if reply.refusal else "empty"
    return "no phrase" if len(word.split()) > PHRASE_WORDS else None


def _named_ways(path: Path) -> sqlite3.Connection:
    """The different ways that have a keyword, in their order, each with how many lists have it."""
    with counting():
        named = on_disk("CREATE TABLE way (keyword TEXT, text TEXT, times INTEGER)")
        rows = ((keyword(way.output), way.instruction, _times(way)) for way in read_records(path) if way.status == "ok")
        named.executemany("INSERT INTO way VALUES (?, ?, ?)", rows)
        named.execute("CREATE INDEX by_keyword ON way (keyword)")
    return named


def _different(path: Path) -> int:
    """How many different keywords a file of named ways has."""
    with closing(_named_ways(path)) as named:
        return int(named.execute("SELECT count(DISTINCT keyword) FROM way").fetchone()[0])


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


def on_disk(table: str) -> sqlite3.Connection:
    """A database of one table. It has no name: sqlite keeps it in a temporary file that goes with the connection."""
    database = sqlite3.connect("", check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    database.execute(table)
    return database


@contextmanager
def counting() -> Iterator[None]:
    """Explain what may be wrong where ways are counted in a temporary file."""
    try:
        yield
    except sqlite3.Error as error:
        raise RunError(f"ways cannot be counted: {error}", fix="Make room for temporary files (TMPDIR).") from None


def ways(methods_list: str) -> list[str]:
    """The ways of a list, in its order.

    A numbered or bulleted line begins a way; which of the two, and how deep, the first such line says. What follows it
    is part of it: lines without a marker, deeper items, items with a marker of the other kind. After a blank line only
    what is indented deeper still is. Lines before the first item and after the last are the model's talk. A list
    without any marker has a way in each line. Blank lines, and lines of marks alone, are none.

    Args:
        methods_list: the text of the list.

    Returns:
        The ways on one line each, without markers and bold.
    """
    lines = [line.expandtabs(4).rstrip() for line in methods_list.splitlines()]
    first = next((item for line in lines if (item := _ITEM.fullmatch(line))), None)
    if first is None:
        return [way for line in lines if (way := _plain(line))]
    depth, numbered = len(first["indent"]), bool(first["number"])
    found: list[list[str]] = []
    blank = False
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item and len(item["indent"]) <= depth and bool(item["number"]) == numbered:
            found += [[text] for text in _on_one_line(item)]
        elif found and line and (not blank or len(line) - len(line.lstrip()) > depth):
            found[-1].append(item["text"] if item else line)
        blank = not line
    return [way for parts in found if (way := _plain(" ".join(parts)))]


def same_way(way: str) -> str:
    """The key under which two ways are one: letter case, blanks and final punctuation make no difference."""
    return " ".join(way.casefold().split()).rstrip(" .,;:!?…")


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


def _on_one_line(item: re.Match[str]) -> list[str]:
    """The ways of one line: several where the numbers go on within it ("1. Add a limit. 2. Ask why.")."""
    found, rest = [], str(item["text"])
    number = re.search(r"\d+", item["number"] or "")
    while number:
        next = int(number[0]) + 1
        following = re.search(rf"(?:(?<=[.,;!?]) *{next}[.)]| \(?{next}\)) +(?=\S)", rest)
        if following is None:
            break
        found.append(rest[: following.start()].rstrip(" ,;"))
        rest, number = rest[following.end() :], re.search(r"\d+", following[0])
    return [*found, rest]


def _plain(text: str) -> str:
    """A text on one line without bold, code marks and quotes around it; empty if no letter is in it."""
    text = " ".join(re.sub(r"\*\*|__|`", "", text).split()).strip('*_"“”')
    return text.strip() if any(map(str.isalpha, text)) else ""


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word
