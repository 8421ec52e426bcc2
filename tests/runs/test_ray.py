"""Shards as tasks of a local Ray cluster: a real one, of two workers."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.evolution.evolve import evolve
from evolvent.runs.ray import _connected
from evolvent.runs.run import Run
from tests.runs.staged import write_seeds

pytest.importorskip("ray", reason="Ray is an extra of its own")


def evolved(seeds: Any, out: Path, **how: object) -> Run:
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
        with pytest.raises(InputError, match="data that is no file cannot be sent"):
            evolved([{"instruction": "Mend it."}], tmp_path / "none", engine="ray", shards=2)
    finally:
        ray.shutdown()
    assert done.output.read_bytes() == evolved(seeds, tmp_path / "one").output.read_bytes()
    assert again.already_done
    assert not (tmp_path / "none").exists()


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


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto", "no such address", "127.0.0.1:999999"])
def test_where_there_is_no_such_cluster_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "no clusters"))
    with pytest.raises(InputError, match="there is no Ray cluster at"):
        evolved(write_seeds(tmp_path, range(2)), tmp_path / "new" / "run", engine="ray", shards=2, ray_address=address)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("given", "variable", "address"), [(None, None, "local"), ("auto", "10.0.0.9:1", "auto"), (None, "auto", "auto")]
)
def test_without_an_address_no_cluster_is_joined_that_happens_to_be_there(
    monkeypatch: pytest.MonkeyPatch, given: str | None, variable: str | None, address: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    cluster = Mock()
    cluster.is_initialized.return_value = False
    with _connected(cluster, given):
        assert cluster.init.call_args.kwargs["address"] == address
        assert not cluster.shutdown.called
    assert cluster.shutdown.called
