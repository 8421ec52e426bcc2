"""The way from the tool to its server: a command, a proxy, a server; and what an undisturbed run over it writes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.e2e.command import evolvent
from tests.faults.draw import Draw
from tests.faults.proxy import Proxy
from tests.faults.server import Background, FaultyServer
from tests.processes import Ended

SEEDS = 24
ROUNDS = 2
IN_FLIGHT = 8
# What a stop can cost: the requests in flight, and as many replies that wait for their commit while the next are asked.
UNSTORED = 2 * IN_FLIGHT
FILES = {"evolve": "evolved.parquet", "respond": "responses.parquet"}
ROWS = {"evolve": SEEDS * (ROUNDS + 1), "respond": SEEDS}
CALLS = {"evolve": SEEDS * ROUNDS, "respond": SEEDS}


def write_seeds(folder: Path, count: int = SEEDS) -> Path:
    """A file of seeds; each holds its number between two hashes, and so does every prompt made of it."""
    path = folder / "seeds.jsonl"
    rows = ({"instruction": f"How do I mend sock ({n}) with what I have at home?"} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def seed_of(prompt: str | bytes) -> int:
    """Which seed a prompt or a request was made of."""
    text = prompt.decode() if isinstance(prompt, bytes) else prompt
    return int(text.split("mend sock (")[1].split(")")[0])


def rows_of(path: Path) -> list[dict[str, Any]]:
    """A record file's rows."""
    return list(pq.read_table(path).to_pylist())


def manifest(run: Path) -> dict[str, Any]:
    """What a run's manifest holds."""
    return dict(json.loads((run / "manifest.json").read_text()))


class Way:
    """A server with a proxy before it, and the commands that ask it.

    Attributes:
        server, proxy: as they are; each with its draw.
        folder: where the test works; the seeds are in it.
        whole: for each stage, the bytes that an undisturbed run over this proxy wrote.
    """

    def __init__(self, server: FaultyServer, proxy: Proxy, background: Background) -> None:
        self.server = server
        self.proxy = proxy
        self.background = background
        self.folder = Path()
        self.whole: dict[str, Path] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}/v1"

    @property
    def server_url(self) -> str:
        """The server's own address, past the proxy."""
        return f"http://127.0.0.1:{self.server.port}/v1"

    def begin(self, folder: Path) -> None:
        """A new test: nothing drawn, nothing seen."""
        self.server.reset()
        self.proxy.draw = Draw()
        self.folder = folder
        write_seeds(folder)

    def arguments(
        self, stage: str, out: str, *options: str, url: str = "", query: str = "", concurrency: int | None = IN_FLIGHT
    ) -> list[str]:
        """The command of a stage over all seeds."""
        model = f"openai:m?base_url={url or self.url}{query}"
        named = ["--model", model, "--rounds", str(ROUNDS)] if stage == "evolve" else ["--teacher", model]
        limit = [] if concurrency is None else ["--concurrency", str(concurrency)]
        return [stage, "seeds.jsonl", *named, *limit, "--out", out, *options]

    def command(
        self, stage: str, out: str = "run", *options: str, variables: Mapping[str, str] | None = None, **how: Any
    ) -> Ended:
        """Run a stage to its end."""
        arguments = self.arguments(stage, out, *options, **how)
        return evolvent(*arguments, folder=self.folder, variables=variables)

    def undisturbed(self, stage: str, folder: Path) -> Path:
        """The output of an undisturbed run over this proxy; made once."""
        if stage not in self.whole:
            held, self.folder = self.folder, folder
            if not (folder / "seeds.jsonl").exists():
                write_seeds(folder)
            ended = self.command(stage, stage)
            assert ended.status == 0, ended.errors
            assert self.proxy.draw.total == CALLS[stage]
            assert self.proxy.draw.repeated == 0
            self.folder, self.whole[stage] = held, folder / stage / FILES[stage]
            self.begin(held)
        return self.whole[stage]


def assert_all_accounted_for(run: Path, stage: str, output: str) -> list[dict[str, Any]]:
    """Check that every row is there once and in order, has a status and a reason, and is counted in the summary.

    Returns:
        The rows.
    """
    rows = rows_of(run / FILES[stage])
    assert len({row["id"] for row in rows}) == len(rows) == ROWS[stage]
    rounds = range(ROUNDS + 1) if stage == "evolve" else [0]
    assert [(row["seed_index"], row["round"]) for row in rows] == [(n, r) for n in range(SEEDS) for r in rounds]
    made = [row for row in rows if row["round"] or stage == "respond"]
    assert {row["status"] for row in rows} <= {"ok", "eliminated", "failed"}
    assert all(row["reason"] for row in rows if row["status"] != "ok")
    counts = manifest(run)["stages"][stage]["counts"]
    statuses = Counter(row["status"] for row in made)
    assert {status: counts[status] for status in ("ok", "eliminated", "failed")} == {
        status: statuses[status] for status in ("ok", "eliminated", "failed")
    }
    assert all(f"{count} {status}" in output for status, count in statuses.items()), output
    return rows


@contextmanager
def opened() -> Iterator[Way]:
    """A server and its proxy, up until the end."""
    background = Background()
    server = FaultyServer()
    background.run(server.start())
    proxy = Proxy(server.port)
    background.run(proxy.start())
    try:
        yield Way(server, proxy, background)
    finally:
        background.run(proxy.stop())
        background.run(server.stop())
        background.close()
