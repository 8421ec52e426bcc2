"""What a training file holds, and that it appears whole or not at all."""

import json
import os
import resource
import signal
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from evolvent.datasets import load, write
from evolvent.datasets.render import render
from evolvent.errors import EvolventError, InputError
from evolvent.records import Record
from evolvent.runs.convert import convert

MULTI = [
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    {"messages": [{"role": role, "content": "c"} for role in ("user", "assistant", "user", "assistant")]},
    {"messages": [{"role": "user", "content": "d"}, {"role": "user", "content": "e"}]},
    {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "f"}], "k": 1},
]


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_golden_rows_of_each_format(tmp_path: Path) -> None:
    seeds = load([{"instruction": "Add.", "input": "2, 3", "output": "5", "system": "Be brief.", "level": 1}])
    user = {"role": "user", "content": "Add.\n2, 3"}
    system = {"role": "system", "content": "Be brief."}
    reply = {"role": "assistant", "content": "5"}
    expected = {
        "messages": {"messages": [system, user, reply], "level": 1},
        "prompt_completion": {"prompt": [system, user], "completion": [reply], "level": 1},
        "sharegpt": {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Add.\n2, 3"},
                {"from": "gpt", "value": "5"},
            ],
            "level": 1,
        },
        "alpaca": {"instruction": "Add.", "input": "2, 3", "output": "5", "system": "Be brief.", "level": 1},
    }
    for format, row in expected.items():
        assert write(seeds, tmp_path / "out.jsonl", format=format).written == 1
        assert rows_of(tmp_path / "out.jsonl") == [row]


def test_our_columns_stand_in_meta_and_the_users_beside_it(tmp_path: Path) -> None:
    record = Record(
        "s/r1/t", "s", 4, "Add.", output="5", parent_id="s", round=1, method="evol-instruct", operator="deepening",
        prompt_version="v1", evolver="embedded", teacher="hf:t", finish_reason="stop",
        scores={"ifd": 0.5, "ic_ifd": None},
        meta='{"id":"theirs","meta":{"a":1}}',
    )  # fmt: skip
    write([record], tmp_path / "out.jsonl")
    [row] = rows_of(tmp_path / "out.jsonl")
    assert row == {
        "messages": [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "5"}],
        "id": "theirs",
        "meta": {
            "id": "s/r1/t", "seed_id": "s", "seed_index": 4, "parent_id": "s", "round": 1, "method": "evol-instruct",
            "operator": "deepening", "prompt_version": "v1", "evolver": "embedded", "teacher": "hf:t",
            "finish_reason": "stop", "status": "ok", "reason": None, "scores": {"ifd": 0.5, "ic_ifd": None},
            "_columns": {"meta": {"a": 1}},
        },
    }  # fmt: skip
    # Read again, it is a seed with its history among the user's columns, and stays so.
    [again] = load(tmp_path / "out.jsonl")
    assert (again.instruction, again.output, again.round) == ("Add.", "5", 0)
    write([again], tmp_path / "again.jsonl")
    assert rows_of(tmp_path / "again.jsonl") == [row]


def test_a_new_answer_ends_the_conversation_it_does_not_belong_to(tmp_path: Path) -> None:
    messages = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user", "assistant")]
    [seed] = load([{"messages": messages}])
    seed.output, seed.teacher = "new", "embedded"
    write([seed], tmp_path / "out.jsonl")
    [row] = rows_of(tmp_path / "out.jsonl")
    assert row["messages"] == [*messages[:2], {"role": "assistant", "content": "new"}]


def test_several_turns_into_alpaca_are_counted(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match=r"2 of 4 records have more than one turn.*\(input rows 2, 3\)"):
        convert(MULTI, out, to="alpaca")
    assert list(tmp_path.iterdir()) == []
    counts = convert(MULTI, out, to="alpaca", skip_bad=True)
    assert (counts.rows, counts.written, counts.multi_turn, counts.skipped) == (4, 2, 2, 0)
    assert rows_of(out) == [
        {"instruction": "a", "input": "", "output": "b"},
        {"instruction": "f", "input": "", "output": "", "system": "s", "k": 1},
    ]


def test_convert_counts(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"q":"a"}\n{"q":"a"}\n{"q":7}\n{"q":"b"}\n{"q":"c"}\n')
    counts = convert(
        tmp_path / "in.jsonl", tmp_path / "out.json", to="messages", map={"instruction": "q"}, skip_bad=True, limit=4
    )
    assert (counts.rows, counts.skipped, counts.duplicates, counts.written) == (3, 1, 1, 3)
    assert (counts.format, counts.to) == ("alpaca", "messages")
    assert [problem.line for problem in counts.problems] == [3]
    assert len(json.loads((tmp_path / "out.json").read_text())) == 3
    assert str(counts) == "3 rows of alpaca written as messages; 1 bad row left out; 1 duplicate among them"
    counts = convert(MULTI, tmp_path / "out.json", to="alpaca", skip_bad=True)
    assert str(counts) == "2 rows of messages written as alpaca; 2 rows of several turns left out"


def test_data_that_changes_while_it_is_converted_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"instruction": "q{n}"}}\n' for n in range(3)))
    state, writing = path.stat(), import_module("evolvent.datasets.write")

    def rendered(record: Record, format: str, **how: bool) -> object:
        path.write_text(path.read_text().replace("q2", "p2"))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        return render(record, format, **how)

    monkeypatch.setattr(writing, "render", rendered)
    with pytest.raises(InputError, match="has changed since it was checked"):
        convert(path, tmp_path / "out.jsonl", to="messages")
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 of 2 records have more than one turn.*Nothing was written"):
        convert(MULTI[1:3], tmp_path / "out.json", to="alpaca", skip_bad=True)
    assert list(tmp_path.iterdir()) == []


def test_wrong_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kind that can be written"):
        write([], tmp_path / "out.txt")
    with pytest.raises(InputError, match="There is no format 'turns'"):
        write([], tmp_path / "out.json", format="turns")
    with pytest.raises(InputError, match="is a folder"):
        (tmp_path / "dir.json").mkdir()
        write([], tmp_path / "dir.json")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/out.json cannot be written: .*/file is no folder"):
        write([], tmp_path / "file" / "out.json")


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet", "jsonl.gz"])
def test_a_failure_on_the_way_leaves_the_old_file_and_no_other(kind: str, tmp_path: Path) -> None:
    out = tmp_path / f"out.{kind}"
    write(load([{"instruction": "old"}]), out)
    before = out.read_bytes()

    def records() -> Iterator[Record]:
        yield Record("a", "a", 0, "new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(records(), out)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write(load([{"instruction": "a"}]), tmp_path / "out.jsonl")
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def error_of_child(work: Callable[[], object]) -> str:
    """Run work in a child process, which may give up rights that it cannot take back; its error in words."""
    read, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            words = "no error"
        except EvolventError as error:
            words = f"{type(error).__name__}: {error}"
        except BaseException:
            words = traceback.format_exc()
        os.write(write_end, words.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read) as pipe:
        words = pipe.read()
    os.waitpid(child, 0)
    return words


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_read_only_folder(kind: str) -> None:
    def work() -> None:
        if os.getuid() == 0:  # root may write everywhere
            os.setgid(65534)
            os.setuid(65534)
        write([Record("a", "a", 0, "a")], folder / f"out.{kind}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        words = error_of_child(work)
        left = list(folder.iterdir())
        folder.chmod(0o755)
    assert words.startswith("InputError:") and f"out.{kind} cannot be written: Permission denied" in words
    assert left == []


@pytest.mark.parametrize("purpose", ["read", "written"])
def test_a_folder_that_may_not_be_entered(purpose: str) -> None:
    def work() -> None:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        load(folder / "a.jsonl") if purpose == "read" else write([], folder / "a.jsonl")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0)
        words = error_of_child(work)
        folder.chmod(0o755)
    assert words.startswith("InputError:") and f"a.jsonl cannot be {purpose}: Permission denied" in words


@pytest.mark.parametrize("kind", ["json", "jsonl", "jsonl.gz", "csv", "parquet"])
def test_a_full_disk(kind: str, tmp_path: Path) -> None:
    def work() -> None:
        # The limit on a file's size fails as a full disk does: in the middle of a write.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        write((Record(str(n), str(n), n, os.urandom(500).hex()) for n in range(5000)), tmp_path / f"out.{kind}")

    words = error_of_child(work)
    assert words.startswith("RunError: no space is left to write"), words
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_reading(tmp_path: Path) -> None:
    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        load({"instruction": "x" * 1000} for _ in range(5000))

    assert error_of_child(work).startswith("RunError: no space is left to write temporary files")


def test_a_full_disk_while_duplicates_are_counted() -> None:
    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        load([{"instruction": str(n)} for n in range(200_000)])

    assert error_of_child(work).startswith("RunError: Duplicates cannot be counted")
