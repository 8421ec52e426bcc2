import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.errors import InputError
from evolvent.records import Record
from evolvent.selection.decontamination import contaminated, load_ngrams, ngrams
from evolvent.selection.select import LOWER_IS_KEPT, parse_top, select


def rows(path: Path, count: int = 20) -> Path:
    """Rows with a score that goes up and down, every fifth without one."""
    with path.open("w") as file:
        for n in range(count):
            quality = None if n % 5 == 4 else (n * 7) % count
            row = {"instruction": f"Question {n}?", "output": f"Answer {n}.", "quality": quality, "length": n}
            file.write(json.dumps(row) + "\n")
    return path


def chosen(path: Path) -> list[str]:
    return [json.loads(line)["messages"][0]["content"] for line in path.read_text().splitlines()]


@given(st.integers(0, 10**6), st.integers(1, 10000))
def test_top_is_the_integer_part_computed_exactly(n: int, hundredths: int) -> None:
    assert parse_top(f"{hundredths / 100:.2f}%")(n) == n * hundredths // 10000


def test_29_percent_of_100_is_29() -> None:
    assert int(100 * 0.29) == 28  # what floats would give
    assert parse_top("29%")(100) == 29
    assert parse_top("10")(3) == 3


@pytest.mark.parametrize("text", ["", "0%", "0", "101%", "-5%", "25 percent", "1.5", "nan%", "ten"])
def test_bad_tops(text: str) -> None:
    with pytest.raises(InputError, match="--top"):
        parse_top(text)


def test_the_best_in_the_order_of_the_data(tmp_path: Path) -> None:
    done = select(rows(tmp_path / "in.jsonl"), by="quality", top="25%", out=tmp_path / "out.jsonl")
    scores = {n: (n * 7) % 20 for n in range(20) if n % 5 != 4}
    best = sorted(scores, key=lambda n: -scores[n])[: len(scores) // 4]
    assert chosen(tmp_path / "out.jsonl") == [f"Question {n}?" for n in sorted(best)]
    assert done.counts == {"rows": 20, "without quality": 4, "competing": 16, "selected": 4}
    note = json.loads(done.note.read_text())
    assert note["how"]["by"] == "quality"
    assert note["last_score"] == min(scores[n] for n in best)


def test_ascending_and_where(tmp_path: Path) -> None:
    done = select(
        rows(tmp_path / "in.jsonl"),
        by="quality",
        top="2",
        ascending=True,
        where=["length>=10"],
        out=tmp_path / "o.jsonl",
    )
    scores = {n: (n * 7) % 20 for n in range(10, 20) if n % 5 != 4}
    assert set(chosen(tmp_path / "o.jsonl")) == {f"Question {n}?" for n in sorted(scores, key=scores.__getitem__)[:2]}
    assert done.counts["where not met"] == 8


def test_ties_are_broken_by_id(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"q{n}", "output": "a", "s": 1}) + "\n" for n in range(9)))
    from evolvent.datasets.load import load

    first = sorted(load(path), key=lambda record: record.id)[:3]
    select(path, by="s", top="3", out=tmp_path / "o.jsonl")
    assert set(chosen(tmp_path / "o.jsonl")) == {record.instruction for record in first}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top": "1%"}, "nothing is selected"),
        ({"by": "nope"}, "no column nope"),
        ({"where": ["nope<1"]}, "no column nope"),
        ({"where": ["length>99"]}, "nothing is selected"),
    ],
)
def test_nothing_selected_is_an_error_and_writes_nothing(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    chosen_options = {"by": "quality", "top": "50%", **options}
    with pytest.raises(InputError, match=words):
        select(rows(tmp_path / "in.jsonl"), out=tmp_path / "out.jsonl", **chosen_options)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_column_of_text_is_no_column_to_go_by(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    row = {"instruction": "q", "output": "a", "topic": "home", "good": True, "s": 1, "none": None}
    path.write_text(json.dumps(row) + "\n")
    columns = r"\nColumns of numbers: round, s, seed_index\.$"
    with pytest.raises(
        InputError, match=rf"^topic holds no number \(in the first row that has it: 'home'\).*{columns}"
    ):
        select(path, by="topic", top="1", out=tmp_path / "o.jsonl")
    with pytest.raises(InputError, match=rf"^no column nope; good holds no number .*'True'\) in .*{columns}"):
        select(path, by="nope", where="good>0", top="1", out=tmp_path / "o.jsonl")
    with pytest.raises(InputError, match=r"nothing is selected.*\(1 without none\)"):
        select(path, by="none", top="1", out=tmp_path / "o.jsonl")


THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"


def test_thirteen_words_in_a_row_contaminate(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": f"Count: {THIRTEEN} fourteen."}) + "\n")
    tests = load_ngrams([tmp_path / "test.jsonl"])

    def found(instruction: str, output: str = "") -> bool:
        return contaminated(Record("a", "a", 0, instruction, output=output), tests)

    assert found(f"Say {THIRTEEN.upper()}!")
    assert found("Say it", output=THIRTEEN.replace(" ", ", "))
    assert not found(THIRTEEN.replace("seven", "7"))
    assert not found(" ".join(THIRTEEN.split()[1:]))


@given(st.text(max_size=300))
def test_ngrams_are_as_many_as_there_are_runs(text: str) -> None:
    import re

    words = re.findall(r"\w+", text.casefold())
    assert len(list(ngrams(text))) == max(0, len(words) - 12)


def test_contaminated_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = [{"instruction": THIRTEEN if n == 7 else f"q{n}", "output": "a", "s": n} for n in range(8)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "test.txt").write_text(f"intro\n{THIRTEEN}\n")
    done = select(path, by="s", top="1", out=tmp_path / "o.jsonl", decontaminate=[tmp_path / "test.txt"])
    assert chosen(tmp_path / "o.jsonl") == ["q6"]
    assert done.counts["contaminated"] == 1


def test_a_test_file_without_thirteen_words_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("too short\n")
    with pytest.raises(InputError, match="no text of 13 words"):
        load_ngrams([tmp_path / "test.txt"])


def test_a_test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    data = rows(tmp_path / "in.jsonl")
    with pytest.raises(InputError, match=r"none\.jsonl cannot be read"):
        select(data, by="quality", top="1", out=tmp_path / "o.jsonl", decontaminate=tmp_path / "none.jsonl")


def test_the_same_selection_again_is_left_alone_and_another_is_made(tmp_path: Path) -> None:
    path, out = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl"
    first = select(path, by="quality", top="25%", out=out)
    again = select(path, by="quality", top="25%", out=out)
    assert (first.already_done, again.already_done) == (False, True)
    assert again.counts == first.counts
    assert select(path, by="quality", top="50%", out=out).counts["selected"] == 8
    path.write_text(path.read_text() + '{"instruction": "q", "output": "a", "quality": 99, "length": 1}\n')
    assert not select(path, by="quality", top="50%", out=out).already_done
    out.unlink()
    assert not select(path, by="quality", top="50%", out=out).already_done


def test_a_file_that_was_changed_by_hand_is_made_anew(tmp_path: Path) -> None:
    path, out = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl"
    select(path, by="quality", top="25%", out=out)
    made = out.read_bytes()
    out.write_bytes(made + b'{"messages": []}\n')
    assert not select(path, by="quality", top="25%", out=out).already_done
    assert out.read_bytes() == made
    assert select(path, by="quality", top="25%", out=out).already_done
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.jsonl", "o.jsonl", "o.jsonl.selection.json"]


def test_a_note_of_an_earlier_version_is_no_proof(tmp_path: Path) -> None:
    path, out = rows(tmp_path / "in.jsonl"), tmp_path / "o.jsonl"
    note = select(path, by="quality", top="25%", out=out).note
    content = json.loads(note.read_text())
    assert content.pop("sha256") == hashlib.sha256(out.read_bytes()).hexdigest()
    note.write_text(json.dumps(content))
    assert not select(path, by="quality", top="25%", out=out).already_done


def test_numbers_in_csv(tmp_path: Path) -> None:
    lines = ["instruction,output,my score,length", *(f"q{n},a,{n / 2},{n}" for n in range(12)), "q12,a,n/a,12"]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    done = select(
        tmp_path / "in.csv", by="my score", top="2", where=["my score < 5.5", "length>1"], out=tmp_path / "o.jsonl"
    )
    assert chosen(tmp_path / "o.jsonl") == ["q9", "q10"]
    assert done.counts == {"rows": 13, "where not met": 3, "without my score": 1, "competing": 9, "selected": 2}


def test_keeping_the_highest_of_what_is_better_low_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"instruction": "q{n}", "output": "a", "instruction_ppl": {n}}}\n' for n in range(4)))
    select(path, by="instruction_ppl", top="1", ascending=True, out=tmp_path / "o.jsonl")
    select(path, by="seed_index", top="1", out=tmp_path / "o.jsonl")
    assert not caplog.records
    select(path, by="instruction_ppl", top="1", out=tmp_path / "o.jsonl")
    assert "--ascending" in caplog.text


def test_the_scores_that_are_better_low_are_those_of_the_docs() -> None:
    docs = Path("docs/metrics.md").read_text()
    lower = re.findall(r"^\| `(\w+)` \|[^|]*(?:\\\|[^|]*)*\| lower", docs, re.MULTILINE)
    assert tuple(lower) == LOWER_IS_KEPT


@pytest.mark.parametrize("name", ["x" * 300 + ".jsonl", "in.jsonl/sub/o.jsonl", "nul\0.jsonl"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    data = rows(tmp_path / "in.jsonl")
    with pytest.raises(InputError):
        select(data, by="quality", top="1", out=tmp_path / name)
    with pytest.raises(InputError):
        select(tmp_path / name, by="quality", top="1", out=tmp_path / "o.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
