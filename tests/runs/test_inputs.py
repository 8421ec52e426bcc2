"""What a stage takes: checked once, known again, read from any row on, and the same bytes have the same digest."""

import csv
import gzip
import hashlib
import json
import os
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib import import_module
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.datasets import json_files, parquet_files
from evolvent.datasets.load import load
from evolvent.errors import InputError
from evolvent.records import Record
from evolvent.runs import parts
from evolvent.runs.folder import RunFolder
from evolvent.runs.inputs import Listed, StageInput, Wanted, stage_input
from evolvent.runs.parts import Output, Placed
from evolvent.runs.run import Run

Rows = list[dict[str, str]]


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_bytes(b"\n".join(orjson.dumps(row) + b"\n" for row in rows))  # blank lines between: they are no rows


def write_list(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows, indent=1))


def write_csv(path: Path, rows: Rows) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "output"])
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)


def zipped(write: Callable[[Path, Rows], None]) -> Callable[[Path, Rows], None]:
    def write_zipped(path: Path, rows: Rows) -> None:
        plain = path.with_suffix("")
        write(plain, rows)
        path.write_bytes(gzip.compress(plain.read_bytes()))

    return write_zipped


KINDS = {
    "a.jsonl": write_jsonl,
    "a.json": write_list,
    "a.csv": write_csv,
    "a.parquet": write_parquet,
    "a.jsonl.gz": zipped(write_jsonl),
    "a.json.gz": zipped(write_list),
    "a.csv.gz": zipped(write_csv),
}

# Few different instructions, so that many rows are equal; an empty one is a bad row.
seeds = st.lists(
    st.fixed_dictionaries(
        {"instruction": st.sampled_from(["", "Mend a sock", 'Say "a,\nb"', "é"]), "output": st.sampled_from(["x", "y"])}
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None, max_examples=12)
@given(rows=seeds, limit=st.none() | st.integers(1, 14))
def test_reading_from_every_position_on_is_slicing(name: str, rows: Rows, limit: int | None) -> None:
    """Ids included: the occurrence number of an equal row counts what came before the start."""
    rows = [{"instruction": "Mend a bike", "output": "z"}, *rows]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_files, "BATCH", 3)
        path = Path(folder) / name
        KINDS[name](path, rows)
        data = load(path, skip_bad=True, limit=limit)
        whole = list(data)
        good = [position for position, row in enumerate(rows[:limit]) if row["instruction"]]
        assert [record.seed_index for record in whole] == good
        assert len({record.id for record in whole}) == len(whole)
        for start in range(len(rows) + 2):
            assert list(data.records(start)) == [record for record in whole if record.seed_index >= start]
            assert list(stage_input(path, before=None, skip_bad=True, limit=limit).records(start)) == [
                (record.seed_index, record) for record in whole if record.seed_index >= start
            ]


def check_reach(source: StageInput, *, middle: bool) -> None:
    """Every record is come to from where it is said, and from the middle where that is known."""
    whole = list(source.records())
    assert len(whole) == source.rows
    for number, record in enumerate(whole):
        start, before = source.reach(number)
        assert before <= number and (start > 0 or not middle or number < 4)
        assert list(source.records(start, before))[number - before :] == whole[number:]
        assert next(islice(source.records(start, before), number - before, None)) == record


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("limit", [None, 17])
def test_a_record_in_the_middle_is_come_to(
    name: str, bad: bool, limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "EVERY", 4)
    rows = [{"instruction": "" if bad and n == 5 else f"Mend sock {n % 7}", "output": "x"} for n in range(23)]
    KINDS[name](tmp_path / name, rows)
    source = stage_input(tmp_path / name, before=None, skip_bad=True, limit=limit)
    for _ in range(2):  # then also with what the first reading has noted
        check_reach(source, middle=not bad and name in {"a.jsonl", "a.parquet"})


@settings(deadline=None, max_examples=12)
@given(rows=seeds)
def test_lists_and_iterables_are_read_from_every_position_on_too(rows: Rows) -> None:
    rows = [{"instruction": "Mend a bike", "output": "z"}, *rows]
    for data in (load(rows, skip_bad=True), load((row for row in rows), skip_bad=True)):
        whole = list(data)
        for start in range(len(rows) + 2):
            assert list(data.records(start)) == [record for record in whole if record.seed_index >= start]


# What was checked is known again


def write_seeds(folder: Path, rows: int = 20) -> Path:
    """Every fourth row equals the one before it."""
    path = folder / "seeds.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"Mend sock {n - (n % 4 == 3)}"}) + "\n" for n in range(rows)))
    return path


def checked(path: Path, out: Path, **options: Any) -> StageInput:
    """Check data and keep what was found, as a stage does."""
    source = stage_input(path, before=None, out=out, **options)
    out.mkdir(exist_ok=True)
    source.keep(out)
    return source


class Checked(Exception):
    """Data was checked although nobody should have."""


@pytest.fixture
def no_check(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, checking data fails."""

    def fail(*_: object) -> None:
        raise Checked

    loading = import_module("evolvent.datasets.load")  # the package has a function of this name
    return lambda: monkeypatch.setattr(loading, "_check_all", fail)


def test_what_was_checked_is_not_checked_again(tmp_path: Path, no_check: Callable[[], None]) -> None:
    path = write_seeds(tmp_path)
    first = checked(path, tmp_path / "run")
    no_check()
    again = stage_input(path, before=None, out=tmp_path / "run")
    assert (again.about, again.rows, again.counts) == (first.about, first.rows, first.counts)
    assert again.counts == {"exact duplicates": 5}
    for start in range(21):
        assert list(again.records(start)) == list(first.records(start))
    again.keep(tmp_path / "run")  # and kept again it is still known
    assert list(stage_input(path, before=None, out=tmp_path / "run")) == list(first)


def test_bad_rows_that_were_found_are_known_again(tmp_path: Path, no_check: Callable[[], None]) -> None:
    path = write_seeds(tmp_path)
    path.write_text("{broken\n" * 7 + path.read_text())
    first = checked(path, tmp_path / "run", skip_bad=True)
    problems = load(path, skip_bad=True).problems
    no_check()
    again = load(path, skip_bad=True, known=next((tmp_path / "run").glob(".checked-*")))
    assert (again.skipped, again.rows, again.problems) == (7, 20, problems)
    assert list(again) == list(first)


def test_the_same_bytes_under_another_name_are_known(tmp_path: Path, no_check: Callable[[], None]) -> None:
    records = list(checked(write_seeds(tmp_path), tmp_path / "run"))
    other = tmp_path / "moved.jsonl"
    (tmp_path / "seeds.jsonl").rename(other)
    os.utime(other, (1, 1))
    no_check()
    again = stage_input(other, before=None, out=tmp_path / "run")
    assert (list(again), again.about["source"]) == (records, str(other))


@pytest.mark.parametrize("position", [0, 16, 17, -2, -1])
def test_a_changed_byte_is_seen(tmp_path: Path, position: int, no_check: Callable[[], None]) -> None:
    """Although neither the size nor the time of the file tells."""
    path = write_seeds(tmp_path)
    checked(path, tmp_path / "run")
    content, state = bytearray(path.read_bytes()), path.stat()
    content[position] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    no_check()
    with pytest.raises(Checked):
        stage_input(path, before=None, out=tmp_path / "run", format="alpaca")


@pytest.mark.parametrize(
    "options",
    [{"format": "alpaca"}, {"map": {"instruction": "instruction"}}, {"skip_bad": True}, {"limit": 3}],
)
def test_what_is_read_in_another_way_is_checked_again(
    tmp_path: Path, options: dict[str, Any], no_check: Callable[[], None]
) -> None:
    path = write_seeds(tmp_path)
    checked(path, tmp_path / "run")
    no_check()
    with pytest.raises(Checked):
        stage_input(path, before=None, out=tmp_path / "run", **options)


@pytest.mark.parametrize("content", [b"", b"no database", "half"])
def test_findings_that_were_cut_off_are_no_findings(tmp_path: Path, content: bytes | str) -> None:
    path = write_seeds(tmp_path)
    first = checked(path, tmp_path / "run")
    kept = next((tmp_path / "run").glob(".checked-*"))
    kept.write_bytes(content if isinstance(content, bytes) else kept.read_bytes()[:5000])
    again = stage_input(path, before=None, out=tmp_path / "run")
    assert (list(again), again.counts) == (list(first), first.counts)


def damage(kept: Path, how: str) -> None:
    """Damage what was found of checked data."""
    if how == "a folder":
        kept.unlink()
        (kept / "with").mkdir(parents=True)
    elif how == "a pipe":
        kept.unlink()
        os.mkfifo(kept)
    elif how == "a link":
        kept.rename(elsewhere := kept.with_name("elsewhere"))
        kept.symlink_to(elsewhere)
        elsewhere.write_text("somebody's")
    elif how == "unreadable":
        kept.chmod(0)
    else:
        with closing(sqlite3.connect(kept)) as database, database:
            if how == "a repeat":
                database.execute("UPDATE repeats SET occurrence = occurrence + 1")
            elif how == "no repeats":
                database.execute("DROP TABLE repeats")
            elif how == "words for numbers":
                database.execute("UPDATE repeats SET occurrence = 'two'")
            else:
                database.execute("UPDATE note SET content = ?", (how,))


@pytest.mark.parametrize(
    "how",
    ["a folder", "a pipe", "unreadable", "a repeat", "no repeats", "words for numbers", "[]", "{", "7"],
)
def test_damaged_findings_are_made_anew(how: str, tmp_path: Path, no_check: Callable[[], None]) -> None:
    path = write_seeds(tmp_path)
    records = list(checked(path, tmp_path / "run"))
    kept = next((tmp_path / "run").glob(".checked-*"))
    damage(kept, how)
    assert list(checked(path, tmp_path / "run")) == records
    no_check()
    assert list(stage_input(path, before=None, out=tmp_path / "run")) == records
    assert list((tmp_path / "run").iterdir()) == [kept]


def test_findings_are_not_written_through_a_link(tmp_path: Path) -> None:
    path = write_seeds(tmp_path)
    records = list(checked(path, tmp_path / "run"))
    kept = next((tmp_path / "run").glob(".checked-*"))
    damage(kept, "a link")
    assert list(checked(path, tmp_path / "run")) == records
    assert not kept.is_symlink() and (tmp_path / "run" / "elsewhere").read_text() == "somebody's"


def test_repeated_rows_are_sought_by_their_position(tmp_path: Path, no_check: Callable[[], None]) -> None:
    path, out = write_seeds(tmp_path), tmp_path / "run"
    records = list(checked(path, out))
    kept = next(out.glob(".checked-*"))
    with closing(sqlite3.connect(kept)) as database, database:
        query = "EXPLAIN QUERY PLAN SELECT position, occurrence FROM repeats WHERE position >= 3 ORDER BY position"
        assert ["SEARCH" in step and "TEMP" not in step for *_, step in database.execute(query)] == [True]
        database.execute("CREATE TABLE earlier AS SELECT * FROM repeats")  # as earlier versions have it
        database.execute("DROP TABLE repeats")
        database.execute("ALTER TABLE earlier RENAME TO repeats")
    no_check()
    assert list(stage_input(path, before=None, out=out)) == records


def test_a_flipped_bit_in_findings_is_seen(tmp_path: Path) -> None:
    path = write_seeds(tmp_path)
    first = checked(path, tmp_path / "run")
    kept = next((tmp_path / "run").glob(".checked-*"))
    whole = kept.read_bytes()
    written = [position for position, byte in enumerate(whole) if byte][::5]
    for position in written:
        kept.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        again = stage_input(path, before=None, out=tmp_path / "run")
        assert (again.about, again.rows, again.counts) == (first.about, first.rows, first.counts)
        assert list(again) == list(first), position


def test_several_may_keep_the_same_findings(tmp_path: Path, no_check: Callable[[], None]) -> None:
    path, out = write_seeds(tmp_path), tmp_path / "run"
    sources = [stage_input(path, before=None, out=out) for _ in range(4)]
    out.mkdir()
    with ThreadPoolExecutor(len(sources)) as pool:
        list(pool.map(lambda source: source.keep(out), sources))
    assert [kept.name for kept in out.iterdir()] == [".checked-seeds.sqlite"]
    no_check()
    assert list(stage_input(path, before=None, out=out)) == list(sources[0])


def test_data_that_is_no_file_leaves_no_findings(tmp_path: Path) -> None:
    source = stage_input([{"instruction": "Mend a sock"}], before=None, out=tmp_path)
    source.keep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert source.about["source"] == "list"


# The files of stages


def finish(folder: Path, statuses: str, stage: str = "evolve") -> Run:
    """A finished stage with a record for each letter: ok, failed, eliminated; rounds 0, 1, 2, 0, 1, 2 …"""
    status: dict[str, Any] = {"o": "ok", "f": "failed", "e": "eliminated"}
    with RunFolder(folder) as run:
        run.begin(stage, {}, {"digest": "a", "stage": "evolve" if stage == "respond" else None}, fresh=True)
        run.start(stage, {})
        output = Output(run.output(stage), len(statuses))
        for n, letter in enumerate(statuses):
            record = Record(f"s{n}", f"s{n}", n, f"Mend sock {n}", round=n % 3, status=status[letter])
            output.add(Placed(0, n, record), [record], lambda tally, row: tally.count(row, "all"))
            if output.is_full:
                output.write()
        tally = output.finish()
        return run.finish(stage, tally.summary(), {}, {})


SURVIVORS = Wanted(first_round=1)


@pytest.mark.parametrize("limit", [None, 7])
@pytest.mark.parametrize("wanted", [SURVIVORS, Wanted(None), Wanted(("failed",))])
def test_a_row_in_the_middle_of_a_run_is_come_to(tmp_path: Path, wanted: Wanted, limit: int | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "GROUP", 40)  # characters: a row group for every few rows
        run = finish(tmp_path, "oofoooeofooofffffffffffffffoooooooeeeeeo")
    assert pq.read_metadata(run.output).num_row_groups > 5
    check_reach(stage_input(run, before="evolve", wanted=wanted, limit=limit), middle=False)


@pytest.mark.parametrize("limit", [None, 1, 3, 99])
def test_of_a_run_what_is_wanted_is_taken_with_its_position(tmp_path: Path, limit: int | None) -> None:
    run = finish(tmp_path, "ooofoooeo")
    wanted = [1, 2, 4, 5, 8]
    for data in (run, tmp_path, str(tmp_path), run.output):
        source = stage_input(data, before="evolve", wanted=SURVIVORS, limit=limit)
        assert source.rows == min(5, limit or 5)
        for start in range(10):
            before = sum(n < start for n in wanted[:limit])
            found = [(position, record.seed_index) for position, record in source.records(start, before)]
            assert found == [(n, n) for n in wanted[:limit] if n >= start]
        assert [record.seed_index for record in source] == wanted[:limit]
        assert source.counts.get("rows left out", 0) == 9 - source.rows


def test_a_stages_digest_is_that_of_its_bytes_wherever_they_are(tmp_path: Path) -> None:
    output = finish(tmp_path, "ooo").output
    expected = hashlib.sha256(output.read_bytes()).hexdigest()
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(output.read_bytes())
    os.utime(output, (1, 1))
    for path in (output, copy):
        assert stage_input(path, before="evolve").about["digest"] == expected


def test_a_flipped_bit_anywhere_in_a_finished_file_is_refused_whatever_its_times_say(tmp_path: Path) -> None:
    output = finish(tmp_path, "ooo").output
    whole, times = output.read_bytes(), output.stat()
    for place in range(0, len(whole), 50):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        output.write_bytes(damaged)
        os.utime(output, ns=(times.st_atime_ns, times.st_mtime_ns))
        for data in (tmp_path, output):
            with pytest.raises(InputError, match=r"evolved\.parquet is not as the stage wrote it.*\nMake it anew"):
                stage_input(data, before="evolve")
    output.write_bytes(whole)
    assert stage_input(tmp_path, before="evolve").rows == 3


def test_another_content_has_another_digest(tmp_path: Path) -> None:
    digests = set()
    for n, statuses in enumerate(["ooo", "oof", "oooo"]):
        run = finish(tmp_path / str(n), statuses)
        digests.add(stage_input(run, before="evolve").about["digest"])
    assert len(digests) == 3


def test_a_file_that_is_replaced_meanwhile_is_seen(tmp_path: Path) -> None:
    run = finish(tmp_path, "ooo")
    source = stage_input(run, before="evolve")
    source.unchanged()
    content = run.output.read_bytes()
    run.output.unlink()
    run.output.write_bytes(content)
    with pytest.raises(InputError, match="has changed since it was opened"):
        source.unchanged()


@pytest.mark.parametrize("name", ["x" * 300, "nul\0", "\ud800"])
def test_a_run_folder_of_a_name_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        stage_input(write_seeds(tmp_path), before=None, out=tmp_path / name)


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("of_a_run", [True, False])
def test_a_file_that_is_edited_while_it_is_read_is_seen(of_a_run: bool, limit: int | None, tmp_path: Path) -> None:
    """By whoever reads it to its end, although neither its size nor its time tells."""
    if of_a_run:
        path = finish(tmp_path / "run", "ooo").output
        source = stage_input(path.parent, before="evolve", limit=limit)
    else:
        path = write_seeds(tmp_path)
        source = stage_input(path, before=None, limit=limit)
    reading = iter(source)
    next(reading)
    state = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(InputError, match="has changed since it was"):
        list(reading)


def test_a_missing_stage_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    run = finish(tmp_path, "ooo")
    with pytest.raises(InputError, match=r"has no responses\.parquet\nMake it with: evolvent respond .* --out"):
        stage_input(run, before="respond")
    with pytest.raises(InputError, match="is a run folder, not seeds"):
        stage_input(tmp_path, before=None)


def test_an_unfinished_or_stale_stage_is_not_taken(tmp_path: Path) -> None:
    finish(tmp_path, "ooo")
    finish(tmp_path, "ooo", "respond")
    with RunFolder(tmp_path) as run:
        run.begin("evolve", {}, {"digest": "a"}, fresh=True)
        run.start("evolve", {})
    with pytest.raises(InputError, match=r"evolved\.parquet is stale: evolve is not finished"):
        stage_input(tmp_path, before="evolve")
    with pytest.raises(InputError, match=r"responses\.parquet is stale: what it was made of was made anew"):
        stage_input(tmp_path, before="respond")
    # Nor by its own path, for a stage of the same folder, which would pass for one made of what is to come.
    with pytest.raises(InputError, match=r"evolved\.parquet is stale"):
        stage_input(tmp_path / "evolved.parquet", before="evolve", out=tmp_path)
    assert stage_input(tmp_path / "evolved.parquet", before="evolve", out=tmp_path / "other").rows == 3


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused(limit: int) -> None:
    with pytest.raises(InputError, match=f"limit is {limit}"):
        stage_input([{"instruction": "a"}], before=None, limit=limit)


def test_a_generator_is_read_once_and_no_further_than_the_limit() -> None:
    read = 0

    def rows() -> Iterator[dict[str, str]]:
        nonlocal read
        for n in range(100):
            read += 1
            yield {"instruction": f"Mend sock {n}"}

    source = stage_input(rows(), before=None, limit=4)
    assert [len(list(source)) for _ in range(2)] == [4, 4]
    assert read == 4


def test_an_input_can_be_sent_to_another_process(tmp_path: Path) -> None:
    run = finish(tmp_path, "ooofoooeo")
    seeds = write_seeds(tmp_path)
    for source in (
        stage_input(run, before="evolve", wanted=SURVIVORS, limit=3),
        stage_input(seeds, before=None, limit=7),
        Listed([Record("a", "a", 0, "Mend a sock")], {"source": "a list"}),
    ):
        sent = pickle.loads(pickle.dumps(source))
        assert (list(sent), sent.about, sent.rows, sent.counts) == (
            list(source),
            source.about,
            source.rows,
            source.counts,
        )
    with pytest.raises(InputError, match="cannot be sent to another process"):
        pickle.dumps(stage_input([{"instruction": "Mend a sock"}], before=None))


def test_the_ok_rows_of_a_run_are_seeds_of_their_own(tmp_path: Path) -> None:
    """A seed knows nothing of the run that its row was made in."""
    run = finish(tmp_path, "oof")
    seeds = list(stage_input(run.output, before=None))
    assert [(seed.instruction, seed.round, seed.parent_id) for seed in seeds] == [
        ("Mend sock 0", 0, None),
        ("Mend sock 1", 0, None),
    ]
    assert [seed.seed_index for seed in seeds] == [0, 1]
    assert all(seed.id == seed.seed_id for seed in seeds)
