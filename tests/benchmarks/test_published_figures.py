"""Figures of paper 1 out of its numbers: the same specifications as a report's, and what the text says of them."""

from pathlib import Path

import pytest

from benchmarks import published_figures
from benchmarks.published_figures import FIGURE_2, figures, main


def test_they_say_what_the_paper_says() -> None:
    drawn = {figure.name: figure.spec["data"]["values"] for figure, _ in figures()}
    assert len(drawn) == 14
    hardest = {one["rows"]: one["share"] for one in drawn["difficulty-level-alpaca"] if one["level"] == "very hard"}
    assert (round(hardest["round 3: SLM"], 3), round(hardest["round 3: LLM"], 3)) == (0.668, 0.221)
    third = [one for one in drawn["over-rounds-gsm8k"] if one["round"] == 3 and "SLM" in one["students of"]]
    assert [(one["value"], one["low"], one["high"]) for one in third] == [(0.6588, 0.6328, 0.6839)]
    for of in FIGURE_2.values():  # every round has the rows of its seeds, but for replies that could not be read
        rows = [sum(counts) for rounds in of.values() for counts in rounds]
        assert max(rows) - min(rows) < 0.001 * max(rows)


def test_they_are_written_with_what_the_originals_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(published_figures, "write_figures", lambda found, _: written.extend(found))
    main(tmp_path)
    text = (tmp_path / "figures.md").read_text(encoding="utf-8")
    assert all(f"({figure.name}.svg)" in text for figure in written) and text.count("The original: ") == len(written)
