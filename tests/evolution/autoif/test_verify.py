"""verify: which instruction a row is matched with, what its functions say, and what is counted."""

import json
import unicodedata
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evolvent.errors import InputError, RunError
from evolvent.evolution.autoif import verify as module
from evolvent.evolution.autoif.functions_file import read_functions
from evolvent.evolution.autoif.training_rows import sft_rows
from evolvent.evolution.autoif.verify import Matching, reward, rewards, verify
from evolvent.records import Record, schema
from evolvent.runs.record_files import record_table
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox

NO_E = "def evaluate(response):\n    return 'e' not in response"
SHORT = "def evaluate(response):\n    return len(response.split()) <= 3"
SHOUTED = "def evaluate(response):\n    return response.isupper()"
RAISES = "def evaluate(response):\n    return response.no_such_thing"
SETS = {
    "noe": ("Use no letter e", [NO_E, NO_E + " "]),
    "short": ("Use at most three words.", [SHORT, RAISES]),
    "both": ("Use at most three words. Shout", [SHORT, SHOUTED, SHOUTED + " "]),
    "never": ("Be brave", [RAISES]),
}


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    path = tmp_path / "functions.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"id": id, "instruction": text, "functions": [{"code": code, "share": 1.0} for code in codes]})
            for id, (text, codes) in SETS.items()
        )
    )
    return path


def row(instruction: str, output: str, **meta: Any) -> dict[str, Any]:
    return {"instruction": instruction, "output": output, **meta}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_row_is_counted_and_written_in_order(functions: Path, tmp_path: Path) -> None:
    out = tmp_path / "verified.jsonl"
    found = verify(
        [
            row("What is rain? Use no letter e.", "Drops."),
            row("What is hail? Use no letter e.", "Ice."),
            row("What is fog? Use at most three words.", "Low clouds."),
            row("What is mud? Use at most three words. Shout.", "Wet earth"),
            row("What is wind?", "Air."),
            row("Be brave.", "I am."),
            row("What is snow? Use no letter e.", " "),
        ],
        functions=functions,
        out=out,
        unsafe_execution=True,
    )
    assert (found.rows, found.unmatched, found.empty, found.no_verdict) == (7, 1, 1, {"AttributeError": 1})
    assert found.matched == {"text": 5}
    # Rain passes both, fog the one with a verdict, mud one of three.
    assert (found.majority, found.strict) == (2, 1)
    assert found.mean_accuracy == pytest.approx((1 + 0 + 1 + 1 / 3) / 4)
    assert found.out == out
    assert [(r["row"], r["instruction_id"], r["accuracy"], r["verdicts"], r["problem"]) for r in lines(out)] == [
        (1, "noe", 1.0, 2, None),
        (2, "noe", 0.0, 2, None),
        (3, "short", 1.0, 1, None),
        (4, "both", pytest.approx(1 / 3), 3, None),
        (5, None, None, 0, "unmatched"),
        (6, "never", None, 0, "no verdict"),
        (7, None, None, 0, "empty"),
    ]


def test_why_there_is_no_verdict_is_said(functions: Path, tmp_path: Path) -> None:
    data = [row("Be brave.", "I am."), row("Use no letter e.", "Drops.")]
    verify(data, functions=functions, out=tmp_path / "out.jsonl", unsafe_execution=True)
    assert [(r["problem"], r["why"]) for r in lines(tmp_path / "out.jsonl")] == [
        ("no verdict", "AttributeError"),
        (None, None),
    ]


def test_no_verdict_at_all_is_an_error_and_no_file(functions: Path, tmp_path: Path) -> None:
    out = tmp_path / "verified.jsonl"
    out.write_text("as it was")
    with pytest.raises(
        RunError, match=r"of 3 that were matched with an instruction; most frequent: AttributeError \(3"
    ):
        verify([row("Be brave.", "I am.")] * 3, functions=functions, out=out, unsafe_execution=True)
    assert out.read_text() == "as it was"
    with pytest.raises(RunError, match="2 hold none of its instructions, 1 have no answer"):
        data = [row("Unmatched", "I am."), row("Unmatched", "We are."), row("Be brave.", "")]
        verify(data, functions=functions, out=out, unsafe_execution=True)
    assert out.read_text() == "as it was"


def test_long_answers_together_larger_than_the_sandbox_have_verdicts(
    functions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW_TEXT", 200_000_000)
    data = [row("Use no letter e.", f"{'x' * 39_000}{n}{'e' * (n % 2)}") for n in range(600)]
    limits = Limits(memory=48 << 20, seconds=20)
    monkeypatch.setattr(module, "Sandbox", partial(Sandbox, limits))
    found = verify(data, functions=functions, unsafe_execution=True)
    assert (found.rows, found.no_verdict, found.strict) == (600, {}, 300)


def test_windows_are_cut_by_their_text_too(functions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [row(f"Say {n}. {SETS['noe'][0]}", "one" * n) for n in range(1, 7)]
    monkeypatch.setattr(module, "WINDOW_TEXT", 10)
    records = (Record("s", "s", 0, one["instruction"], output=one["output"]) for one in data)
    found = [len(window) for window in module._windows(records)]
    assert found == [3, 1, 1, 1]
    assert verify(data, functions=functions, unsafe_execution=True).rows == 6


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["Réponds en français", "Use ΐ only"])
def test_an_instruction_is_the_same_in_another_normal_form(form: str, asked: str, tmp_path: Path) -> None:
    path = tmp_path / "functions.jsonl"
    line = {"id": "1", "instruction": unicodedata.normalize(form, asked), "functions": [{"code": NO_E}]}
    path.write_text(json.dumps(line))
    for other in ("NFC", "NFD"):
        question = unicodedata.normalize(other, f"Qu'est-ce que la pluie\u202f? {asked.upper()}.").replace(" ", "\xa0")
        assert match(Record("s", "s", 0, question), path) == ("1", "text")
        meta = json.dumps({"autoif": {"instruction": unicodedata.normalize(other, asked)}})
        assert match(Record("s", "s", 0, "?", meta=meta), path) == ("1", "meta")


def test_a_letter_with_a_mark_is_another_letter(functions: Path) -> None:
    assert match(Record("s", "s", 0, "Use no letter e\u0301"), functions) is None


def test_windows_change_nothing(functions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [row(f"Say {n}. {SETS[id][0]}", "one two" + " e" * (n % 3)) for n in range(5) for id in SETS]
    results = []
    for window in (3, 100):
        monkeypatch.setattr(module, "WINDOW", window)
        results.append(verify(data, functions=functions, out=tmp_path / f"{window}.jsonl", unsafe_execution=True))
    assert lines(tmp_path / "3.jsonl") == lines(tmp_path / "100.jsonl")
    assert [one["row"] for one in lines(tmp_path / "3.jsonl")] == list(range(1, 21))
    assert results[0].matched == results[1].matched == {"text": 20}


def answered(id: str, number: int, output: str, **other: Any) -> Record:
    meta = json.dumps({"autoif": {"instruction": SETS[id][0], "query": "What is rain?", "accuracy": 1.0}})
    # The texts are changed so that only the metadata can tell.
    return Record(f"{id}/r1/{number}/x/0", id, number, "What is rain?", output=output, round=1, meta=meta, **other)


def test_a_runs_answers_and_the_file_written_of_them_are_matched_by_their_metadata(
    functions: Path, tmp_path: Path
) -> None:
    records = [
        answered("noe", 0, "Drops."),
        answered("noe", 1, "Water.", status="eliminated", reason="fails its functions"),
        answered("short", 2, "Wet."),
    ]
    pq.write_table(record_table(records, schema()), tmp_path / "responses.parquet")
    (tmp_path / "sft.jsonl").write_text("\n".join(json.dumps(one) for one in sft_rows(records)))
    for name, left_out in (("responses.parquet", {"rows left out": 1}), ("sft.jsonl", {})):
        found = verify(tmp_path / name, functions=functions, unsafe_execution=True)
        assert (found.rows, found.matched, found.strict, found.left_out) == (2, {"meta": 2}, 1, left_out)
        assert found.mean_accuracy == 1


def test_a_limit_is_kept_whatever_the_data_are(functions: Path, tmp_path: Path) -> None:
    records = [answered("noe", number, "Drops.") for number in range(9)]
    pq.write_table(record_table(records, schema()), tmp_path / "responses.parquet")
    (tmp_path / "sft.jsonl").write_text("\n".join(json.dumps(one) for one in sft_rows(records)))
    for data in (tmp_path / "responses.parquet", tmp_path / "sft.jsonl", [row("Use no letter e", "I am.")] * 9):
        assert verify(data, functions=functions, limit=5, unsafe_execution=True).rows == 5


def match(record: Record, functions: Path) -> tuple[str, str] | None:
    found = Matching(read_functions(functions)).match(record)
    return (found.instruction["id"], found.by) if found else None


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Use no letter e", "noe"),
        ("What is rain? USE  no\nletter E.", "noe"),
        ("use no letter e: what is rain?", "noe"),
        ("Use no letter elk", None),
        ("Reuse no letter e", None),
        ("Use no letters", None),
        ("Shout. Use at most three words.", "short"),
        ("Use at most three words. Shout", "both"),
        ("What is rain?", None),
    ],
)
def test_a_question_is_matched_with_the_longest_instruction_that_it_holds(
    question: str, expected: str | None, functions: Path
) -> None:
    found = match(Record("s", "s", 0, question), functions)
    assert found == ((expected, "text") if expected else None)


def test_an_input_belongs_to_the_question(functions: Path) -> None:
    assert match(Record("s", "s", 0, "Use no letter e", "What is rain?"), functions) == ("noe", "text")


def test_metadata_come_before_ids_and_ids_before_the_text(functions: Path) -> None:
    text = "Use no letter e"
    named = json.dumps({"autoif": {"instruction": "Be brave"}})
    assert match(Record("s", "short", 0, text, meta=named), functions) == ("never", "meta")
    assert match(Record("s", "short", 0, text), functions) == ("short", "id")
    unknown = json.dumps({"autoif": {"instruction": "Be kind"}, "meta": {"seed_id": "both"}})
    assert match(Record("s", "s", 0, text, meta=unknown), functions) == ("both", "id")


@pytest.mark.parametrize("meta", ['{"autoif": 3}', '{"meta": "x"}', '{"meta": {"autoif": {"instruction": 5}}}', "[1]"])
def test_metadata_of_other_shapes_are_passed_over(meta: str, functions: Path) -> None:
    assert match(Record("s", "s", 0, "Use no letter e", meta=meta), functions) == ("noe", "text")


def test_a_run_folder_may_stand_for_its_functions(functions: Path) -> None:
    found = verify([row("Use no letter e", "Drops.")], functions=functions.parent, unsafe_execution=True)
    assert found.strict == 1


def test_a_set_without_instructions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "functions.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no verified instruction"):
        verify([row("a", "b")], functions=tmp_path, unsafe_execution=True)


def test_sets_that_are_joined_may_share_lines_but_no_id(functions: Path, tmp_path: Path) -> None:
    lines = functions.read_text().splitlines()
    joined = tmp_path / "joined.jsonl"
    joined.write_text("\n".join([*lines, lines[0]]))
    assert list(read_functions(joined)) == list(read_functions(functions))
    other = {**json.loads(lines[0]), "functions": [{"code": "def evaluate(response): return True"}]}
    joined.write_text("\n".join([*lines, json.dumps(other)]))
    with pytest.raises(InputError, match=f"line {len(lines) + 1} has the id of an earlier line"):
        read_functions(joined)


def test_no_half_file_is_left(functions: Path, tmp_path: Path) -> None:
    def cut() -> Iterable[dict[str, str]]:
        yield row("Use no letter e", "Drops.")

    out = functions / "verified.jsonl"
    with pytest.raises(InputError, match=r"functions\.jsonl is no folder"):
        verify(cut(), functions=functions, out=out, unsafe_execution=True)


def test_a_reward_is_the_share_of_the_functions_that_say_yes(functions: Path) -> None:
    sets = read_functions(functions)
    assert reward(sets["noe"], "Drops.", unsafe_execution=True) == 1.0
    answers = ["RAIN", "Rain", "RAIN AND HAIL AND FOG", "Rain"]
    assert rewards(sets["both"], answers, unsafe_execution=True) == pytest.approx([1, 1 / 3, 2 / 3, 1 / 3])
    assert rewards(sets["never"], ["Rain"], unsafe_execution=True) == [0.0]
    assert rewards(sets["noe"], [], unsafe_execution=True) == []


def test_what_is_read_is_not_written(tmp_path: Path) -> None:
    answers, functions = tmp_path / "answers.jsonl", tmp_path / "functions.jsonl"
    answers.write_text('{"instruction": "Use no commas.", "output": "a"}\n')
    functions.write_text('{"id": "1", "instruction": "Use no commas.", "functions": [{"code": "x"}]}\n')
    for out in (answers, functions):
        with pytest.raises(InputError, match="is the data itself"):
            verify(answers, functions=tmp_path, out=out)
    assert answers.read_text().startswith('{"instruction"')
