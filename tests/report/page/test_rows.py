"""The rows of a page: complete, or a sample of every round and status; never longer than a page can be."""

import base64
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from evolvent.report.page.rows import LONGEST, block
from evolvent.report.page.source import read_sources
from tests.report.page.runs import HOSTILE, JUDGED, SCORES, answers, evolutions, whole_run, write


def unpacked(text: str) -> list[dict[str, Any]]:
    pieces = [orjson.loads(line) for line in gzip.decompress(base64.b64decode(text)).splitlines()]
    return [dict(zip(piece, row, strict=True)) for piece in pieces for row in zip(*piece.values(), strict=True)]


def test_every_row_comes_seed_by_seed_and_an_answer_does_not_repeat_what_it_answers(tmp_path: Path) -> None:
    found = block(read_sources([whole_run(tmp_path / "run", ["one", "two"])]))
    rows = unpacked(found.text)
    assert [row["seed_id"] for row in rows] == sorted(row["seed_id"] for row in rows)
    assert (found.rows, found.of) == (len(rows), len(rows))
    answer = next(row for row in rows if row["id"] == "s0/r1/t0")
    assert (answer["kind"], answer["instruction"], answer["output"]) == ("answer", None, "answer 0 of openai:m")
    assert answer["ifd"] == 0.5 and "base_model" not in answer
    lost = next(row for row in rows if row["status"] == "eliminated")
    assert lost["reason"] == "paraphrase"


def test_answers_of_a_data_file_say_what_they_answer(tmp_path: Path) -> None:
    whole = whole_run(tmp_path / "run")
    (whole / "evolved.parquet").unlink()
    rows = unpacked(block(read_sources([whole])).text)
    assert rows[0]["instruction"] == "Mend sock 0 and more"


def test_answers_that_were_lost_before_the_scores_stand_beside_those_that_have_some(tmp_path: Path) -> None:
    whole = whole_run(tmp_path / "run", ["one", "two"])
    scored = answers(evolutions(["one", "two"]))
    lost = replace(scored[0], id="s0/r1/lost", status="eliminated", reason="sorry", scores={})
    write(whole, "respond", [*(replace(one, scores={}) for one in scored), lost])
    assert "s0/r1/lost" not in {
        row["id"] for row in unpacked(block(read_sources([whole])).text)
    }  # scores of other data
    write(whole, "score", scored, (*SCORES, *JUDGED), read="respond")
    found = block(read_sources([whole]))
    rows = unpacked(found.text)
    assert found.rows == found.of == 6 + len(scored) + 1
    [row] = [row for row in rows if row["id"] == "s0/r1/lost"]
    assert (row["kind"], row["reason"], row["ifd"]) == ("answer", "sorry", None)


def test_a_sample_has_rows_of_every_round_and_status_and_whole_histories(tmp_path: Path) -> None:
    records = evolutions([f"text {n}" for n in range(2_000)])
    records[1].status, records[1].reason = "failed", "no reply"
    write(tmp_path, "evolve", records)
    found = block(read_sources([tmp_path]), most=600)
    rows = unpacked(found.text)
    assert found.of == 6_000 and 480 <= len(rows) == found.rows <= 720
    assert {(row["round"], row["status"]) for row in rows} >= {
        (0, "ok"),
        (1, "ok"),
        (1, "eliminated"),
        (2, "eliminated"),
    }
    assert "failed" in {row["status"] for row in rows}
    seeds = {row["seed_id"] for row in rows if row["round"] == 0}
    assert sum(row["seed_id"] in seeds for row in rows) / len(rows) > 0.8


def test_a_block_is_no_longer_than_it_may_be(tmp_path: Path) -> None:
    import random

    draw = random.Random(0)
    write(
        tmp_path,
        "evolve",
        evolutions(["".join(chr(draw.randrange(97, 1_000)) for _ in range(80)) for _ in range(1_500)]),
    )
    found = block(read_sources([tmp_path]), size=100_000)
    assert 60_000 < len(found.text) <= 100_000 and 0 < found.rows < found.of


def test_hostile_texts_stay_as_they_are_and_long_ones_say_that_they_are_cut(tmp_path: Path) -> None:
    write(tmp_path, "evolve", evolutions([*HOSTILE, "y" * (LONGEST + 5)]))
    rows = unpacked(block(read_sources([tmp_path])).text)
    seeds = [row["instruction"] for row in rows if row["round"] == 0]
    assert seeds[:-1] == HOSTILE
    assert seeds[-1].endswith("y … (5 more characters are left out here)") and len(seeds[-1]) < LONGEST + 60
