"""METHOD.yaml: what is written comes back, whatever models say; what is no method file is refused with its line."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.call_store.used import Used
from evolvent.errors import InputError
from evolvent.evolution.auto_evol_instruct.failure_rate import Evaluation
from evolvent.evolution.auto_evol_instruct.history import (
    LARGEST,
    history_text,
    read_history,
    read_method,
    write_history,
)
from evolvent.evolution.auto_evol_instruct.method import Method, initial_method, problem_of
from evolvent.evolution.auto_evol_instruct.proposal import Candidate
from evolvent.evolution.auto_evol_instruct.search import Found, Step, Tried
from tests.evolution.auto_evol_instruct.scripted_search import method

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def evaluation(failed: int = 2, rows: int = 10) -> Evaluation:
    return Evaluation(Counter(stagnant=failed, answered=rows - failed), Counter(), "default")


def found(candidates: list[Tried], current: Method | None = None, stopped: str | None = "done") -> Found:
    initial = initial_method()
    step = Step(1, [], Counter(ok=3), candidates, chosen=1 if current else None)
    return Found(
        initial, evaluation(3), {"embedded": Used(2, 20, 4)}, current or initial, evaluation(), [step], stopped
    )


def usable(text: str) -> bool:
    return problem_of(text.strip()) is None


@settings(deadline=None)
@given(st.lists(ANY, min_size=1, max_size=4), st.lists(ANY, max_size=4), ANY, ANY)
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], feedback: list[str], reason: str, uri: str
) -> None:
    text = "\n".join([*before, "Step 1 #A#:", "Step 2 #B#:", "{instruction}"]).strip()
    if not usable(text):
        text = initial_method().text
    chosen, reply = Method(text), "\n".join(feedback)
    candidates = [
        Tried(Candidate(1, reply, text, chosen), None, evaluation()),
        Tried(Candidate(2, reason, reply, None, reason)),
    ]
    written = history_text(found(candidates, chosen), {"evolver": uri, "temperature": 0.0})
    content = yaml.load(written, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    assert content["how"] == {"evolver": uri, "temperature": 0.0}
    first, second = content["steps"][0]["candidates"]
    assert (first["feedback"], first["method"]) == (reply, text)
    assert (second["invalid"], second["reply"]) == (reason, reply)
    path = tmp_path_factory.getbasetemp() / "m.yaml"
    path.write_bytes(written.encode())
    assert read_method(path) == chosen


def test_how_it_looks(tmp_path: Path) -> None:
    current = Method(method(4))
    candidates = [Tried(Candidate(1, "Case 1: no.\nCase 2: no.", current.text, current), None, evaluation(1))]
    how = {"seed": 0, "system": None, "prompts": {"analysis": "a1"}, "dev_rows": [3, 1]}
    write_history(found(candidates, current), how, tmp_path / "m.yaml")
    lines = (tmp_path / "m.yaml").read_text().splitlines()
    assert lines[0].startswith("# An evolving method")
    assert [line for line in lines if line and line[0] not in "# -"] == [
        "format: 1",
        "state: finished",
        "stopped: done",
        "method: |-",
        f"version: {current.version}",
        "found_by: step 1, candidate 1",
        "failure_rate: 0.2",
        "interval: [0.0567, 0.5098]",
        "how:",
        "used:",
        "initial:",
        "steps:",
    ]
    at = lines.index("how:")
    assert lines[at + 1 : at + 5] == [
        "  seed: 0",
        "  system: null",
        "  prompts: {analysis: a1}",
        "  dev_rows: [3, 1]",
    ]
    assert "  failures: {stagnant: 3, insufficient: 0, loss: 0, not evolved: 0, not answered: 0}" in lines
    at = lines.index("- step: 1")
    assert lines[at : at + 11] == [
        "- step: 1",
        "  batch: []",
        "  evolutions: {ok: 3}",
        "  used: {}",
        "  candidates:",
        "  - candidate: 1",
        "    feedback: |-",
        "      Case 1: no.",
        "      Case 2: no.",
        "    method: |-",
        "      " + current.text.splitlines()[0],
    ]


BAD: list[tuple[str | bytes, str]] = [
    ("a: [1\nb: 2\n", r"is not YAML: line 2, column 2: "),
    ("a: 1\nb: \x01", "is not YAML: line 2, column 4: "),
    ("", "holds no method: its keys are none"),
    ("- 1\n", "holds no method"),
    ("a text", "holds no method"),
    ("seeds: x\nmodel: y\n", "holds no method: its keys are 'seeds', 'model'"),
    ('"\\e[31mred": 1', r"its keys are '\\x1b\[31mred'"),
    ("a: 1\nmethod: {b: c}\n", "line 2: method is no text"),
    ("a: 1\nmethod: [b]\n", "line 2: method is no text"),
    ("? [method]\n: x\nmethod: 3\n", "line 3: the method cannot be used: it has lost the slot"),
    ("# mine\nmethod: ''\n", "line 2: the method cannot be used: it is empty"),
    ("method: |\n  Make it harder: {instruction}\n", "line 1: .* lost the headings"),
    ("format: 2\nmethod: x\n", "line 1: this is format '2', and 1 was expected"),
    ("[" * 100_000 + "]" * 100_000, "nested more than 100 deep|not YAML"),  # newer parsers refuse it themselves
    ("a: " + "{a: " * 50_000 + "}" * 50_000, "nested more than 100 deep|not YAML"),
    (b"method: \xff\xfe", "is not UTF-8"),
]


@pytest.mark.parametrize(("text", "words"), BAD, ids=range(len(BAD)))
def test_what_is_no_method_file(tmp_path: Path, text: str | bytes, words: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words) as error:
        read_method(path)
    assert str(path) in error.value.message


def test_a_file_that_is_not_there_or_much_too_large(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no method file"):
        read_method(tmp_path / "m.yaml")
    with pytest.raises(InputError, match="there is no method file"):
        read_method(tmp_path)
    with (tmp_path / "m.yaml").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(InputError, match="16,777,217 bytes"):
        read_method(tmp_path / "m.yaml")


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("\ufeff# mine\nmethod: |\n\n  " + method(3).replace("\n", "\n  ") + "\n\nnotes: {a: [1, {b: c}]}\n")
    assert read_method(path) == Method(method(3))


def test_an_unfinished_search_is_said_to_be_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_history(found([], stopped=None), {}, tmp_path / "m.yaml")
    with caplog.at_level(logging.WARNING):
        assert read_method(tmp_path / "m.yaml") == initial_method()
    assert "has not ended" in caplog.text


def test_what_no_search_wrote_is_no_history(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for text in ("method: |\n  " + method(4).replace("\n", "\n  "), "- 1", "", "initial: 1\nsteps: []", "a: !!x 1"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"mine.yaml holds no history(?s:.*)remove it"):
            read_history(path)


def test_no_time_and_no_call_decides_the_file(tmp_path: Path) -> None:
    state: dict[str, Any] = {"seed": 0}
    write_history(found([]), state, tmp_path / "a.yaml", tmp_path / "b.yaml")
    write_history(found([]), state, tmp_path / "a.yaml")
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()
