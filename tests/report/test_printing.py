"""What is printed: tables that can be read at any width, and how a stage ended."""

from dataclasses import replace
from pathlib import Path

import pytest

from evolvent.call_store.log import StoredCall
from evolvent.evolution.autoif.verify import VerifyCounts
from evolvent.report.printing import print_calls, print_run, print_stages, print_tables, print_verified
from evolvent.report.tables import Table
from evolvent.runs.manifest import StageEntry, write_manifest
from evolvent.runs.run import Run
from evolvent.stages import file_of

URI = "openai:ORG/A-Model-With-A-Long-Name-70B-Instruct?base_url=https://inference.provider.example.com:8443/openai/v1"
NUMBERS = ("12,500,200", "~1,250,020,000", "912,500,200", "12,500.20")
WIDE = Table(
    "paid",
    ("stage", "model", "calls", "tokens in", "tokens out", "cost in all"),
    [("respond", "A-Model-With-A-Long-Name-70B-Instruct", *NUMBERS)],
    (f"A-Model: {URI}",),
)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_number_is_cut_and_no_text_is_lost(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_tables([WIDE])
    out = capsys.readouterr().out
    assert "…" not in out
    assert all(any(number in line for line in out.splitlines()) for number in NUMBERS)
    if columns == 120:
        cells = [line.split("│")[2].strip() for line in out.splitlines() if line.startswith("│")]
        assert "".join(cells) == WIDE.rows[0][1]
    else:  # a block
        assert WIDE.rows[0][1] in out
    assert f"A-Model: {URI}" in out.splitlines()
    assert max(map(len, out.splitlines()[:-1])) <= max(columns, 46)  # a name is not broken in a block


FIGURES = Table(
    "figures",
    ("figure", "candidate", "rows", "value [95 %]", "behind the first [95 %]", "may be the best"),
    [
        ("ifd (high is good)", "plain", "1,000", "0.9312 [0.9011, 0.9511]", "", "yes"),
        ("", "wordy", "1,000", "0.9012 [0.8911, 0.9211]", "0.03 [-0.01, 1e-05]", "no"),
        ("", "none-at-all", "none", "", "", ""),
    ],
)


def test_a_table_that_is_too_wide_is_narrower_then_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines(columns: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        print_tables([FIGURES])
        found = capsys.readouterr().out.splitlines()
        assert max(map(len, found)) <= columns
        return found

    assert any("0.9012 [0.8911, 0.9211] │ 0.03 [-0.01, 1e-05]" in line for line in lines(120))
    narrow = lines(90)
    assert any("│ [0.8911, 0.9211] │" in line for line in narrow), "an interval stands on a line of its own"
    assert any("│ wordy " in line for line in narrow)
    assert lines(60)[2:] == [
        "figure: ifd (high is good)",
        "  candidate: plain   rows: 1,000",
        "    value [95 %]: 0.9312 [0.9011, 0.9511]",
        "    may be the best: yes",
        "  candidate: wordy   rows: 1,000",
        "    value [95 %]: 0.9012 [0.8911, 0.9211]",
        "    behind the first [95 %]: 0.03 [-0.01, 1e-05]",
        "    may be the best: no",
        "  candidate: none-at-all   rows: none",
    ]


def test_a_heading_is_not_cut_within_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables([Table("evolve", ("", "instructions of a run"), [("ok", "3")])])
    assert "┃ instructions ┃" in capsys.readouterr().out


def test_a_table_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables([Table("empty", ("a", "b"), [])])
    assert "empty" in capsys.readouterr().out


def run(path: Path, already_done: bool = False, **counts: object) -> Run:
    return Run(path, "evolve", path / "evolved.parquet", dict(counts), already_done=already_done)


def test_nothing_to_do_is_all_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_run(run(tmp_path, already_done=True, ok=3))
    assert capsys.readouterr().out == (
        f"nothing to do: {tmp_path}/evolved.parquet is finished; evolvent show {tmp_path} says what it holds\n"
    )


def test_that_no_row_passed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = {"round 1": {"eliminated: leak": 400}, "round 2": {"eliminated: leak": 190, "eliminated: empty": 10}}
    print_run(run(tmp_path, already_done=True, ok=0, eliminated=600, failed=0, groups=groups))
    assert capsys.readouterr().err == (
        f"warning: evolve: all 600 rows were eliminated: leak 590, empty 10; see evolvent calls {tmp_path}\n"
    )
    groups["round 3"] = {"failed": 2}
    print_run(run(tmp_path, already_done=True, ok=0, eliminated=600, failed=2, groups=groups))
    printed = capsys.readouterr()
    assert "warning: evolve: none of 602 rows is ok: 2 failed, 600 eliminated: leak 590, empty 10;" in printed.err
    assert "evolve: 2 failed; the same command with --retry-failed takes just those again" in printed.out
    print_run(run(tmp_path, already_done=True, ok=1, eliminated=600, failed=0, groups=groups))
    assert capsys.readouterr().err == ""


def three(folder: Path, *, done: tuple[bool, bool, bool]) -> Run:
    """A run of AutoIF's three stages, of which some were done already."""
    runs = [
        Run(folder, stage, folder / file_of(stage), {"ok": 3, "failed": failed}, already_done=before)
        for stage, failed, before in zip(("self-instruct", "evolve", "respond"), (2, 0, 1), done, strict=True)
    ]
    runs[2] = replace(runs[2], others=(folder / "sft.jsonl",))
    return replace(runs[1], stages={run.stage: run for run in runs})


def entry(**counts: object) -> StageEntry:
    return StageEntry({}, {"digest": "", "format": "", "rows": 1}, "done", counts=counts)


def test_a_command_of_several_stages_shows_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(tmp_path, {"evolve": entry(funnel={"verified instructions": 7}), "respond": entry(ok=3)})
    print_run(three(tmp_path, done=(True, False, False)))
    out = capsys.readouterr().out
    assert "verified instructions" in out
    assert f"written: {tmp_path}/evolved.parquet, {tmp_path}/responses.parquet, {tmp_path}/sft.jsonl\n" in out
    assert "self-instruct: 2 failed; the same command with --retry-failed" in out
    assert "respond: 1 failed; the same command with --retry-failed" in out
    print_run(three(tmp_path, done=(True, False, True)))
    assert "nothing to do" not in capsys.readouterr().out, "the second stage did something"
    print_run(three(tmp_path, done=(True, True, True)))
    assert capsys.readouterr().out.startswith("nothing to do: ")


def test_a_recipes_stage_may_be_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(tmp_path, {"evolve": entry(ok=3)})
    print_stages(tmp_path, {"evolve": three(tmp_path, done=(True, False, True))})
    lines = capsys.readouterr().out.splitlines()
    assert f"self-instruct: {tmp_path}/instructions.parquet (was done already)" in lines
    assert f"evolve: {tmp_path}/evolved.parquet" in lines
    assert f"respond: {tmp_path}/responses.parquet, {tmp_path}/sft.jsonl (was done already)" in lines
    assert not any(line.startswith("nothing to do") for line in lines)
    print_stages(tmp_path, {"evolve": three(tmp_path, done=(True, True, True))})
    assert "nothing to do; " in capsys.readouterr().out


def test_what_was_left_out_of_a_verification(capsys: pytest.CaptureFixture[str]) -> None:
    print_verified(VerifyCounts(rows=3, unmatched=3, left_out={"rows left out": 4, "skipped rows": 1}))
    printed = capsys.readouterr()
    cells = [[cell.strip() for cell in line.split("│")[1:3]] for line in printed.out.splitlines() if "│" in line]
    assert ["rows left out", "4"] in cells and ["skipped rows", "1"] in cells


def test_calls_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    request = {"messages": [{"role": "us\x1b[31mer", "content": "\x1b]0;title\x07"}]}
    reply = {"text": "red\x1b[31m\u202e", "finish_reason": "st\x1b[2Jop"}
    print_calls([StoredCall("evolve", "a\x1b[31m", "m\x1b[31m", request, reply, None, "2025", 1.5)], 1, [])
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert "reply (st\\x1b[2Jop): red\\x1b[31m\\u202e" in out


def test_the_end_of_a_long_prompt_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "Rewrite it. " + "rules " * 500 + "#Given Prompt#: Mend a sock"
    reply = {"text": "Mend a red sock", "finish_reason": "stop"}
    request = {"messages": [{"role": "user", "content": prompt}]}
    print_calls([StoredCall("evolve", "a/r1", "m", request, reply, None, "2025", 1.5)], 12, [])
    out = capsys.readouterr().out
    assert "[2025] evolve a/r1 m 1.50 s, waiting included" in out
    assert "user: Rewrite it. rules" in out
    left_out = len(prompt) - 600
    assert f"… ({left_out:,} characters left out) …" in out
    assert "#Given Prompt#: Mend a sock\n" in out
    assert "reply (stop): Mend a red sock" in out
    assert "12 calls, 11 not shown: --limit N" in out
    print_calls([], 0, ["no call was made for the model x"])
    assert capsys.readouterr().out == "0 calls\nno call was made for the model x\n"


def test_what_a_model_wrote_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables([Table("\x1b[2Jtitle", ("text",), [("a\x1b]0;owned\x07b",), ("é　ü",)])])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "a\\x1b]0;owned\\x07b" in shown
    assert "é　ü" in shown
