"""Bad files and bad rows: what was wrong, where, and nothing used."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from evolvent.datasets import load, write
from evolvent.errors import InputError

GOOD = b'{"instruction":"Add.","input":"","output":"5"}\n'


def parquet(path: Path) -> bytes:
    write(load([{"instruction": f"Count to {n}."} for n in range(5000)]), path / "good.parquet", format="alpaca")
    return (path / "good.parquet").read_bytes()


FILES: list[tuple[str, bytes | Callable[[Path], bytes], str]] = [
    ("a.jsonl", b"", "a.jsonl is empty"),
    ("a.jsonl", b"\n \n", "has no rows"),
    ("a.json", b"[]", "has no rows"),
    ("a.csv", b"instruction,output\n", "has no rows"),
    ("a.jsonl", GOOD + b'{"instruction": "a"\n', r"line 2 \(row 2\): broken JSON: .* at character 2\d"),
    ("a.jsonl", GOOD + b"\n\n" + b"[1]\n", r"line 4 \(row 2\): a list, not an object"),
    ("a.jsonl", GOOD + b'{"instruction": "\xff"}\n', r"line 2 \(row 2\): not UTF-8: byte 0xff at byte 18"),
    ("a.jsonl", GOOD + b'{"instruction": "a\0b"}\n', r"line 2 \(row 2\): a NUL byte"),
    ("a.jsonl", GOOD + b'{"instruction": "a\\u0000b"}\n', r'line 2 \(row 2\): column "instruction" holds a NUL byte'),
    ("a.jsonl", GOOD + b'{"instruction": "a", "t": {"k": ["\\u0000"]}}\n', r'column "t.k.0" holds a NUL byte'),
    ("a.jsonl", GOOD + b'{"instruction": "\\ud800"}\n', r'line 2 \(row 2\): column "instruction" holds a lone surr'),
    ("a.jsonl", GOOD + b'{"instruction": 5}\n', r'line 2 .*column "instruction" is a number, not text \(mixed types\)'),
    ("a.jsonl", GOOD + b'{"instruction": "a", "output": true}\n', r'column "output" is true or false, not text'),
    ("a.jsonl", GOOD + b'{"instruction": " \\n"}\n', "the instruction is empty"),
    ("a.jsonl", GOOD + b'{"output": "a"}\n', 'column "instruction" is missing or null; columns found: output'),
    ("a.jsonl", GOOD + b'{"instruction": "a", "t": ' + b"[" * 1000 + b"]" * 1000 + b"}", "nested too deeply"),
    ("a.jsonl", GOOD.decode().encode("utf-16"), "is UTF-16"),
    ("a.csv", "instruction,output\n".encode("utf-16-le"), "is UTF-16LE, not UTF-8\nConvert it: iconv -f UTF-16LE "),
    ("a.json", GOOD.decode().encode("utf-16-be"), "is UTF-16BE"),
    ("a.json", GOOD.decode().encode("utf-32"), "is UTF-32,"),
    ("a.csv", "instruction\n\u00c4h?\n".encode("latin-1"), "is not UTF-8\nIf .* iconv -f WINDOWS-1252 -t UTF-8 a.csv"),
    ("a.jsonl", gzip.compress(GOOD, mtime=0), r"is compressed by gzip, not text\nRename it to a\.jsonl\.gz"),
    ("a.json", b"PAR1" + GOOD, r"is Parquet, not text\nRename it to a\.parquet"),
    ("a.csv", GOOD, r"is JSONL, not CSV\nRename it: a\.jsonl"),
    ("a.jsonl", b"instruction,output\nq,a\n", r"is CSV, not JSON\nRename it: a\.csv"),
    ("a.jsonl", b'{\n "instruction": "a"\n}\n' * 2, "holds JSON objects over several lines\nWrite .*jq -c . a.jsonl"),
    ("a.jsonl", b"[" * 100_000, "line 1"),
    ("a.json", b"[" + GOOD + b",\n5, " + GOOD + b"]", r"line 3 \(row 2\): a number, not an object"),
    ("a.json", b"[" + GOOD + b",\n{]}, " + GOOD + b"]", r"line 3: broken JSON: a } that closes nothing"),
    ("a.json", b"[" + GOOD + b",\n{:}, " + GOOD + b"]", r"line 3 \(row 2\): broken JSON"),
    ("a.json", b"[" + GOOD + b"," + GOOD, "line 2: broken JSON: what follows the row that ends here is not closed"),
    ("a.json", b"[" + GOOD + GOOD + b"]", "line 2: broken JSON: a comma is missing"),
    ("a.json", b"[" + GOOD + b",]", "line 2: broken JSON: a comma without a row"),
    ("a.json", b"[" + GOOD + b"]\n" + GOOD, "broken JSON: text follows the end of the list"),
    ("a.json", b'{\n "instruction": "a"\n}\n{\n', "holds JSON objects over several lines"),
    ("a.json", b'{\n "version": 1,\n "data": [' + GOOD + b"," + GOOD + b"]}", 'its key "data" holds 2 of them'),
    ("a.json", b'{"rows": [' + GOOD[:-1] + b"]}", 'is one JSON object, not a list of rows; its key "rows" holds 1 '),
    ("a.json", b'{"instruction": {"0": "a", "1": "b"}}', "holds columns, as pandas' to_json writes them"),
    ("a.json", b'{"data": {"train": [' + GOOD[:-1] + b"]}}", r"Take them out: jq -c '\.data\.train\[\]'"),
    ("a.json", b'{"rows": [{"row": ' + GOOD[:-1] + b'}], "features": []}', r"jq -c '\.rows\[\]\.row'"),
    ("a.json", b'{"a b": [' + GOOD[:-1] + b"]}", r"jq -c '\.\[\"a b\"\]\[\]'"),
    ("a.json", b'{"a": ' + GOOD[:-1] + b', "b": ' + GOOD[:-1] + b"}", r"of its 2 keys holds one\n.*jq -c '\.\[\]'"),
    ("a.json", b'{"instruction": ["a", "b"], "output": ["c", "d"]}', "holds columns, as pandas' to_json writes them"),
    ("a.json", b'{"columns": ["instruction"], "index": [0], "data": [["a"]]}', "holds columns, as pandas"),
    ("a.csv", b"Instruction,Out put\nq,a\n", "instruction=Instruction,output=Out put'"),
    ("a.csv", b"instruction,instruction\na,b\n", "column 'instruction' comes twice"),
    ("a.csv", b"instruction,output\na,b\n\nc\n", r"line 4 \(row 2\): 1 cells where the header has 2"),
    ("a.csv", b'instruction,output\na,b\n"c,d\n', "broken CSV in the row that begins at line 3"),
    ("a.csv", b"instruction,output\na,\xff\n", r'line 2 \(row 1\): column "output" is not UTF-8'),
    ("a.jsonl.gz", GOOD, "is not sound gzip data"),
    ("a.jsonl.gz", lambda _: gzip.compress(GOOD * 5000)[:-50], "is cut off"),
    ("a.parquet", b"PAR1" + GOOD, "not a sound Parquet file"),
    ("a.parquet", lambda path: parquet(path)[:-200], "not a sound Parquet file"),
    ("a.parquet", lambda path: b"PAR1" + b"\xff" * 3000 + parquet(path)[3004:], "not a sound Parquet file"),
    ("a.xlsx", GOOD, r"is of no kind that can be read"),
    ("a.parquet.gz", GOOD, r"is of no kind that can be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), FILES)
def test_a_bad_file(name: str, content: bytes | Callable[[Path], bytes], words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content(tmp_path) if callable(content) else content)
    with pytest.raises(InputError, match=words) as caught:
        list(load(path))
    assert name in str(caught.value)
    assert caught.value.fix


def test_no_file_a_folder_a_pattern(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*nothing.jsonl"):
        load(tmp_path / "nothing.jsonl")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="is a pattern"):
        load(f"{tmp_path}/*.jsonl")


def test_the_first_five_bad_rows_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"{\n" * 7 + GOOD)
    with pytest.raises(InputError) as caught:
        load(path)
    text = str(caught.value)
    assert "7 of 9 rows" in text and "and 2 more" in text and "--skip-bad" in text
    assert [f"line {n} (row {n})" in text for n in range(1, 9)] == [False] + [True] * 5 + [False] * 2
    data = load(path, skip_bad=True)
    assert (data.rows, data.skipped, len(data.problems)) == (2, 7, 5)
    assert [record.seed_index for record in data] == [0, 8]


def test_no_good_row_is_an_error_even_when_bad_ones_are_skipped() -> None:
    with pytest.raises(InputError, match="2 of 2 rows"):
        load([{"instruction": ""}, {"instruction": ""}], skip_bad=True)


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([], "is an empty list"),
        ("Hello", "is text, not a list of turns"),
        (["Hello"], r"messages\[0\] is text, not a turn"),
        ([{"role": "narrator", "content": "a"}], r"messages\[0\] has the role 'narrator'; known roles: system"),
        ([{"content": "a"}], r"messages\[0\] has no role"),
        ([{"role": "user"}], r"messages\[0\].content is missing"),
        ([{"role": "user", "content": 5}], r"messages\[0\].content is a number, not text"),
        ([{"role": "assistant", "content": "a"}], "has no user turn"),
        ([{"role": "user", "content": " "}], "the first user turn is empty"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], r"not text \(image_url\)"),
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "\0"}],
            r'"messages.1.content" holds a NUL',
        ),
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "\udc00"}],
            "messages.1.content.*surrogate",
        ),
    ],
)
def test_a_bad_conversation(turns: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load([{"messages": turns}])


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    for name, content in [
        ("a.jsonl", GOOD),
        ("a.json", b"[" + GOOD + b"]"),
        ("a.csv", b"instruction,output\nAdd.,5\n"),
    ]:
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
        assert [(record.instruction, record.output) for record in load(tmp_path / name)] == [("Add.", "5")]


def test_a_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"instruction": texts}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"1 of 3 rows .*\n.*row 2: a text that is not UTF-8"):
        load(tmp_path / "a.parquet")


LONG = "x" * 300


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("~no-such-user/a.jsonl", "~no-such-user/a.jsonl cannot be {}: .*home directory"),
        (f"{LONG}.jsonl", f"{LONG}.jsonl cannot be {{}}: File name too long"),
        (f"{LONG}/a.jsonl", "cannot be {}: File name too long"),
        ("a\0b.jsonl", "cannot be {}: embedded null byte"),
    ],
)
def test_a_path_that_the_system_refuses(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words.format("read")):
        load(name)
    with pytest.raises(InputError, match=words.format("written")):
        write([], name)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"a.jsonl cannot be read: Too many levels"):
        load(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"a.jsonl cannot be written: Too many levels"):
        write([], tmp_path / "a.jsonl")


def test_the_longest_name_that_the_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 249 + ".jsonl")
    write(load([{"instruction": "a"}]), path)
    assert load(path).rows == 1


def test_blanks_behind_the_commas_of_a_csv_file_are_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "spaced.csv"
    path.write_text('instruction, input, output\nName a river., , "The Nile, or the Po."\n')
    (record,) = load(path)
    assert (record.instruction, record.input, record.output) == ("Name a river.", "", "The Nile, or the Po.")
    path.write_text("instruction, mine\na, b\n")
    (record,) = load(path)
    assert record.meta == '{" mine":" b"}'
