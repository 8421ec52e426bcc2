"""The keywords stage: which ways it names, once each, what it counts, and that it goes on where it stopped."""

import json
import pickle
import tracemalloc
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evolvent.errors import BudgetReachedError, CallError, InputError, RunError
from evolvent.evolution.auto_evol_instruct.keywords import Keywords, Naming, _named_ways, keywords, naming_stage
from evolvent.evolution.auto_evol_instruct.ways import ListedWays
from evolvent.evolution.evolve import evolve
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling
from evolvent.options import Calling
from evolvent.records import Record, schema
from evolvent.report.keywords import keyword_tables
from evolvent.runs.inputs import stage_input
from evolvent.runs.manifest import read_manifest, write_manifest
from evolvent.runs.record_files import record_table
from tests.scripted import Opened

EVOLVER, NAMER, OTHER = (f"openai:{name}?base_url=http://host:1/v1" for name in ("evolver", "namer", "other"))
LISTS = ["1. Add a limit.\n2. Ask\n   why.", "- add a LIMIT\n- Name a place.\n- Ask for reasons", ""]
NAMES = {
    "Add a limit.": "**Limits**",
    "Ask why.": "reasons",
    "Ask for reasons": "The reason.",
    "Name a place.": "place",
}


def answer(prompt: str, sampling: Sampling) -> str:
    if "#Finally Rewritten Instruction#" in prompt:
        number = int(prompt.rsplit(" ", 1)[1])
        listed = LISTS[number % 3]
        ways = f"Step 1 #Methods List#:\n{listed}\nStep 2 #Plan#:\nAll.\n" if listed else ""
        return f"{ways}Step 4 #Finally Rewritten Instruction#:\nMend sock {number} well"
    return NAMES[prompt.split("\n\n")[1]]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER, NAMER, OTHER), answer)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    return opened


@pytest.fixture
def run(tmp_path: Path, models: Opened) -> Path:
    evolved(tmp_path / "run")
    return tmp_path / "run"


def evolved(out: Path, seeds: int = 3, **options: object) -> None:
    rows = [{"instruction": f"Mend sock {n}"} for n in range(seeds)]
    evolve(rows, **{"model": EVOLVER, "out": out, "method": "auto-evol-instruct", "rounds": 1, **options})  # type: ignore[arg-type]


def named(run: Path, **options: object) -> Keywords:
    return keywords(run, **{"model": NAMER, "concurrency": 1, **options})  # type: ignore[arg-type]


def test_each_different_way_is_named_once_and_equal_names_are_one_keyword(run: Path, models: Opened) -> None:
    found = named(run)
    assert found.keywords == [("limit", 2), ("reason", 2), ("place", 1)]
    assert found.counts == {
        "evolutions": 3,
        "without a list": 1,
        "ways": 5,
        "different ways": 4,
        "ways without a keyword": 0,
    }
    assert found.run.output == run / "keywords.parquet"
    assert [(row.instruction, row.output, row.meta) for row in found.run] == [
        ("Add a limit.", "**Limits**", '{"times":2}'),
        ("Ask why.", "reasons", '{"times":1}'),
        ("Name a place.", "place", '{"times":1}'),
        ("Ask for reasons", "The reason.", '{"times":1}'),
    ]
    assert {(row.teacher, row.status) for row in found.run} == {(NAMER, "ok")}
    assert {(sampling.temperature, sampling.max_tokens) for _, sampling in models[NAMER].asked} == {(0.0, 512)}
    assert len(models[NAMER].asked) == 4
    assert read_manifest(run)["keywords"].counts["different keywords"] == 3


def test_a_second_start_asks_nothing_and_says_the_same(run: Path, models: Opened) -> None:
    before = named(run)
    models[NAMER].asked.clear()
    again = named(run)
    assert (again.keywords, again.counts) == (before.keywords, before.counts)
    assert again.run.already_done
    assert models[NAMER].asked == []


def test_it_goes_on_where_it_stopped(run: Path, models: Opened) -> None:
    models[NAMER].reply = breaking(after=2)
    with pytest.raises(BudgetReachedError):
        named(run)
    models[NAMER].reply = answer
    assert len(named(run).keywords) == 3
    assert len(models[NAMER].asked) == 3 + 2  # the third call of the first start was not answered


def breaking(after: int) -> Callable[[str, Sampling], str]:
    left = iter(range(after))

    def reply(prompt: str, sampling: Sampling) -> str:
        if next(left, None) is None:
            raise BudgetReachedError("enough")
        return answer(prompt, sampling)

    return reply


def test_a_way_that_gets_no_keyword_is_counted(run: Path, models: Opened) -> None:
    def reply(prompt: str, sampling: Sampling) -> Reply:
        if "Ask why" in prompt:
            raise CallError("server said no")
        if "limit" in prompt:
            return Reply("limit and", "length")
        return Reply("one two three four five six seven eight nine ten eleven" if "place" in prompt else "Why", "stop")

    models[NAMER].reply = reply
    found = named(run)
    assert found.keywords == [("why", 1)]
    assert found.counts["ways without a keyword"] == 3
    assert [(row.status, row.reason) for row in found.run] == [
        ("eliminated", "truncated"),
        ("failed", "server said no"),
        ("eliminated", "no phrase"),
        ("ok", None),
    ]
    models[NAMER].reply = answer
    assert named(run, retry_failed=True).keywords == [("reason", 1), ("why", 1)]


def test_the_tables_and_the_file(run: Path, models: Opened, tmp_path: Path) -> None:
    found = named(run, out=tmp_path / "keywords.json")
    first, second = keyword_tables(found)
    assert first.rows[:2] == [("different keywords", "3"), ("evolutions", "3")]
    assert second.rows == [("limit", "2"), ("reason", "2"), ("place", "1")]
    content = json.loads((tmp_path / "keywords.json").read_text())
    assert content["different keywords"] == 3
    assert content["keywords"][1] == {"keyword": "reason", "times": 2, "ways": ["Ask why.", "Ask for reasons"]}


def test_the_stage_is_plain_data_that_another_process_can_work_on(run: Path) -> None:
    stage = naming_stage(run, Naming(model=NAMER), Calling())
    sent = pickle.loads(pickle.dumps(stage))
    assert (sent.work, sent.settings, sent.needs) == (stage.work, stage.settings, stage.needs)
    assert list(sent.source.records(2)) == list(stage.source.records(2))
    assert [position for position, _ in sent.source.records(2)] == [2, 3]


def test_memory_does_not_grow_with_the_ways(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        """The most that Python held while the lists of so many evolutions, all different, were counted and read."""
        run, named = tmp_path / f"{rows}", tmp_path / f"{rows}" / "keywords.parquet"
        write_file(run / "evolved.parquet", (evolution(n) for n in range(rows)))
        write_file(named, (replace(evolution(n), output=f"word {n % 100}", meta='{"times":1}') for n in range(rows)))
        write_manifest(run, {})
        tracemalloc.start()
        source = ListedWays(stage_input(run, before="evolve"))
        assert sum(1 for _ in source) == source.rows == source.counts["different ways"] == 2 * rows
        with closing(_named_ways(named)) as found:
            assert len(found.execute("SELECT keyword, sum(times) FROM way GROUP BY 1").fetchall()) == min(rows, 100)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)  # what is imported and cached once
    few, many = peak(4_000), peak(12_000)
    assert many < few + 500_000, (few, many)  # the texts alone are 8 MB more


def evolution(number: int) -> Record:
    listed = "\n".join(f"{place}. Add limit {number}, {place}: {number:0200b}." for place in (1, 2))
    meta = json.dumps({"auto_evol_instruct": {"methods_list": listed}})
    return Record(f"{number}/r1", f"{number}", number, "Do it well", round=1, method="auto-evol-instruct", meta=meta)


def write_file(path: Path, records: Iterable[Record]) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(record_table(list(records), schema()), path)


def test_rows_that_failed_or_were_made_otherwise_have_no_part(tmp_path: Path, models: Opened) -> None:
    def reply(prompt: str, sampling: Sampling) -> str:
        if prompt.endswith("sock 1"):
            raise CallError("server said no")
        return answer(prompt, sampling) + ("" if prompt.endswith("sock 2") else "\n#Plan#")  # a leak

    models[EVOLVER].reply = reply
    evolved(tmp_path / "run")
    found = named(tmp_path / "run")
    assert found.keywords == [("limit", 1), ("reason", 1)]  # of the eliminated one; the failed one has no reply
    assert (found.counts["evolutions"], found.counts["without a list"]) == (2, 1)


def test_a_dry_run_asks_and_writes_nothing(run: Path, models: Opened, tmp_path: Path) -> None:
    found = named(run, dry_run=True, out=tmp_path / "keywords.json")
    assert found.run.estimate is not None
    assert found.run.estimate.records == 4
    assert models[NAMER].asked == []
    assert not (run / "keywords.parquet").exists()
    assert not (tmp_path / "keywords.json").exists()


def test_other_settings_and_another_evolution_are_refused_or_made_anew(run: Path, models: Opened) -> None:
    named(run)
    with pytest.raises(InputError, match=r"model: .*namer.* in the folder, .*other.* now"):
        named(run, model=OTHER)
    evolved(run, seeds=2, fresh=True)
    models[NAMER].asked.clear()
    assert named(run).counts["evolutions"] == 2
    assert models[NAMER].asked == []  # each way was named before


def test_what_cannot_work_is_refused(run: Path, models: Opened, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        named(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is no folder"):
        named(run, out=tmp_path / "file" / "keywords.json")
    models[EVOLVER].reply = lambda prompt, _: prompt.split("Prompt#:\n", 1)[1].split("\n", 1)[0] + " well"
    evolve([{"instruction": "Mend it"}], model=EVOLVER, out=tmp_path / "other", rounds=1)
    with pytest.raises(InputError, match="no evolutions by auto-evol-instruct"):
        named(tmp_path / "other")
    models[EVOLVER].reply = lambda *_: "#Finally Rewritten Instruction#:\nMend it well"
    evolved(tmp_path / "empty")
    with pytest.raises(InputError, match="none of its 3 evolutions lists any"):
        named(tmp_path / "empty")
    models[NAMER].reply = breaking_always
    with pytest.raises(RunError, match="every record of keywords failed"):
        named(run)


def breaking_always(prompt: str, sampling: Sampling) -> str:
    raise CallError("server said no")
