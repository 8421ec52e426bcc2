"""Shards as tasks of a local Ray cluster: a real one, of two workers."""

from pathlib import Path

import pytest

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.evolution.evolve import evolve
from evolvent.runs.run import Run
from tests.runs.staged import write_seeds

pytest.importorskip("ray", reason="Ray is an extra of its own")


def evolved(seeds: Path, out: Path, **how: object) -> Run:
    return evolve(seeds, model="embedded", out=out, rounds=1, max_tokens=12, **how)


def test_a_stage_on_ray_is_the_file_of_one_machine_and_is_made_once(tmp_path: Path) -> None:
    import ray

    seeds = write_seeds(tmp_path, range(130))
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        done = evolved(seeds, tmp_path / "ray", engine="ray", shards=3)
        again = evolved(seeds, tmp_path / "ray", engine="ray", shards=3)
        with pytest.raises(ModelUnavailableError):
            evolve(seeds, model="hf:no/such", out=tmp_path / "none", engine="ray", shards=2)
    finally:
        ray.shutdown()
    assert done.output.read_bytes() == evolved(seeds, tmp_path / "one").output.read_bytes()
    assert again.already_done


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"engine": "ray"}, "--shards N"),
        ({"engine": "ray", "shards": 2, "shard": "1/2"}, "Leave --shard out"),
        ({"shards": 2}, "--shards is for --engine ray"),
        ({"engine": "ray", "shards": 2, "retry_failed": True}, "no --retry-failed"),
    ],
)
def test_what_makes_no_sense_with_it_is_refused(tmp_path: Path, how: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        evolved(write_seeds(tmp_path, range(2)), tmp_path / "run", **how)
