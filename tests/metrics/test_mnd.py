"""MND over a run: stored vectors, equal texts, what has no distance."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolvent import score
from evolvent.errors import RunError
from evolvent.metrics import embeddings
from evolvent.models import models as opened_models
from evolvent.runs.record_files import read_records
from evolvent.runs.run import Run


class Letters:
    """An embedder that counts letters; and the texts that it embeds."""

    uri, identity, dimensions, context = "hf:letters", '{"letters":1}', 26, 1_000

    def __init__(self) -> None:
        self.embedded: list[str] = []
        self.fail_after = 10**9

    def embed(self, texts: Sequence[str], *, stop: threading.Event | None = None) -> np.ndarray:  # noqa: ARG002
        if len(self.embedded) >= self.fail_after:
            raise RuntimeError("killed")
        self.embedded += texts
        counts = [[text.lower().count(chr(97 + n)) + 0.01 for n in range(26)] for text in texts]
        vectors = np.array(counts, np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    model = Letters()
    monkeypatch.setattr(opened_models, "open_embedder", lambda *_, **__: model)
    return model


@pytest.fixture
def measured(tmp_path: Path, letters: Letters) -> Callable[..., Run]:
    def run(texts: Sequence[str], **options: Any) -> Run:
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps({"instruction": text, "output": "x"}) + "\n" for text in texts))
        return score(path, metrics=["mnd"], embedder="hf:o/letters", **{"out": tmp_path / "run", **options})

    return run


TEXTS = ["Mend a sock", "Draw a cat", "Mend a sock", "Mend a sack", "قطة", "x" * 1_000_000, "Mend a sock "]


def test_distances_beside_brute_force(measured: Callable[..., Run], letters: Letters) -> None:
    rows = list(measured(TEXTS))
    assert sorted(letters.embedded) == sorted(set(TEXTS))  # equal ones once
    vectors = Letters().embed(TEXTS).astype(float)
    distances = ((vectors[:, None] - vectors[None]) ** 2).sum(-1)
    np.fill_diagonal(distances, 9)
    for row, others in zip(rows, distances, strict=True):
        assert row.scores["mnd"] == pytest.approx(others.min(), abs=1e-6)
        assert row.scores["mnd_cosine"] == pytest.approx(others.min() / 2, abs=1e-6)
        assert row.scores["repeats"] == (others < 0.05).sum()
    assert rows[0].scores["mnd"] == rows[2].scores["mnd"] == 0
    assert rows[0].scores["embedder"] == "hf:o/letters"


def test_an_only_instruction_has_no_distance(measured: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no row has a value of mnd .mnd: no other instruction to be far from"):
        measured(["Mend a sock"])
    [row] = read_records(tmp_path / "run/scored.parquet")
    assert row.scores["mnd"] is None
    assert row.scores["score_reason"] == "mnd: no other instruction to be far from"


def test_no_vector_is_computed_twice(
    measured: Callable[..., Run], letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "TOGETHER", 2)
    letters.fail_after = 4
    with pytest.raises(RuntimeError, match="killed"):
        measured(TEXTS)
    letters.fail_after = 10**9
    interrupted = [row.scores["mnd"] for row in measured(TEXTS)]
    assert sorted(letters.embedded) == sorted(set(TEXTS))
    again = [row.scores["mnd"] for row in measured(TEXTS, fresh=True)]
    assert again == interrupted
    assert len(letters.embedded) == len(set(TEXTS))
