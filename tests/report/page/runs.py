"""Run folders to make reports of, written without a model."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from evolvent.call_store.key import call_seed
from evolvent.call_store.store import Call, CallStore
from evolvent.files import CALLS
from evolvent.metrics.score import BY
from evolvent.ranking.order import Order, Standing
from evolvent.records import Column, Record
from evolvent.runs.folder import RunFolder
from evolvent.runs.parts import Output, Placed
from evolvent.runs.tally import Tally
from evolvent.training.note import NOTE

M = "openai:m"
SETTINGS: dict[str, dict[str, Any]] = {
    "evolve": {"method": "evol-instruct", "model": M, "rounds": 2},
    "respond": {"teacher": [M]},
    "score": {
        f"{BY}openai:b, paper, auto": ["ifd", "ic_ifd", "response_loss"],
        f"{BY}hf:rewards, auto": ["reward"],
        f"{BY}minilm, auto": ["mnd"],
    },
}
PAID = {
    M: {"calls": 3, "prompt_tokens": 30, "completion_tokens": 20, "estimated": False, "cost": 1.5, "price": [1.0, 2.0]}
}
SCORES = (Column("ifd"), Column("ic_ifd"), Column("mnd"), Column("response_loss"), Column("reward"), Column("win"))
JUDGED = (Column("difficulty_score"), Column("difficulty_level", "string"), Column("base_model", "string"))
HOSTILE = [
    "<script>document.title = 'harm'</script>",
    "</script><script>document.title = 'harm'</script>",
    "<svg onload=\"document.title = 'harm'\"><image href='http://example.invalid/x'/></svg>",
    "<img src=x onerror=\"document.title = 'harm'\">",
    "a broken emoji: \U0001f468\u200d\U0001f469\u200d\ufffd",
    "\u202eright to left\u202c \u0627\u0644\u0633\u0644\u0627\u0645",
    "x" * 100_000,
    "a NUL: \x00, a bell: \x07, a line separator: \u2028",
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %}",
]


def write(
    folder: Path,
    stage: str,
    records: Sequence[Record],
    columns: Sequence[Column] = (),
    *,
    read: str | None = None,
    **counts: Any,
) -> None:
    """A finished stage in a run folder; ``read`` is the stage of the folder whose file it read."""
    source = {"digest": f"{read}", "source": "seeds.jsonl", "rows": 2} | ({"stage": read} if read else {})
    with RunFolder(folder) as run:
        run.begin(stage, SETTINGS.get(stage, {}), source, fresh=read is not None)
        run.start(stage, {M: "weights"})
        output = Output(run.output(stage), len(records), columns=columns)
        for n, record in enumerate(records):
            output.add(Placed(0, n, record), [record], _count)
        run.finish(stage, {**output.finish().summary(), **counts}, PAID, PAID)


def student(folder: Path, rounds: Mapping[str, int], right: Sequence[int], evolver: str = M) -> Path:
    """A run folder with a student and its evaluation; ``rounds`` says how many of its rows were of each round."""
    (folder / "student").mkdir(parents=True)
    note = {"state": "done", "how": {"base_model": "openai:b"}, "input": {"digest": ""}, "loss": [[1, 2.0], [2, 1.0]]}
    note |= {"counts": {"rounds": rounds, "evolvers": {evolver: sum(rounds.values())}}}
    (folder / "student" / NOTE).write_bytes(orjson.dumps(note))
    rows = [
        Record(f"i{n}", f"i{n}", n, "What is 2 plus 2?", output="4", scores={"task": "embedded_sums", "right": one})
        for n, one in enumerate(right)
    ]
    SETTINGS["evaluate"] = {"model": f"hf:{folder}/student"}
    write(folder, "evaluate", rows, (Column("task", "string"), Column("right")))
    return folder


def store_replies(folder: Path, evolved: Sequence[Record], texts: Sequence[str]) -> None:
    """The calls behind evolutions, each with a reply."""
    calls = [
        Call(
            row.id.encode(),
            "evolve",
            row.seed_id,
            M,
            orjson.dumps({"seed": call_seed(0, row.id, "evolve")}).decode(),
            orjson.dumps({"text": text}).decode(),
        )
        for row, text in zip((row for row in evolved if row.round), texts, strict=True)
    ]
    with closing(CallStore(folder / CALLS)) as store:
        asyncio.run(store.put(calls))


def ordered(figure: str, behind: Mapping[str, float], *, students: int = 0, apart: bool = True, **more: Any) -> Order:
    """An order of candidates by how far each is behind the first, ``apart`` from the others or not."""
    standings = [
        Standing(who, 60, -far, -far, -far, far, far - 0.1, far + 0.1, not apart or not place, 1.0, 0.5, far)
        for place, (who, far) in enumerate(behind.items())
    ]
    given = {"without": {}, "seeds": 60, "detectable": 0.1, "needed": None, "stable": {}, **more}
    return Order(figure=figure, lower_is_better=False, standings=standings, students=students, **given)


def _count(tally: Tally, row: Record) -> None:
    if row.round:  # a seed is nothing that was made
        tally.count(row, f"round {row.round}")


def evolutions(texts: Sequence[str], reason: str = "paraphrase") -> list[Record]:
    """Each text as a seed, with two evolutions of which one in three is eliminated."""
    found = []
    for n, text in enumerate(texts):
        found.append(Record(f"s{n}", f"s{n}", n, text))
        for round in (1, 2):
            lost = (n + round) % 3 == 0
            found.append(
                Record(
                    f"s{n}/r{round}",
                    f"s{n}",
                    n,
                    f"{text} and more" * (not lost),
                    round=round,
                    operator="deepening",
                    evolver=M,
                    status="eliminated" if lost else "ok",
                    reason=reason if lost else None,
                )
            )
    return found


def answers(of: Sequence[Record], teachers: Sequence[str] = (M, "openai:n")) -> list[Record]:
    """The answers of teachers to evolutions, with scores."""
    found = []
    for n, record in enumerate(one for one in of if one.round and one.status == "ok"):
        for t, teacher in enumerate(teachers):
            scores = {
                "ifd": 0.5 + n / 100,
                "ic_ifd": 0.1 + n % 7 / 50,
                "mnd": 0.5 + n % 9 / 10,
                "base_model": "openai:b",
            }
            scores |= {"response_loss": 1.0 + t + n % 3 / 10, "reward": 2.0 + t, "win": (n + t) % 3 / 2}
            scores |= {"difficulty_score": 20.0 * record.round + n % 5, "difficulty_level": ("easy", "hard")[n % 2]}
            found.append(
                Record(
                    f"{record.id}/t{t}",
                    record.seed_id,
                    record.seed_index,
                    record.instruction,
                    output=f"answer {n} of {teacher}",
                    round=record.round,
                    teacher=teacher,
                    finish_reason="stop",
                    scores=scores,
                )
            )
    return found


def whole_run(folder: Path, texts: Sequence[str] = tuple(f"Mend sock {n}" for n in range(12))) -> Path:
    """A run folder with evolutions and scored answers."""
    folder.mkdir(parents=True, exist_ok=True)
    evolved = evolutions(texts)
    write(folder, "evolve", evolved, seeds=len(texts))
    write(folder, "score", answers(evolved), (*SCORES, *JUDGED))
    return folder
