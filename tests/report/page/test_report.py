"""The report as a whole, without a browser: the verdict, how it was made, and a page that nothing gets out of."""

import hashlib
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from evolvent.errors import InputError
from evolvent.ranking.result import BaseRanking, Ranked, RankingVerdict, write_result
from evolvent.ranking.verdict import verdict_of
from evolvent.report.page import report
from evolvent.report.page.drawing import browser_scripts
from evolvent.report.page.figures import training
from evolvent.report.page.provenance import planned, provenance
from evolvent.report.page.report import write_report
from evolvent.report.page.source import read_sources
from evolvent.report.page.verdict import verdicts
from tests.report.page.runs import M, evolutions, ordered, student, whole_run, write


@pytest.fixture(autouse=True)
def _no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "browser_scripts", lambda: "window.vegaEmbed = () => {}")


class Page(HTMLParser):
    """The elements of a page, and what stands in each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.texts.append((self.tags[-1][0], data))


def page_of(folder: Path, **options: Any) -> str:
    return write_report(folder, **options).page.read_text(encoding="utf-8")


def test_a_page_runs_what_it_was_made_with_and_loads_nothing(tmp_path: Path) -> None:
    page = Page(page_of(whole_run(tmp_path / "run")))
    policy = next(attrs["content"] or "" for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "connect" not in policy
    hashes = {f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for _, text in page.texts}
    assert set(re.findall(r"'sha256-\S+'", policy)) <= hashes
    assert not [attrs for _, attrs in page.tags if {"src", "onload", "onerror", "style"} & set(attrs)]
    assert not [attrs for tag, attrs in page.tags if tag == "link" or (attrs.get("href") or "#")[0] != "#"]


def test_names_and_reasons_of_others_make_no_elements(tmp_path: Path) -> None:
    bad = "</script><script>document.title = 'harm'</script><img src=x>"
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder, "evolve", evolutions(["one", "two", "three"], reason=bad))
    page = Page(page_of(folder))
    assert [tag for tag, _ in page.tags].count("script") == 4 and "img" not in [tag for tag, _ in page.tags]
    data = orjson.loads(next(text for tag, text in page.texts if tag == "script" and text.startswith("{")))
    assert bad in str(data["figures"])


def test_the_verdict_comes_with_its_interval_and_with_what_would_change_it(tmp_path: Path) -> None:
    [verdict] = verdicts(read_sources([whole_run(tmp_path / "run")]))
    assert verdict.sentence == "16 of 24 evolutions are usable by our rules: 66.7% [46.7%, 82.0%]"
    assert "evolve: paraphrase cost 8 rows; without it 100.0% would be usable" in verdict.changes


def test_a_run_in_the_working_folder_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(whole_run(tmp_path / "run"))
    made = next(iter(provenance(read_sources([Path()]).runs[0])))
    assert made.command.endswith(" --out run")


def test_the_command_and_the_prices_are_those_of_the_manifest(tmp_path: Path) -> None:
    made = next(iter(provenance(read_sources([whole_run(tmp_path / "run")]).runs[0])))
    assert made.command == f"evolvent evolve seeds.jsonl --model {M} --rounds 2 --out run"
    assert (
        dict(made.facts)["paid"] == f"{M}: 3 calls, 30 tokens in, 20 out, 1.50 at 1 and 2 a million tokens in and out"
    )


def test_runs_are_compared_as_the_candidates_of_a_ranking(tmp_path: Path) -> None:
    folders = [whole_run(tmp_path / name) for name in ("a", "b")]
    done = write_report(folders, out=tmp_path / "both.html")
    text = done.page.read_text(encoding="utf-8")
    assert "cannot be told apart" in text or "no figure rules out" in text.lower()
    assert done.rows == done.of == 2 * (36 + 32) and done.size == len(done.page.read_bytes())


def test_a_ranking_is_told_as_it_was_written(tmp_path: Path) -> None:
    whole_run(tmp_path / "a")
    orders = [ordered("ifd", {"a": 0, "b": 1})]
    ranking = BaseRanking("openai:b", orders, verdict_of(orders, {"a": "a", "b": "b"}, trial=False), ["few rows"])
    folders = {name: tmp_path / name for name in ("a", "b")}
    write_result(Ranked(tmp_path, tmp_path / "plan.json", folders, {}, [ranking], {"a": {}, "b": {}}, {}))
    text = page_of(tmp_path)
    assert '<p class="verdict">By the only figure, ifd: a is the best</p>' in text and "<li>few rows</li>" in text
    assert "<li>ifd: a is the best (n = 60 seeds); b is worse by 1 [0.9, 1.1]</li>" in text


def test_of_a_ranking_the_page_has_its_plan_and_the_losses_of_its_students(tmp_path: Path) -> None:
    folders = {name: whole_run(tmp_path / name) for name in ("openai:a", "openai:b")}
    for seed in ("seed-0", "seed-1"):
        student(tmp_path / "openai:a" / "trial" / "base" / seed, {"1": 4}, [0, 1])
    ranking = BaseRanking("openai:b", [], RankingVerdict(together="all figures put a first"), [])
    plan = {"ranked": "evolvers", "candidates": list(folders), "input": {"seeds": "abc"}, "rule": "By the set."}
    (tmp_path / "plan.json").write_bytes(orjson.dumps(plan))
    fates: dict[str, dict[str, int]] = {name: {} for name in folders}
    write_result(Ranked(tmp_path, tmp_path / "plan.json", folders, {}, [ranking], fates, {}))
    sources = read_sources([tmp_path])
    [made] = planned(sources.rankings[0])
    assert made.command == f"evolvent rank evolvers DATA --model openai:a --model openai:b --out {tmp_path.name}"
    assert ("input", "seeds, digest abc") in made.facts
    assert f'<pre class="command">{made.command}</pre>' in page_of(tmp_path)
    [losses] = training.figures(sources)
    lines = {(one["student"], one["place"]) for one in losses.spec["data"]["values"]}
    assert {who for who, _ in lines} == {"a"} and len(lines) == 2


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        write_report(tmp_path)
    (tmp_path / "ranking.json").write_text("[]")
    with pytest.raises(InputError, match="is no ranking"):
        write_report(tmp_path)


def test_what_turns_the_order_of_texts_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    write(tmp_path / "run", "evolve", evolutions(["one", "two", "three"], reason="\u202eruoy \u2067 ton\u202c"))
    page = page_of(tmp_path / "run")
    assert not set(page) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert "evolve: \\u202eruoy \\u2067 ton\\u202c cost " in page
    data = next(text for (_, text) in Page(page).texts if text.startswith("{"))
    assert "\\\\u202eruoy \\\\u2067 ton\\\\u202c" in data  # JSON that says so


def test_only_a_page_of_ours_is_replaced(tmp_path: Path) -> None:
    run, mine, empty = whole_run(tmp_path / "run"), tmp_path / "mine.html", tmp_path / "empty.html"
    mine.write_text("<title>My own page</title>")
    with pytest.raises(InputError, match=r"mine\.html is there, and evolvent report did not write it"):
        write_report(run, out=mine)
    assert mine.read_text() == "<title>My own page</title>"
    empty.touch()  # as mktemp makes it
    for page in (empty, empty, None, None):
        assert write_report(run, out=page).size > 1_000


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    browser_scripts.cache_clear()
    monkeypatch.setattr("evolvent.errors.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"evolvent\[report\]"):
        write_report(whole_run(tmp_path / "run"))
    assert not (tmp_path / "run" / "report.html").exists()


def test_named_stages_and_the_other_model_of_an_evaluation_are_told_of_with_their_run(tmp_path: Path) -> None:
    whole_run(tmp_path / "run")
    for name in ("brief", "against", "plain files"):
        (tmp_path / "run" / name).mkdir()
    write(tmp_path / "run" / "brief", "respond", evolutions(["one"]))
    write(tmp_path / "run" / "against", "evaluate", [])
    sources = read_sources([tmp_path / "run"])
    assert [run.name for run in sources.runs] == ["run", "run/against", "run/brief"]
    assert [run.name for run in sources.whole] == ["run"] == [run.within for run in sources.runs[1:2]]
    [verdict] = verdicts(sources)
    assert verdict.sentence.startswith("16 of 24 evolutions")
    assert "run/brief: 2 of 2 answers are usable by our rules: 100.0% [34.2%, 100.0%]" in verdict.behind
    of_all = read_sources([tmp_path])  # a folder of runs: each is one of its own
    assert [run.name for run in of_all.whole] == [f"{tmp_path.name}/run"]
