"""What is said of a folder that holds shards or calls alone, by every command that reads a run folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

import evolvent
from evolvent.errors import InputError
from evolvent.evolution.evolve import evolve
from tests.runs.staged import EVOLVER, evolved, write_seeds
from tests.scripted import Opened

READERS: list[Callable[[Path], object]] = [
    evolvent.show,
    evolvent.write_report,
    evolvent.write_card,
    lambda folder: evolvent.push(folder, repo="me/mine", dry_run=True),
    lambda folder: evolvent.keywords(folder, model=EVOLVER),
]


@pytest.mark.parametrize("read", READERS)
def test_shards_and_a_preview_are_named_for_what_they_are(
    tmp_path: Path, models: Opened, read: Callable[[Path], object]
) -> None:
    seeds, sharded, previewed = write_seeds(tmp_path, range(8)), tmp_path / "sharded", tmp_path / "previewed"
    evolved(seeds, sharded, shard="2/2")
    with pytest.raises(InputError, match=r"holds shards that are not merged \(2/2\), and no stage") as error:
        read(sharded)
    assert f"evolvent merge {sharded}" in str(error.value) and str(sharded / "shards/2-of-2") in str(error.value)
    with pytest.raises(InputError, match=rf"has no calls\.sqlite\nName one of: {sharded / 'shards/2-of-2'}\."):
        evolvent.calls(sharded)
    evolve(seeds, model=EVOLVER, out=previewed, preview=1)
    with pytest.raises(InputError, match="holds calls, of a preview or a pilot, and no stage yet") as error:
        read(previewed)
    assert f"evolvent calls {previewed}" in str(error.value)
    with pytest.raises(InputError, match="is not a run folder"):
        read(tmp_path / "nowhere")
