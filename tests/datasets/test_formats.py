"""What each format says, on small rows written by hand."""

from typing import Any

import pytest

from evolvent.datasets import load
from evolvent.errors import InputError

USER = {"role": "user", "content": "Name a prime."}
REPLY = {"role": "assistant", "content": "7"}
SYSTEM = {"role": "system", "content": "Be brief."}

CASES: list[tuple[str, dict[str, Any], tuple[str, str, str], list[dict[str, str]] | None, str | None]] = [
    ("alpaca", {"instruction": "Add.", "input": "2, 3", "output": "5"}, ("Add.", "2, 3", "5"), None, None),
    ("alpaca", {"instruction": "Add.", "input": None}, ("Add.", "", ""), None, None),
    ("alpaca", {"instruction": "Add.", "id": 7, "b": [1], "a": {"y": 1, "x": None}}, ("Add.", "", ""), None,
     '{"a":{"x":null,"y":1},"b":[1],"id":7}'),
    ("alpaca", {"instruction": "Name", "input": "a prime.", "output": "7", "system": "Be brief."},
     ("Name", "a prime.", "7"), [SYSTEM, {"role": "user", "content": "Name\na prime."}, REPLY], None),
    ("messages", {"messages": [SYSTEM, USER, REPLY]}, ("Name a prime.", "", "7"), [SYSTEM, USER, REPLY], None),
    ("messages", {"messages": [USER]}, ("Name a prime.", "", ""), [USER], None),
    ("messages", {"messages": [REPLY, USER, REPLY], "label": True}, ("Name a prime.", "", "7"), [REPLY, USER, REPLY],
     '{"label":true}'),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "Name a prime."}]}]},
     ("Name a prime.", "", ""), [USER], None),
    ("sharegpt", {"conversations": [{"from": "human", "value": "Name a prime."}, {"from": "gpt", "value": "7"}]},
     ("Name a prime.", "", "7"), [USER, REPLY], None),
    ("sharegpt", {"conversation": [{"from": "user", "value": "Name a prime."}], "system": "Be brief."},
     ("Name a prime.", "", ""), [SYSTEM, USER], None),
    ("sharegpt", {"conversations": [USER, REPLY], "tools": "[]"}, ("Name a prime.", "", "7"), [USER, REPLY],
     '{"tools":"[]"}'),
    ("prompt_completion", {"prompt": "Name a prime.", "completion": "7"}, ("Name a prime.", "", "7"), None, None),
    ("prompt_completion", {"prompt": [SYSTEM, USER], "completion": [REPLY]}, ("Name a prime.", "", "7"),
     [SYSTEM, USER, REPLY], None),
    ("prompt_completion", {"prompt": "Name a prime."}, ("Name a prime.", "", ""), None, None),
    ("preference", {"prompt": "Name a prime.", "chosen": "7", "rejected": "8"}, ("Name a prime.", "", "7"), None,
     '{"rejected":"8"}'),
    ("preference", {"prompt": [USER], "chosen": [REPLY], "rejected": [USER]}, ("Name a prime.", "", "7"), [USER, REPLY],
     '{"rejected":[{"content":"Name a prime.","role":"user"}]}'),
    ("preference", {"chosen": [USER, REPLY], "rejected": "8"}, ("Name a prime.", "", "7"), [USER, REPLY],
     '{"rejected":"8"}'),
    ("preference", {"prompt": "Name a prime.", "chosen": [USER, REPLY], "rejected": "8"}, ("Name a prime.", "", "7"),
     [USER, REPLY], '{"rejected":"8"}'),
    ("preference", {"conversations": [{"from": "human", "value": "Name a prime."}], "rejected": "8",
                    "chosen": {"from": "gpt", "value": "7"}}, ("Name a prime.", "", "7"), [USER, REPLY],
     '{"rejected":"8"}'),
    ("preference", {"instruction": "Name", "input": "a prime.", "chosen": "7", "rejected": "8"},
     ("Name", "a prime.", "7"), None, '{"rejected":"8"}'),
    ("turns", {"turns": ["Name a prime.", "Another."], "reference": ["7"]}, ("Name a prime.", "", ""),
     [USER, {"role": "user", "content": "Another."}], '{"reference":["7"]}'),
]  # fmt: skip


@pytest.mark.parametrize(("format", "row", "texts", "messages", "meta"), CASES)
def test_a_row_says(
    format: str,
    row: dict[str, Any],
    texts: tuple[str, str, str],
    messages: list[dict[str, str]] | None,
    meta: str | None,
) -> None:
    data = load([row])
    assert data.format == format
    [record] = data
    assert (record.instruction, record.input, record.output) == texts
    assert record.messages == messages
    assert record.meta == meta
    assert (record.seed_index, record.round, record.status, record.parent_id) == (0, 0, "ok", None)


def test_the_first_row_decides_and_a_null_column_does_not_count() -> None:
    assert load([{"messages": None, "instruction": "Add."}]).format == "alpaca"
    assert load([{"instruction": "Add.", "messages": [USER]}], format="alpaca").format == "alpaca"


def test_tool_calls_and_function_calls_are_kept_beside_the_text() -> None:
    [record] = load([{"conversations": [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": "{}"}]}])
    assert record.messages == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{}"}]
    assert record.meta is not None and "function_call" in record.meta and '"_original"' in record.meta


def test_unknown_columns_name_the_columns_the_formats_and_a_mapping() -> None:
    with pytest.raises(InputError) as caught:
        load([{"id": "a", "question": "Why?", "answer": "So."}])
    text = str(caught.value)
    assert "Columns found: id, question, answer" in text
    for format in ("alpaca", "sharegpt", "messages", "prompt_completion", "preference", "turns"):
        assert format in text
    assert "--map instruction=question,output=answer" in text


def test_a_mapping_reaches_inside_and_keeps_the_rest() -> None:
    row = {"instruction": "Add.", "instances": [{"input": "2, 3", "output": "5"}], "name": "add"}
    mapping = {"instruction": "instruction", "input": "instances.0.input", "output": "instances.0.output"}
    [record] = load([row], map=mapping)
    assert (record.instruction, record.input, record.output) == ("Add.", "2, 3", "5")
    assert record.meta == '{"instances":[{"input":"2, 3","output":"5"}],"name":"add"}'


def test_a_column_that_the_mapping_hides_is_kept() -> None:
    [record] = load([{"question": "Why?", "instruction": "Be brief."}], map={"instruction": "question"})
    assert record.instruction == "Why?"
    assert record.meta == '{"instruction":"Be brief."}'


def test_a_mapping_to_other_formats() -> None:
    assert next(iter(load([{"dialog": [USER, REPLY]}], map={"messages": "dialog"}))).messages == [USER, REPLY]
    with pytest.raises(InputError, match=r"names 'question', which is no column of any format"):
        load([{"question": "Why?"}], map={"question": "instruction"})
    with pytest.raises(
        InputError, match=r"map names qestion, which the first row does not have. Columns found: question"
    ):
        load([{"question": "Why?"}], map={"instruction": "qestion"})
    with pytest.raises(InputError, match="There is no format 'chatml'"):
        load([{"question": "Why?"}], format="chatml")


def test_the_mapped_columns_decide_the_format() -> None:
    turns = [{"from": "human", "value": "Name a prime."}, {"from": "gpt", "value": "7"}]
    pair = {"question": "Name a prime.", "chosen": "7", "rejected": "8"}
    for row, mapping, format in [
        ({"question": "Name a prime.", "completion": "7"}, {"prompt": "question"}, "prompt_completion"),
        ({"conversations": turns, "sys": "Be brief."}, {"system": "sys"}, "sharegpt"),
        (pair, {"prompt": "question"}, "preference"),
        (pair, {"instruction": "question"}, "preference"),
        ({"dialog": [USER, REPLY], "chosen": "7", "rejected": "8"}, {"messages": "dialog"}, "preference"),
        # A column that is mapped is used, whatever other formats the row fits.
        ({"question": "Name a prime.", "answer": "7", "messages": []}, {"instruction": "question", "output": "answer"},
         "alpaca"),
    ]:  # fmt: skip
        data = load([row], map=mapping)
        assert data.format == format
        [record] = data
        assert (record.instruction, record.output) == ("Name a prime.", "7")
    # The first row may be a bad one.
    assert load([{"q": None}, {"q": "Sing."}], map={"prompt": "q"}, skip_bad=True).format == "prompt_completion"
    with pytest.raises(InputError, match="map names prompt, output, which no one format has"):
        load([{"q": "Sing.", "a": "La."}], map={"prompt": "q", "output": "a"})


@pytest.mark.parametrize(
    ("row", "answer", "hint"),
    [
        ({"instruction": "Sing.", "context": "", "response": "La."}, "response", "input=context,output=response"),
        ({"instruction": "Sing.", "input": "", "Answer": "La."}, "Answer", "output=Answer"),
        ({"prompt": "Sing.", "response": "La."}, "response", "completion=response"),
        ({"prompt": "Sing.", "canonical_solution": "La."}, "canonical_solution", "completion=canonical_solution"),
    ],
)
def test_an_answer_under_another_name_is_not_put_aside(row: dict[str, str], answer: str, hint: str) -> None:
    with pytest.raises(InputError, match=f'the column "{answer}" looks like the answer') as caught:
        load([row])
    assert f"--map {hint}," in caught.value.fix
    [record] = load([row], map=dict(pair.split("=") for pair in hint.split(",")))
    assert (record.instruction, record.output) == ("Sing.", "La.")
    format = "alpaca" if "instruction" in row else "prompt_completion"
    assert f"--format {format}" in caught.value.fix
    [record] = load([row], format=format)  # said so, it is a column of the user's
    assert record.output == "" and record.meta is not None and "La." in record.meta


def test_columns_that_are_no_answers() -> None:
    for row in ({"instruction": "Sing.", "answer": " "}, {"instruction": "Sing.", "output": "", "answer": "La."}):
        assert load([row]).format == "alpaca"


@pytest.mark.parametrize(
    "cell",
    [
        *("<noinput>", "<no input>", "No Input.", "no_input", "[noinput]", "`<noinput>`", "\\<noinput\\>"),
        *("< noinput >", "<noinput", "N/A", "<N/A>", "n/a.", "None", "<none>", "No input required."),
        *("No input needed", "nan", " null "),
    ],
)
def test_an_input_that_says_there_is_none_is_empty(cell: str) -> None:
    row = {"instruction": "Name a river.", "output": "The Nile."}
    rows = [{**row, "input": cell}, {**row, "input": ""}, {**row, "input": "He was <noinput>"}]
    data = load(rows)
    first, second, third = data
    assert (first.input, third.input, data.no_input, data.duplicates) == ("", "He was <noinput>", 1, 1)
    assert (first.id, second.id) == (next(iter(load([row]))).id, f"{first.id}-2")  # it is what the row says that counts
    [conversation] = load([{**rows[0], "system": "Be brief."}])
    assert conversation.messages is not None
    assert conversation.messages[1]["content"] == "Name a river."


@pytest.mark.parametrize("cell", ["Na", "no", "-", "Banana", "Nancy", "none of them", "Input: none"])
def test_other_short_inputs_stay(cell: str) -> None:
    data = load([{"instruction": "Name it.", "input": cell, "output": "x"}])
    assert [record.input for record in data] == [cell]
    assert data.no_input == 0


def test_such_words_elsewhere_are_texts() -> None:
    rows = [{"prompt": "Is there any?", "completion": "None", "input": "N/A"}]
    [record] = load(rows)
    assert (record.output, record.meta) == ("None", '{"input":"N/A"}')
    assert load(rows).no_input == 0
    mapped = load(
        [{"q": "Name it.", "context": "N/A", "a": "x"}], map={"instruction": "q", "input": "context", "output": "a"}
    )
    assert [record.input for record in mapped] == [""]
    assert mapped.no_input == 1
