"""The score stage: each of its settings reaches the scorer or the rows, and binds the run folder."""

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolvent.call_store.store import CallStore
from evolvent.call_store.stored import StoredModels
from evolvent.errors import InputError, ModelUnavailableError, RunError
from evolvent.files import CALLS
from evolvent.metrics import score as scoring
from evolvent.metrics.all_metrics import METRICS
from evolvent.metrics.metric import How, Metric, Window
from evolvent.metrics.score import score
from evolvent.models import models as opened_models
from evolvent.models.models import Need
from evolvent.records import Column, Message, Record, Score
from evolvent.runs import folder as run_folder
from evolvent.runs import parts
from evolvent.runs.folder import RunFolder
from evolvent.runs.inputs import Listed
from evolvent.runs.manifest import read_manifest, write_manifest
from evolvent.runs.parts import Output, Placed, has_parts, parts_folder
from evolvent.runs.run import Run
from tests.scripted import write_both


class Spelling:
    """A scorer that reads letter by letter: a loss is a function of the letter. Counts the texts that it scores."""

    context = 200

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.identity = f'{{"backend":"spelling","model":"{uri}"}}'
        self.scored = 0
        self.templated = 0

    def tokenize(self, text: str) -> list[int]:
        return [1, *text.encode()]

    def chat_tokens(self, messages: Sequence[Message], *, generation_prompt: bool) -> list[int]:
        self.templated += 1
        text = "".join(f"<{turn['role']}>{turn['content']}" for turn in messages)
        return self.tokenize(text + "<assistant>" * generation_prompt)

    def nll(self, sequences: Sequence[Sequence[int]], starts: Sequence[int], **_: Any) -> list[np.ndarray]:
        self.scored += len(sequences)
        texts = [np.array(ids[start:], float) for ids, start in zip(sequences, starts, strict=True)]
        return [np.stack((letters / 100, letters)) for letters in texts]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Spelling, dict[str, Any]]]:
    """The scorers that were opened, each with its options."""
    scorers: list[tuple[Spelling, dict[str, Any]]] = []

    def open_scorer(uri: str, **how: Any) -> Spelling:
        scorers.append((Spelling(uri), how))
        return scorers[-1][0]

    monkeypatch.setattr(opened_models, "open_scorer", open_scorer)
    return scorers


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"instruction": f"Mend sock {n}", "output": f"With wool {n % 3}." if n != 4 else ""} for n in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scored(pairs: Path, **options: Any) -> Run:
    return score(pairs, **{"base_model": "embedded-base", "out": pairs.parent / "run", **options})


def test_rows_come_in_order_with_their_scores_and_why_one_has_none(pairs: Path, opened: list[Any]) -> None:
    run = scored(pairs)
    rows = list(run)
    assert [row.seed_index for row in rows] == list(range(9))
    assert {row.scores["base_model"] for row in rows} == {"embedded-base"}
    assert [row.scores["score_reason"] for row in rows] == [None] * 4 + ["empty output"] + [None] * 4
    assert rows[4].scores["ifd"] is None
    assert run.counts["notes"] == {"without a score: empty output": 1}
    text = rows[0].instruction.encode()
    assert rows[0].scores["instruction_ppl"] == pytest.approx(np.exp(np.mean(np.array([*text], float) / 100)))


def test_how_the_scorer_is_opened(pairs: Path, opened: list[Any]) -> None:
    scored(pairs, device="cpu", dtype="bfloat16", batch_tokens=777)
    assert [how for _, how in opened] == [{"device": "cpu", "dtype": "bfloat16", "batch_tokens": 777}]


def test_the_layout(pairs: Path, opened: list[Any]) -> None:
    scored(pairs)
    scored(pairs, layout="chat", out=pairs.parent / "chat")
    assert [scorer.templated > 0 for scorer, _ in opened] == [False, True]


def test_the_metrics(pairs: Path, opened: list[Any]) -> None:
    names = [
        set(next(iter(scored(pairs, metrics=[name], out=pairs.parent / name))).scores) for name in ("ifd", "ic_ifd")
    ]
    assert ("ifd" in names[0], "ic_ifd" in names[0]) == (True, False)
    assert "ic_ifd" in names[1]


def test_map_and_limit_and_bad_rows(pairs: Path, opened: list[Any]) -> None:
    pairs.write_text("{broken\n" + pairs.read_text().replace("instruction", "ask"))
    run = scored(pairs, map={"instruction": "ask", "output": "output"}, skip_bad=True, limit=4)
    assert ([row.seed_index for row in run], run.counts["skipped rows"]) == ([1, 2, 3], 1)


def test_the_format_is_the_one_that_is_named_and_data_is_checked_once(
    tmp_path: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_both(tmp_path)
    for format, output in (None, "v"), ("alpaca", "b"):
        out = tmp_path / str(format)
        assert [row.output for row in scored(path, out=out, format=format)] == [output]
    monkeypatch.delattr(import_module("evolvent.datasets.load"), "_check_all")
    assert scored(path, out=out, format="alpaca").already_done


def test_of_a_run_what_is_ok_is_scored(tmp_path: Path, opened: list[Any]) -> None:
    statuses: list[Any] = ["ok", "failed", "eliminated", "ok"]
    run = scored(answered(tmp_path / "run", statuses), out=tmp_path / "run")
    assert ([row.seed_index for row in run], run.counts["rows left out"]) == ([0, 3], 2)
    with pytest.raises(InputError, match="\n  limit: None in the folder, 1 now"):
        scored(tmp_path / "run", out=tmp_path / "run", limit=1)


OTHERS = {"base_model": "hf:org/other", "layout": "chat", "dtype": "float32"}


@pytest.mark.parametrize("name", OTHERS)
def test_another_view_of_the_pairs_stands_beside_the_first(pairs: Path, opened: list[Any], name: str) -> None:
    """Another base model, layout or dtype: the scores that were there stay as they were."""
    first = [row.scores for row in scored(pairs)]
    added = {name: OTHERS[name]}
    both = [row.scores for row in scored(pairs, **added)]
    suffix = "@other" if name == "base_model" else "@embedded-base"
    alone = [row.scores for row in scored(pairs, **added, out=pairs.parent / "alone")]
    assert both == [
        {**one, **{column + suffix: value for column, value in other.items()}}
        for one, other in zip(first, alone, strict=True)
    ]
    assert scored(pairs, **added).already_done
    assert scored(pairs).already_done


def test_other_metrics_add_their_columns(pairs: Path, opened: list[Any]) -> None:
    before = [row.scores for row in scored(pairs, metrics=["ifd"])]
    after = [row.scores for row in scored(pairs, metrics=["ifd", "ic_ifd"])]
    assert [{name: row[name] for name in before[0]} for row in after] == before
    assert [row["ic_ifd"] for row in after] == [row.scores["ic_ifd"] for row in scored(pairs, out=pairs.parent / "b")]
    assert scored(pairs, metrics="ic_ifd").already_done
    scored(pairs, base_model="embedded")
    row = next(iter(scored(pairs, base_model="embedded", layout="chat")))
    assert {name for name in row.scores if name.startswith("ifd") and "ppl" not in name} == {
        "ifd",
        "ifd@embedded",
        "ifd@embedded#2",
    }


@pytest.mark.parametrize("further", [{}, {"metrics": ["ifd"]}, {"layout": "chat"}])
def test_scores_that_are_damaged_are_made_anew_if_it_is_asked_for(
    pairs: Path, opened: list[Any], further: dict[str, Any]
) -> None:
    """Whatever further scores were asked for: they would stand beside damaged ones."""
    file = scored(pairs).output
    whole = file.read_bytes()
    file.write_bytes(whole[:300] + bytes([whole[300] ^ 4]) + whole[301:])
    with pytest.raises(InputError, match=r"scored\.parquet is not as the stage wrote it.*\n.*--fresh"):
        scored(pairs, **further)
    assert scored(pairs, fresh=True).output.read_bytes() == whole


def test_a_stop_while_a_view_is_added_loses_neither(
    pairs: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", 2)
    monkeypatch.setattr(scoring, "WINDOW", 2)
    first = scored(pairs).output.read_bytes()
    nll = Spelling.nll

    def broken(scorer: Spelling, *given: Any, **how: Any) -> list[np.ndarray]:
        if len(opened) == 2 and scorer.scored > 4:
            raise RuntimeError("broken")
        return nll(scorer, *given, **how)

    monkeypatch.setattr(Spelling, "nll", broken)
    with pytest.raises(RuntimeError, match="broken"):
        scored(pairs, base_model="embedded")
    assert (pairs.parent / "run" / "scored.parquet").read_bytes() == first
    with pytest.raises(InputError, match=r"scores by embedded, paper, auto: \[.*\] in the folder, None now"):
        scored(pairs, base_model="hf:org/other")
    added = scored(pairs, base_model="embedded").output.read_bytes()
    monkeypatch.setattr(Spelling, "nll", nll)
    scored(pairs, out=pairs.parent / "whole")
    assert added == scored(pairs, base_model="embedded", out=pairs.parent / "whole").output.read_bytes()


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Windows of two pairs in parts of two; called with a number, the scorer breaks after so many of them, 0: never."""
    monkeypatch.setattr(parts, "PART", 2)
    monkeypatch.setattr(scoring, "WINDOW", 2)
    nll = Spelling.nll

    def stop(after: int) -> None:
        left = iter(range(after))

        def broken(scorer: Spelling, *given: Any, **how: Any) -> list[np.ndarray]:
            if next(left, None) is None:
                raise RuntimeError("broken")
            return nll(scorer, *given, **how)

        monkeypatch.setattr(Spelling, "nll", broken if after else nll)

    return stop


def test_a_third_view_that_was_stopped_goes_on(pairs: Path, opened: list[Any], stopping: Callable[[int], None]) -> None:
    for out in ("run", "whole"):
        for model in ("embedded-base", "embedded"):
            scored(pairs, base_model=model, out=pairs.parent / out)
    whole = scored(pairs, base_model="hf:org/other", out=pairs.parent / "whole").output.read_bytes()
    stopping(3)
    with pytest.raises(RuntimeError, match="broken"):
        scored(pairs, base_model="hf:org/other")
    stopping(0)
    assert has_parts(pairs.parent / "run" / "scored.parquet")
    assert scored(pairs, base_model="hf:org/other").output.read_bytes() == whole


def answered(folder: Path, statuses: Sequence[Any] = ("ok",) * 6, **how: Any) -> Path:
    """A run folder with answers."""
    with RunFolder(folder) as run:
        run.begin("respond", {}, {"digest": "a"}, **how)
        run.start("respond", {})
        output = Output(run.output("respond"), len(statuses))
        for n, status in enumerate(statuses):
            record = Record(f"s{n}", f"s{n}", n, "Mend a sock", output=f"With wool {n}.", status=status)
            output.add(Placed(n // parts.PART, n, record), [record], lambda tally, row: tally.count(row, "all"))
        run.finish("respond", output.finish().summary(), {}, {})
    return folder


@pytest.mark.parametrize("how", [{"base_model": "embedded"}, {"layout": "chat", "fresh": True}])
def test_a_stopped_score_whose_answers_were_made_anew_and_are_the_same_goes_on(
    tmp_path: Path, opened: list[Any], stopping: Callable[[int], None], how: dict[str, Any]
) -> None:
    for name in ("whole", "run"):
        scored(answered(tmp_path / name), out=tmp_path / name)
    whole = scored(tmp_path / "whole", out=tmp_path / "whole", **how)
    stopping(2)
    with pytest.raises(RuntimeError, match="broken"):
        scored(tmp_path / "run", out=tmp_path / "run", **how)
    stopping(0)
    answered(tmp_path / "run", fresh=True)
    assert read_manifest(tmp_path / "run")["score"].state == "stale"
    again = scored(tmp_path / "run", out=tmp_path / "run", **{**how, "fresh": False})
    assert again.output.read_bytes() == whole.output.read_bytes()


def test_scores_of_an_earlier_version_are_not_added_to(pairs: Path, opened: list[Any]) -> None:
    run = scored(pairs).path
    entries = read_manifest(run)
    entries["score"].settings = {"base_model": "embedded-base", "metrics": ["ifd"], "layout": "paper", "dtype": "auto"}
    write_manifest(run, entries)
    with pytest.raises(InputError, match="holds score with other settings"):
        scored(pairs, base_model="embedded")


def test_a_model_that_has_changed_since_adds_no_metric(pairs: Path, opened: list[Any]) -> None:
    """Its columns would stand beside those of other weights, under the same name."""
    first = scored(pairs, metrics=["ifd"]).output.read_bytes()
    entries = read_manifest(pairs.parent / "run")
    entries["score"].models["embedded-base"] = "other weights"
    write_manifest(pairs.parent / "run", entries)
    with pytest.raises(InputError, match="began with another embedded-base"):
        scored(pairs, metrics=["ic_ifd"])
    assert (pairs.parent / "run" / "scored.parquet").read_bytes() == first
    scored(pairs, base_model="embedded")
    assert list(read_manifest(pairs.parent / "run")["score"].models) == ["embedded-base", "embedded"]


def test_columns_of_several_package_versions_are_noted_as_such(
    pairs: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, model in ("1", "embedded-base"), ("2", "embedded"):
        monkeypatch.setattr(run_folder, "versions", lambda version=version: {"torch": version})
        scored(pairs, base_model=model)
    assert read_manifest(pairs.parent / "run")["score"].versions == {"torch": "1 and 2"}


def test_a_file_is_not_scored_in_its_own_place(pairs: Path, opened: list[Any]) -> None:
    (pairs.parent / "own").mkdir()
    own = shutil.copy(scored(pairs).output, pairs.parent / "own" / "scored.parquet")
    before = own.read_bytes()
    with pytest.raises(InputError, match="is the data itself"):
        scored(own, base_model="embedded", limit=3, out=own.parent)
    assert own.read_bytes() == before


def test_scores_of_data_that_was_scored_stay(pairs: Path, opened: list[Any]) -> None:
    once = scored(pairs)
    [first, *_] = scored(once.output, base_model="embedded", out=pairs.parent / "again")
    assert first.scores["base_model"] == "embedded-base"
    assert first.scores["base_model@embedded"] == "embedded"
    assert {name: first.scores[name] for name in next(iter(once)).scores} == next(iter(once)).scores


def test_a_metric_that_needs_no_model_stands_beside_a_column_of_its_name(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ones(window: Window, _: object) -> list[dict[str, Score]]:
        return [{"one": 1.0} for _ in window.records]

    monkeypatch.setitem(METRICS, "one", Metric("one", (), (Column("one"),), ones))
    first = score(pairs, metrics="one", out=pairs.parent / "run")
    again = score(first.output, metrics="one", out=pairs.parent / "again")
    assert {name for name in next(iter(again)).scores if "one" in name} == {"one", "one@evolvent"}


@pytest.mark.parametrize("changed", [{"limit": 2}, {"limit": 2, "base_model": "embedded"}])
def test_other_pairs_bind_the_folder(pairs: Path, opened: list[Any], changed: dict[str, Any]) -> None:
    scored(pairs)
    with pytest.raises(InputError, match="\n  limit: None in the folder, 2 now"):
        scored(pairs, **changed)
    scored(pairs, **changed, fresh=True)
    assert scored(pairs, **changed).already_done


def test_other_metrics_and_added_pairs_use_the_stored_losses(pairs: Path, opened: list[Any]) -> None:
    scored(pairs)
    scored(pairs, metrics=["ifd"], fresh=True)
    assert [scorer.scored > 0 for scorer, _ in opened] == [True, False]
    scored(pairs, layout="chat", fresh=True)
    assert opened[-1][0].scored > 0


def stored_losses(record: Record, scorer: Spelling, layout: str, store: CallStore) -> None:
    """The work of the stage on one pair."""
    need = Need("losses", scorer.uri)
    work = scoring.Scoring(("ifd",), {"losses": scorer.uri}, How(layout), Listed([record], {}))

    async def score_it() -> None:
        async with work.open(StoredModels({need: scorer}, store, "score")) as make:
            await make([record])

    asyncio.run(score_it())


PAIR = Record("s", "s", 0, "Mend a sock", "red", "With wool.", [Message(role="user", content="Mend")])


@pytest.mark.parametrize(
    ("record", "identity", "layout", "calls"),
    [
        (PAIR, "a", "paper", 0),
        (replace(PAIR, id="t", seed_id="t", seed_index=9, round=2, meta="{}"), "a", "paper", 0),
        (replace(PAIR, instruction="Mend a bike"), "a", "paper", 1),
        (replace(PAIR, input="blue"), "a", "paper", 1),
        (replace(PAIR, output="With glue."), "a", "paper", 1),
        (replace(PAIR, messages=None), "a", "paper", 1),
        (PAIR, "b", "paper", 1),
        (PAIR, "a", "chat", 1),
    ],
)
def test_what_decides_the_losses_is_in_their_key_and_nothing_else(
    tmp_path: Path, record: Record, identity: str, layout: str, calls: int
) -> None:
    with closing(CallStore(tmp_path / "calls.sqlite")) as store:
        scorers = [Spelling("hf:m"), Spelling("hf:m")]
        scorers[0].identity, scorers[1].identity = "a", identity
        stored_losses(PAIR, scorers[0], "paper", store)
        stored_losses(record, scorers[1], layout, store)
        assert len(store) == 1 + calls
    assert (scorers[1].scored > 0) == bool(calls)


def test_a_stopped_run_keeps_its_parts_and_gives_the_same_file(
    pairs: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", 2)
    monkeypatch.setattr(scoring, "WINDOW", 2)
    nll = Spelling.nll

    def broken(scorer: Spelling, *given: Any, **how: Any) -> list[np.ndarray]:
        if len(opened) == 1 and scorer.scored > 8:
            raise RuntimeError("broken")
        return nll(scorer, *given, **how)

    monkeypatch.setattr(Spelling, "nll", broken)
    with pytest.raises(RuntimeError, match="broken"):
        scored(pairs)
    assert read_manifest(pairs.parent / "run")["score"].state == "running"
    kept = len(list(parts_folder(pairs.parent / "run" / "scored.parquet").iterdir()))
    assert kept >= 1
    again = scored(pairs)
    whole = scored(pairs, out=pairs.parent / "whole")
    assert again.output.read_bytes() == whole.output.read_bytes()
    assert opened[1][0].scored < opened[2][0].scored


def test_pairs_that_change_meanwhile_stop_it(pairs: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    nll = Spelling.nll

    def changing(scorer: Spelling, *given: Any, **how: Any) -> list[np.ndarray]:
        pairs.write_text(pairs.read_text() + '{"instruction": "one more", "output": "pair"}\n')
        return nll(scorer, *given, **how)

    monkeypatch.setattr(Spelling, "nll", changing)
    with pytest.raises(InputError, match="has changed since it was checked"):
        scored(pairs)
    assert not (pairs.parent / "run" / "scored.parquet").exists()


@pytest.mark.parametrize("stored", [False, True])
def test_a_folder_that_was_made_again_meanwhile_gets_nothing(
    pairs: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    run, get, read = pairs.parent / "run", CallStore.get, 0
    if stored:
        scored(pairs)

    def replacing(store: CallStore, key: bytes) -> str | None:
        nonlocal read
        read += 1
        found = get(store, key)
        if read == 9:
            shutil.rmtree(run)
            with RunFolder(run), closing(CallStore(run / CALLS)):
                parts_folder(run / "scored.parquet").mkdir()
        return found

    monkeypatch.setattr(CallStore, "get", replacing)
    with pytest.raises(RunError, match="went away while it was being used"):
        scored(pairs, fresh=stored)
    assert not has_parts(run / "scored.parquet")
    assert not (run / "manifest.json").exists()
    with closing(CallStore(run / CALLS)) as store:
        assert len(store) == 0


def test_a_fresh_whose_model_is_gone_changes_nothing(
    pairs: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = scored(pairs).output
    before = output.read_bytes(), read_manifest(output.parent)

    def gone(*_: object, **__: object) -> None:
        raise ModelUnavailableError("no such model")

    with monkeypatch.context() as patch, pytest.raises(ModelUnavailableError):
        patch.setattr(opened_models, "open_scorer", gone)
        scored(pairs, layout="chat", fresh=True)
    assert (output.read_bytes(), read_manifest(output.parent)) == before
    assert scored(pairs).already_done


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ["nothing"]}, "nothing"),
        ({"layout": "both"}, "unknown layout 'both'"),
        ({"limit": 0}, "limit is 0"),
    ],
)
def test_what_cannot_work_is_refused(pairs: Path, opened: list[Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        scored(pairs, **options)
    assert opened == []


def test_while_a_view_is_added_the_scores_that_are_there_can_be_used(
    pairs: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolvent.selection.select import select

    scored(pairs)
    run = pairs.parent / "run"
    nll = Spelling.nll

    def broken(scorer: Spelling, *given: Any, **how: Any) -> list[np.ndarray]:
        if scorer.uri == "embedded":
            select(run, by="ifd", top="50%", out=run.parent / "while.jsonl")
            raise RuntimeError("broken")
        return nll(scorer, *given, **how)

    monkeypatch.setattr(Spelling, "nll", broken)
    with pytest.raises(RuntimeError, match="broken"):
        scored(pairs, base_model="embedded")
    assert select(run, by="ifd", top="50%", out=run.parent / "after.jsonl").counts["selected"] == 4


def test_of_pairs_that_came_out_otherwise_scores_are_made_anew_and_what_goes_is_named(
    tmp_path: Path, opened: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"

    def answered(words: str) -> None:
        with RunFolder(run) as folder:
            folder.begin("respond", {}, {"digest": words}, fresh=True)
            folder.start("respond", {})
            output = Output(folder.output("respond"), 3)
            for n in range(3):
                record = Record(f"s{n}", f"s{n}", n, f"Mend sock {n}", output=f"{words} {n}")
                output.add(Placed(0, n, record), [record], lambda tally, row: tally.count(row, "all"))
            folder.finish("respond", output.finish().summary(), {}, {})

    answered("With wool")
    for base in ("embedded-base", "embedded"):
        score(run, base_model=base, out=run)
    answered("With glue")
    rows = list(score(run, base_model="embedded-base", out=run))
    assert {row.output for row in rows} == {f"With glue {n}" for n in range(3)}
    assert not any("@" in name for name in rows[0].scores)
    assert "scores by embedded, paper, auto are not made again" in caplog.text
    assert "ifd@embedded" in next(iter(score(run, base_model="embedded", out=run))).scores
