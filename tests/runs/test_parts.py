"""A stage's output in parts: the same bytes however it was stopped, and nothing taken for whole that is not."""

import errno
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.call_store.used import Used
from evolvent.errors import InputError, RunError
from evolvent.files import replacing
from evolvent.models.protocols import Reply, Usage
from evolvent.records import COLUMNS, Column, Record, Status
from evolvent.runs import parts
from evolvent.runs.inputs import Listed
from evolvent.runs.part_files import NOTES, PartNote
from evolvent.runs.parts import (
    Output,
    Placed,
    drop_parts,
    earlier_file,
    keep_earlier,
    leave_out,
    parts_folder,
    parts_of,
    records_kept,
    reopen,
)
from evolvent.runs.record_files import read_records
from evolvent.runs.tally import Tally

IFD = Column("ifd")


class Stopped(Exception):
    """As a kill: nothing is tidied up after it."""


def seed(position: int) -> Record:
    return Record(f"s{position}", f"s{position}", position, f"Bake {position}")


def rows_of(record: Record, status: Status = "ok") -> list[Record]:
    """A record becomes itself and one row a digit of a number drawn by its position."""
    count = random.Random(record.seed_index).randrange(3)
    reason = None if status == "ok" else f"no {record.seed_index % 3}"
    made = [
        replace(record, id=f"{record.id}/r{n}", round=n, status=status, reason=reason, scores={"ifd": n / 7})
        for n in range(1, count + 2)
    ]
    return [replace(record, scores={"ifd": None}), *made]


def used_by(record: Record) -> dict[str, Used]:
    used = Used()
    used.count(Reply("x", "stop", Usage(record.seed_index, 1)))
    return {"m": used}


def count_round(tally: Tally, row: Record) -> None:
    if row.round:
        tally.count(row, f"round {row.round}")


@contextmanager
def part_of(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART", size)
        yield


def failed(tally: Tally) -> bool:
    return tally.status["failed"] > 0


def positions(total: int, gaps: bool) -> list[int]:
    """Where the records of an input stand; with gaps (rows that are skipped) every third position is empty."""
    return [position for position in range(2 * total + 2) if not (gaps and position % 3 == 1)][:total]


class Reader(Listed):
    """An input whose records stand at these positions."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__([seed(position) for position in places], {})

    def records(self, start: int = 0, before: int = 0) -> Iterator[tuple[int, Record]]:
        found = [(record.seed_index, record) for record in self.items]
        assert [position for position, _ in found[:before]] == [position for position, _ in found if position < start]
        return iter(found[before:])

    def reach(self, record: int) -> tuple[int, int]:
        return self.items[record].seed_index, record


def missing(output: Output, places: Sequence[int]) -> Iterator[Placed]:
    return output.places(output.missing(), Reader(places))


def work(
    path: Path,
    places: Sequence[int],
    *,
    stop_after: int | None = None,
    failing: frozenset[int] = frozenset(),
    seen: list[Placed] | None = None,
) -> Tally:
    """Work through what is missing; ``stop_after`` so many records as a kill would, without finishing anything."""
    output = Output(path, len(places), columns=[IFD])
    for number, place in enumerate(missing(output, places)):
        if number == stop_after:
            raise Stopped
        if seen is not None:
            seen.append(place)
        output.add(place, rows_of(place.record, "failed" if place.position in failing else "ok"), count_round)
        output.use(used_by(place.record))
    return output.finish()


def bytes_of(places: Sequence[int], size: int, failing: frozenset[int] = frozenset()) -> tuple[bytes, Tally]:
    """The file of an undisturbed run, and its tally."""
    with TemporaryDirectory() as folder, part_of(size):
        path = Path(folder) / "evolved.parquet"
        tally = work(path, places, failing=failing)
        return path.read_bytes(), tally


def test_parts_are_cut_by_the_input_alone(tmp_path: Path) -> None:
    path = tmp_path / "evolved.parquet"
    with part_of(4):
        tally = work(path, positions(10, gaps=True))
    metadata = pq.read_metadata(path)
    sizes = [sum(len(rows_of(seed(p))) for p in positions(10, gaps=True)[at : at + 4]) for at in (0, 4, 8)]
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == sizes
    assert tally.used == {"m": Used(10, sum(positions(10, gaps=True)), 10)}
    assert tally.rows == sum(sizes) - 10
    expected = [row for p in positions(10, gaps=True) for row in rows_of(seed(p))]
    assert list(read_records(path)) == expected


@settings(deadline=None, max_examples=15)
@given(
    total=st.integers(0, 30),
    gaps=st.booleans(),
    size=st.integers(1, 8),
    stops=st.lists(st.integers(0, 30), max_size=4),
    lost=st.sets(st.integers(0, 29), max_size=4),
)
def test_the_same_bytes_however_often_and_wherever_it_was_stopped(
    total: int, gaps: bool, size: int, stops: list[int], lost: set[int]
) -> None:
    """Stopped after so many records, and parts lost in the middle: nothing that is kept is worked through again."""
    places = positions(total, gaps)
    with TemporaryDirectory() as folder, part_of(size):
        path = Path(folder) / "evolved.parquet"
        for stop in stops:
            try:
                work(path, places, stop_after=stop)
            except Stopped:
                assert not path.exists()
        for number in lost:
            (parts_folder(path) / f"{number:06}.parquet").unlink(missing_ok=True)
        kept = {int(file.stem) for file in parts_folder(path).glob("*.parquet")} if stops else set()
        seen: list[Placed] = []
        tally = work(path, places, seen=seen)
        missing = [number for number in range(total) if number // size not in kept]
        assert [(place.part, place.position) for place in seen] == [(n // size, places[n]) for n in missing]
        assert (path.read_bytes(), tally) == bytes_of(places, size)


@settings(deadline=None, max_examples=15)
@given(
    total=st.integers(1, 25),
    size=st.integers(1, 6),
    failing=st.frozensets(st.integers(0, 24), max_size=6),
    stop=st.integers(0, 25),
)
def test_failures_reopened_and_mended_give_the_same_bytes_as_no_failures(
    total: int, size: int, failing: frozenset[int], stop: int
) -> None:
    places = positions(total, gaps=False)
    failing = failing & {*places}
    with TemporaryDirectory() as folder, part_of(size):
        path = Path(folder) / "evolved.parquet"
        work(path, places, failing=failing)
        before = path.read_bytes()
        reopen(path, "", failed)
        assert path.read_bytes() == before  # the old one stays until the new one is there
        assert {int(file.stem) for file in parts_folder(path).iterdir()} == {n // size for n in places} - {
            n // size for n in failing
        }
        seen: list[Placed] = []
        for stop_after in (stop, None):
            try:
                work(path, places, stop_after=stop_after, seen=seen)
            except Stopped:
                continue
            break
        assert {place.part for place in seen} <= {n // size for n in failing}
        whole, counted = bytes_of(places, size)
        assert path.read_bytes() == whole
        if total:
            assert work(path, places) == counted


def test_reopen_begins_again_where_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "evolved.parquet"
    with part_of(2):
        work(path, positions(8, gaps=False), failing=frozenset([3]))
        reopen(path, "", failed)
        (parts_folder(path) / "000003.parquet").unlink()  # as if it had been killed before
        (parts_folder(path) / "000002.parquet.part").write_bytes(b"half")
        reopen(path, "", failed)
    assert sorted(file.name for file in parts_folder(path).iterdir()) == [f"00000{n}.parquet" for n in (0, 2, 3)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("000001.parquet", b""),
        ("000001.parquet", b"PAR1 not really PAR1"),
        ("000001.parquet", "half"),
        ("000001.parquet", "other"),
        ("000001.parquet", "no note"),
        ("000001.parquet", "bare"),
        ("000001.parquet.part", "whole"),
        ("notes.txt", b"mine"),
        ("000000 (copy).parquet", "whole"),
        ("copy.parquet", "whole"),
    ],
)
def test_what_is_no_whole_part_is_removed_and_made_again(tmp_path: Path, name: str, content: bytes | str) -> None:
    path = tmp_path / "evolved.parquet"
    places = positions(9, gaps=True)
    with part_of(3):
        with pytest.raises(Stopped):
            work(path, places, stop_after=7)
        folder = parts_folder(path)
        whole = (folder / "000001.parquet").read_bytes()
        other = {"evolvent.parts": "{}"} if content == "other" else {}
        pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(other), tmp_path / "foreign")
        foreign = (tmp_path / "foreign").read_bytes()
        with pq.ParquetWriter(tmp_path / "bare", pa.schema([("a", pa.int64())]), store_schema=False) as bare:
            bare.write_table(pa.table({"a": [1]}))
        found = {
            "bare": (tmp_path / "bare").read_bytes(),
            "half": whole[: len(whole) // 2],
            "whole": whole,
            "other": foreign,
            "no note": foreign,
        }
        (folder / name).write_bytes(content if isinstance(content, bytes) else found[content])
        seen: list[Placed] = []
        work(path, places, seen=seen)
    assert len(seen) == (6 if name == "000001.parquet" else 3)
    assert path.read_bytes() == bytes_of(places, 3)[0]


@pytest.mark.parametrize("byte", [0, 5, 100, -5, -100, -400])
def test_a_part_with_a_flipped_bit_is_made_again(tmp_path: Path, byte: int) -> None:
    path = tmp_path / "evolved.parquet"
    places = positions(6, gaps=False)
    with part_of(3):
        with pytest.raises(Stopped):
            work(path, places, stop_after=4)
        flip(parts_folder(path) / "000000.parquet", byte)
        seen: list[Placed] = []
        work(path, places, seen=seen)
    assert len(seen) == 6
    assert path.read_bytes() == bytes_of(places, 3)[0]


def test_a_part_that_is_damaged_while_the_next_ones_are_made_is_named_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "evolved.parquet"
    places = positions(6, gaps=False)
    with part_of(3):
        output = Output(path, 6, columns=[IFD])
        for place in missing(output, places):
            output.add(place, rows_of(place.record), count_round)
            output.use(used_by(place.record))
        flip(parts_folder(path) / "000000.parquet", 100)
        with pytest.raises(RunError, match=r"000000\.parquet is damaged"):
            output.finish()
        assert not path.exists()
        work(path, places)
    assert path.read_bytes() == bytes_of(places, 3)[0]


def test_a_part_is_taken_for_none_but_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither for that of another number, nor for that of another run."""
    path, other = tmp_path / "evolved.parquet", tmp_path / "other.parquet"
    places = positions(9, gaps=False)
    with part_of(3):
        with pytest.raises(Stopped):
            work(path, places, stop_after=7)
        folder = parts_folder(path)
        (folder / "000001.parquet").write_bytes((folder / "000000.parquet").read_bytes())
        output = Output(other, 9, columns=[IFD], of="another run")
        for place in islice(missing(output, places), 4):
            output.add(place, rows_of(place.record), count_round)
        (folder / "000000.parquet").write_bytes((parts_folder(other) / "000000.parquet").read_bytes())
        seen: list[Placed] = []
        work(path, places, seen=seen)
    assert len(seen) == 9
    assert [record.getMessage().partition(" is ")[2] for record in caplog.records] == 2 * [
        "damaged, or no part of this: it is not used"
    ]
    assert path.read_bytes() == bytes_of(places, 3)[0]


def flip(path: Path, byte: int) -> None:
    """Turn one bit of a file."""
    content = bytearray(path.read_bytes())
    content[byte] ^= 4
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("stop", [None, 1, 4, 7])
def test_long_rows_are_written_as_they_come_and_the_bytes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int | None
) -> None:
    monkeypatch.setattr(parts, "GROUP", 30)
    places = positions(8, gaps=False)
    path, whole = tmp_path / "evolved.parquet", tmp_path / "whole.parquet"

    def work_long(path: Path, stop_after: int | None = None) -> None:
        output = Output(path, 8, columns=[IFD])
        for number, place in enumerate(missing(output, places)):
            if number == stop_after:
                raise Stopped
            output.add(place, rows_of(place.record), count_round)
            output.use(used_by(place.record))
            if output.is_full:
                output.write()
        output.finish()

    with part_of(4):
        if stop is not None:
            with pytest.raises(Stopped):
                work_long(path, stop)
        work_long(path)
        work_long(whole)
        assert path.read_bytes() == whole.read_bytes()
        assert [row.id for row in read_records(path)] == [row.id for p in places for row in rows_of(seed(p))]
        assert pq.read_metadata(path).num_row_groups > 2
        reopen(path, "", failed)
        seen = list(missing(Output(path, 8, columns=[IFD]), places))
        assert seen == []
        work_long(path)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("given_", [0, 5, 7, 9])
def test_an_input_that_gives_fewer_records_than_were_counted(tmp_path: Path, given_: int) -> None:
    path = tmp_path / "evolved.parquet"
    output = Output(path, 10, columns=[IFD])
    with part_of(3):
        for place in missing(output, positions(given_, gaps=False)):
            output.add(place, rows_of(place.record), count_round)
        with pytest.raises(RunError, match=f"gave {given_} records, not the 10 that were counted"):
            output.finish()
    assert not path.exists()


def test_of_an_input_that_gives_more_records_only_those_that_were_counted_are_taken(tmp_path: Path) -> None:
    with part_of(3):
        output = Output(tmp_path / "evolved.parquet", 4)
        assert [place.position for place in missing(output, positions(9, gaps=False))] == [0, 1, 2, 3]


def test_nothing_is_kept_of_an_input_that_changes_meanwhile(tmp_path: Path) -> None:
    changed = False

    def unchanged() -> None:
        if changed:
            raise InputError("seeds.jsonl has changed")

    path = tmp_path / "evolved.parquet"
    with part_of(3):
        output = Output(path, 9, unchanged, [IFD])
        with pytest.raises(InputError, match="has changed"):
            for place in missing(output, positions(9, gaps=False)):
                changed = place.position >= 5
                output.add(place, rows_of(place.record), count_round)
        assert [file.name for file in parts_folder(path).iterdir()] == ["000000.parquet"]


def test_what_was_counted_before_a_stop_counts_after_it(tmp_path: Path) -> None:
    path = tmp_path / "evolved.parquet"
    places = positions(9, gaps=False)
    with part_of(3):
        with pytest.raises(Stopped):
            work(path, places, stop_after=8)
        output = Output(path, 9, columns=[IFD])
        assert output.records_done == 6
        assert output.tally() == bytes_of(places[:6], 3)[1]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
turns = st.none() | st.lists(st.fixed_dictionaries({"role": texts, "content": texts}), max_size=3)
records = st.builds(
    Record,
    texts,
    texts,
    st.integers(0, 2**63 - 1),
    texts,
    texts,
    texts,
    turns,
    st.none() | texts,
    st.integers(0, 2**31 - 1),
    *[st.none() | texts] * 6,
    st.sampled_from(["ok", "eliminated", "failed"]),
    st.none() | texts,
    st.fixed_dictionaries({"ifd": st.none() | st.floats(allow_nan=False, allow_infinity=False)}),
    st.none() | texts,
)


@settings(deadline=None, max_examples=40)
@given(st.lists(records, min_size=1, max_size=5))
def test_any_record_comes_back_as_it_was(found: list[Record]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "evolved.parquet"
        output = Output(path, 1, columns=[IFD])
        output.add(Placed(0, 0, found[0]), found, lambda *_: None)
        output.finish()
        assert list(read_records(path)) == found
        assert pq.read_schema(path).names == [*COLUMNS, "ifd"]
        reopen(path, "", failed)
        again = Output(path, 1, columns=[IFD])
        before = path.read_bytes()
        again.finish()
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\u2028\u2029", "\ufeff", "\U0001f600", '"\\\n\r\t', "null", "2020-01-01", "1e999", "{}"]
)
def test_texts_that_are_hard_to_carry(tmp_path: Path, text: str) -> None:
    record = Record(text, text, 0, text, text, text, [{"role": text, "content": text}], meta=text)
    path = tmp_path / "evolved.parquet"
    output = Output(path, 1)
    output.add(Placed(0, 0, record), [record], lambda *_: None)
    output.finish()
    assert list(read_records(path)) == [record]


def test_a_row_of_20_megabytes(tmp_path: Path) -> None:
    huge = "x\n" * 10_000_000
    record = replace(seed(0), output=huge, messages=[{"role": "user", "content": "Bake"}])
    path = tmp_path / "responses.parquet"
    output = Output(path, 3)
    for number in range(3):
        output.add(Placed(0, number, record), [record if number == 1 else seed(number)], lambda *_: None)
    output.finish()
    assert [row.output == huge for row in read_records(path)] == [False, True, False]


def test_nothing_unfinished_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "evolved.parquet"
    output = Output(path, 1)
    output.add(Placed(0, 0, seed(0)), [replace(seed(0), instruction="\ud800")], lambda *_: None)
    with pytest.raises(TypeError):  # a lone surrogate: nothing that JSON or a file could hold
        output.finish()
    assert list(parts_folder(path).iterdir()) == []
    assert not path.exists()


def test_the_order_in_which_models_answered_does_not_matter(tmp_path: Path) -> None:
    files = set()
    for order in (["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]):
        path = tmp_path / "".join(order) / "responses.parquet"
        path.parent.mkdir()
        output = Output(path, 1)
        output.add(Placed(0, 0, seed(0)), [seed(0)], lambda *_: None)
        output.use({uri: Used(calls=1) for uri in order})
        assert list(output.finish().used) == ["a", "b", "c"]
        files.add(path.read_bytes())
    assert len(files) == 1


def test_a_folder_that_went_away_is_named(tmp_path: Path) -> None:
    path = tmp_path / "evolved.parquet"
    output = Output(path, 1)
    output.add(Placed(0, 0, seed(0)), [seed(0)], lambda *_: None)
    parts_folder(path).rmdir()
    with pytest.raises(RunError, match="went away"):
        output.finish()


@pytest.mark.parametrize("links", [True, False])
def test_the_earlier_file_is_kept_whether_the_file_system_has_links_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"earlier")
    keep_earlier(path)
    with replacing(path, of_run=True) as file:
        file.write(b"later")
    assert (earlier_file(path).read_bytes(), path.read_bytes()) == (b"earlier", b"later")


def test_parts_are_dropped_whether_there_are_any_or_not(tmp_path: Path) -> None:
    path = tmp_path / "evolved.parquet"
    drop_parts(path)
    with part_of(1), pytest.raises(Stopped):
        work(path, positions(3, gaps=False), stop_after=2)
    drop_parts(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["evolvent.runs.part_files.write_group", "evolvent.runs.parts.write_group"])
def test_a_full_disk_is_no_damaged_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Neither while a part is written, nor while parts are joined."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "evolved.parquet"
    with monkeypatch.context() as patch, part_of(3):
        patch.setattr(where, full)
        with pytest.raises(RunError, match="no space is left to write"):
            work(path, positions(6, gaps=False))
    assert list(tmp_path.rglob("*.tmp")) == []
    with part_of(3):
        work(path, positions(6, gaps=False))
    assert path.read_bytes() == bytes_of(positions(6, gaps=False), 3)[0]


@pytest.mark.parametrize("place", range(0, 1200, 7))
def test_a_note_that_is_damaged_is_none(tmp_path: Path, place: int) -> None:
    path = tmp_path / "evolved.parquet"
    with part_of(3):
        with pytest.raises(Stopped):
            work(path, positions(6, gaps=False), stop_after=4)
        file = parts_folder(path) / "000000.parquet"
        content = file.read_bytes()
        note = content.index(NOTES)
        file.write_bytes(content[: note + place] + bytes([content[note + place] ^ 1]) + content[note + place + 1 :])
        assert records_kept(path) in (0, 3)
        leave_out(path, "", lambda _: True)
        assert file.exists()


def test_what_is_noted_of_all_parts_can_be_read_again() -> None:
    """pyarrow reads no text of 100 MB in a footer; the notes of 10^9 records in parts of 2,048 would have more."""
    words = {f"openai:model-{n}?base_url=http://a-host-of-some-length:8000/v1": Used() for n in range(4)}
    groups = {f"round {n}": Counter(ok=2000, failed=48, eliminated=3) for n in range(4)}
    note = PartNote(10**9, 2**15, Tally(Counter(ok=2000), groups, Counter({"HTTP 500: " + 300 * "x": 9}), used=words))
    assert len(orjson.dumps([note] * len(parts_of(10**9, 1)))) < 10**8
