"""The card of a data set: what the Hub reads, what people read, and that no text of others is more than text."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from evolvent.cli import app
from evolvent.errors import InputError
from evolvent.publishing import card as card_module
from evolvent.publishing.card import write_card
from evolvent.publishing.describe import size_category
from evolvent.publishing.markdown import escaped
from evolvent.runs.folder import RunFolder
from evolvent.runs.manifest import read_manifest, write_manifest
from evolvent.selection.select import select
from tests.report.page.runs import M, evolutions, whole_run, write

HARM = "a|b\n---\n# head <img src=x onerror=y> ![x](http://h.invalid) `x` [l](j) **b** | \\| ${x}$"


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module, "find_spec", lambda _: None)


def card_of(folder: Path, **options: Any) -> str:
    return write_card(folder, **options).path.read_text(encoding="utf-8")


def front_of(text: str) -> dict[str, Any]:
    from huggingface_hub import DatasetCard

    front = yaml.safe_load(text.split("---\n")[1])
    assert DatasetCard(text).data.to_dict() == front
    return dict(front)


def settings(folder: Path, stage: str, **changed: Any) -> None:
    """Change the settings that a manifest holds of a stage."""
    entries = read_manifest(folder)
    entries[stage].settings |= changed
    write_manifest(folder, entries)


def test_the_hub_finds_a_configuration_for_each_stage(tmp_path: Path) -> None:
    folder = whole_run(tmp_path / "run")
    select(folder, by="ifd", top=0.5, out=folder / "best of it.jsonl")
    front = front_of(card_of(folder))
    assert [one["config_name"] for one in front["configs"]] == ["best-of-it", "evolved", "scored"]
    assert front["configs"][0]["default"] is True and "default" not in front["configs"][1]
    files = [{"split": "train", "path": "data/evolved/train.parquet"}]
    assert front["configs"][1]["data_files"] == files
    assert front["task_categories"] == ["text-generation"] and front["size_categories"] == ["n<1K"]
    assert "license" not in front and "language" not in front


def test_what_is_known_is_told_with_its_counts(tmp_path: Path) -> None:
    text = card_of(whole_run(tmp_path / "run"))
    assert "- 16 of 24 evolutions are usable by our rules: 66.7% \\[46.7%, 82.0%\\]" in text
    assert "from 2 rows of seeds.jsonl, evolved by openai:m." in text
    assert "| evolved | 16 | 8 paraphrase |" in text
    assert "- paraphrase: it asks for nothing that the parent does not ask for" in text
    assert "| openai:m | evolves; scores | not known | not known |" in text
    assert re.search(r"\| ifd \| 0\.5\d+ .*\| 32 \| 0 \| ratio of losses \| higher \|", text)
    assert "evolvent evolve seeds.jsonl --model openai:m --rounds 2 --out run" in text
    assert "There are none: what draws them was not installed." in text
    assert "No row was compared with test sets" in text and "not all known and the same" in text


def test_a_run_that_only_evolved_has_a_card(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder, "evolve", evolutions(["one", "two"]), seeds=2)
    text = card_of(folder, license="cc-by-4.0")
    front = front_of(text)
    assert front["license"] == "cc-by-4.0" and len(front["configs"]) == 1
    assert 'load_dataset("OWNER/NAME", split="train")' in text and "## Scores" not in text
    assert "The licence of this data set, cc-by-4.0, was told" in text


def test_what_a_selection_says_is_in_the_card(tmp_path: Path) -> None:
    folder, tests = whole_run(tmp_path / "run"), tmp_path / "gsm8k.jsonl"
    tests.write_text('{"question": "' + " ".join(map(str, range(20))) + '"}\n')
    select(folder, by="ifd", top=3, out=folder / "selected.jsonl", decontaminate=[tests], language="en", dedup=0.9)
    text = card_of(folder)
    assert "No row of selected.jsonl shares a run of 13 words with gsm8k.jsonl (SHA-256 " in text
    assert "may be contamination" not in text and "Near-duplicates were not" not in text
    assert front_of(text)["language"] == ["en"]
    assert "| selected | 3 | a training set: of the rows that competed the highest ifd, 3 |" in text


def test_no_text_of_others_is_more_than_text(tmp_path: Path) -> None:
    folder = tmp_path / HARM.replace("/", "").replace("\n", " ")[:60]
    folder.mkdir()
    write(folder, "evolve", evolutions(["one", "two", "three"], reason=HARM), seeds=3)
    settings(folder, "evolve", system="```\n</details>\n# out ````` of it", operators=[[HARM, "1"]])
    text = card_of(folder)
    front_of(text)
    tokens = MarkdownIt("commonmark").enable("table").parse(text.split("---\n", 2)[2])
    inline = [one for token in tokens for one in token.children or ()]
    assert not {one.type for one in inline} & {"image", "link_open", "strong_open", "html_inline"}
    mark = re.search(r"<!-- written by evolvent card, digest [0-9a-f]{16} -->", text)
    assert mark is not None
    own = (mark[0], "<details><summary>Settings</summary>", "</details>")
    assert {token.content.strip() for token in tokens if token.type == "html_block"} == {*own}
    assert not [token for token in tokens if token.type == "heading_open" and token.tag not in ("h1", "h2", "h3")]
    cells = [
        token.content for token in tokens if token.type == "inline" and HARM[:3] in token.content.replace("\\", "")
    ]
    assert len(cells) == 3  # the title, the reason in its cell, the operator's name
    assert any("# out ````` of it" in token.content for token in tokens if token.type == "fence")
    assert escaped("a_b _c_ 1*2\x07") == "a_b \\_c\\_ 1\\*2\\x07".replace("\\x07", "\\\\x07")


def test_a_stage_that_is_not_finished_is_named_and_left_out(tmp_path: Path) -> None:
    folder = whole_run(tmp_path / "run")
    with RunFolder(folder) as run:
        run.begin("respond", {"teacher": [M]}, {"digest": "b", "stage": "evolve", "rows": 1}, fresh=True)
        run.start("respond", {M: "weights"})
    text = card_of(folder)
    assert "- respond was interrupted; its rows are not in it" in text
    assert [one["config_name"] for one in front_of(text)["configs"]] == ["scored", "evolved"]


def test_somebody_elses_readme_is_not_overwritten(tmp_path: Path) -> None:
    folder, readme = whole_run(tmp_path / "run"), tmp_path / "README.md"
    readme.write_text("# My project\n")
    with pytest.raises(InputError, match="evolvent card did not write it"):
        write_card(folder, out=readme)
    assert readme.read_text() == "# My project\n"
    assert card_of(folder) == card_of(folder)
    readme.unlink()
    write_card(folder, out=readme)
    readme.write_text(readme.read_text() + "And my own words.\n")
    with pytest.raises(InputError, match="it was changed since"):
        write_card(folder, out=readme)


def test_as_typed(tmp_path: Path) -> None:
    folder, out = whole_run(tmp_path / "run"), tmp_path / "README.md"
    done = CliRunner().invoke(app, ["card", str(folder), "--out", str(out), "--license", "mit"])
    assert done.output == f"written: {out}\n" and "license: mit" in out.read_text()


def test_what_is_no_data_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "training.json").write_bytes(orjson.dumps({"state": "done"}))
    with pytest.raises(InputError, match=r"a model, not data\nUpload it as one: hf upload"):
        write_card(tmp_path / "student")
    with pytest.raises(InputError, match="is not a run folder"):
        write_card(tmp_path)
    with RunFolder(tmp_path / "evaluated") as run:
        run.begin("evaluate", {}, {"digest": "a"}, fresh=False)
        run.start("evaluate", {M: "weights"})
    with pytest.raises(InputError, match="holds no data to publish: evaluate"):
        write_card(tmp_path / "evaluated")


def test_the_figures_stand_beside_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    done = write_card(whole_run(tmp_path / "run"), out=tmp_path / "card" / "README.md")
    linked = re.findall(r"!\[[^\]]*\]\((.*?)\)", done.path.read_text(encoding="utf-8"))
    assert linked and "figures/costs.png" not in linked
    assert all((done.path.parent / link).read_bytes().startswith(b"\x89PNG") for link in linked)


@pytest.mark.parametrize(
    ("rows", "name"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (2_000_000, "1M<n<10M"), (2 * 10**9, "1B<n<10B")]
)
def test_sizes_are_named_as_the_hub_does(rows: int, name: str) -> None:
    assert size_category(rows) == name
