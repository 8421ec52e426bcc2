"""How large a report is, how long it takes and how much memory, for runs of many rows.

    python -m benchmarks.report 50000 1000000

A run of half as many evolutions as rows, each answered and scored, is written with made-up texts as long as Alpaca's,
and with the calls behind its evolutions; ``evolvent report`` then runs as a process of its own. Where Chromium and its
driver are installed (and selenium), the page is opened, and its first paint, the unpacking of its rows and a search are
timed.
"""

import json
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evolvent.call_store.key import call_seed
from evolvent.call_store.schema import LAYOUT, TABLES
from evolvent.files import CALLS
from evolvent.records import Column, schema
from evolvent.runs.manifest import StageEntry, write_manifest

AT_ONCE, MODEL = 10_000, "openai:m"
SCORES = tuple(Column(name) for name in ("ifd", "ic_ifd", "mnd", "response_loss", "reward", "difficulty_score"))


def texts(count: int, words: int) -> list[str]:
    """Texts of words as frequent as Zipf has them."""
    draw = random.Random(words)
    known = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 11))) for _ in range(8_000)]
    often = [1 / n for n in range(1, len(known) + 1)]
    return [" ".join(draw.choices(known, often, k=draw.randint(words // 2, 3 * words // 2))) for _ in range(count)]


def rows(start: int, count: int, columns: tuple[Column, ...], asked: list[str], said: list[str]) -> pa.Table:
    """Some rows of a record file: seeds and evolutions by turns, or answers."""
    draw, names = random.Random(start), [field.name for field in schema(columns)]
    found: dict[str, list[Any]] = {name: [None] * count for name in names}
    places = range(start, start + count)
    seeds = [f"{place // 2:016x}" if not columns else f"{place:016x}" for place in places]
    rounds = [place % 2 for place in places] if not columns else [1] * count
    evolved = [f"{seed}/r1" if when else seed for seed, when in zip(seeds, rounds, strict=True)]
    lost = [bool(when) and draw.random() < 0.1 for when in rounds]
    found |= {"id": [f"{one}/7231fd95" for one in evolved] if columns else evolved, "seed_id": seeds, "round": rounds}
    found |= {"seed_index": [int(seed, 16) for seed in seeds], "input": [""] * count}
    found["instruction"] = [
        asked[int(seed, 16) % len(asked)] + " and more" * when for seed, when in zip(seeds, rounds, strict=True)
    ]
    found["output"] = [draw.choice(said) if columns else "" for _ in places]
    found["status"] = ["eliminated" if one else "ok" for one in lost]
    found["reason"] = ["paraphrase" if one else None for one in lost]
    found["evolver"] = [MODEL if when else None for when in rounds]
    for column in columns:
        found[column.name] = [draw.gauss(1, 0.3) for _ in places]
    return pa.table(found, schema=schema(columns))


def write_run(folder: Path, count: int) -> None:
    """A run folder of about so many rows."""
    asked, said = texts(4_000, 14), texts(4_000, 45)
    share = {"evolved.parquet": (2 * count // 3, ()), "scored.parquet": (count // 3, SCORES)}
    for name, (size, columns) in share.items():
        with pq.ParquetWriter(folder / name, schema(columns)) as file:
            for start in range(0, size, AT_ONCE):
                file.write_table(rows(start, min(AT_ONCE, size - start), columns, asked, said))
    counts = {"ok": count // 3, "eliminated": 0, "failed": 0}
    entries = {
        stage: StageEntry(
            {}, {"digest": "", "source": "made up", "rows": count}, "done", counts=counts, output={"name": name}
        )
        for stage, name in (("evolve", "evolved.parquet"), ("score", "scored.parquet"))
    }
    write_manifest(folder, entries)
    write_calls(folder / CALLS, count // 3, asked)


def write_calls(path: Path, count: int, asked: list[str]) -> None:
    """A call for each evolution, with a prompt of 2,000 characters."""
    prompt = "Rewrite the prompt. " * 100
    with closing(sqlite3.connect(path)) as store, store:
        store.executescript(f"{TABLES} PRAGMA user_version = {LAYOUT};")
        for place in range(count):
            seed, text = f"{place:016x}", asked[place % len(asked)]
            request = json.dumps({"messages": [prompt + text], "seed": call_seed(0, f"{seed}/r1", "evolve")})
            call = (seed.encode(), "evolve", seed, MODEL, request, json.dumps({"text": f"Here it is: {text}"}))
            store.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, NULL, 0.0, 0.0, NULL)", call)


def in_browser(page: Path) -> Iterator[tuple[str, float]]:
    """What a reader waits for, in seconds."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{switch}")
    with Chrome(options, ChromeService(shutil.which("chromedriver"))) as driver:
        began = time.perf_counter()
        driver.get(page.as_uri())
        yield (
            "first paint",
            driver.execute_script("return performance.getEntriesByName('first-paint')[0]?.startTime ?? NaN") / 1e3,
        )
        while not driver.execute_script("return document.body.dataset.unpacked ?? document.body.dataset.drawn"):
            time.sleep(0.01)
        yield "records there", time.perf_counter() - began
        while not driver.execute_script("return document.body.dataset.drawn"):
            time.sleep(0.01)
        yield "figures drawn", time.perf_counter() - began
        searching = (
            "document.querySelector('#search').value = 'zzzzzz'; const began = performance.now(), done = arguments[0];"
            "new MutationObserver(() => done(performance.now() - began)).observe(document.querySelector('#count'),"
            " { childList: true }); document.querySelector('#filters').dispatchEvent(new Event('input'));"
        )
        yield "a search, typing's 0.08 s included", driver.execute_async_script(searching) / 1e3


def main(sizes: list[int]) -> None:
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            write_run(Path(place), size)
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "evolvent", "report", place], capture_output=True, text=True, check=True
            )
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            figures: dict[str, Any] = {
                "rows": size,
                "seconds": round(time.perf_counter() - began, 1),
                "of a core": round(used.ru_utime + used.ru_stime, 1),
                "MB at the most": used.ru_maxrss // 1024,
                "MB of the page": round((Path(place) / "report.html").stat().st_size / 1e6, 2),
                "said": done.stdout.strip().rpartition("(")[2].removesuffix(")"),
            }
            if shutil.which("chromium") and shutil.which("chromedriver"):
                figures |= {what: round(seconds, 2) for what, seconds in in_browser(Path(place) / "report.html")}
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [50_000, 1_000_000])
