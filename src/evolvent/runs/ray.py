"""Ray: the shards of a stage as tasks of a cluster, then joined. What runs in a task is what runs on one machine."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolvent.errors import InputError, RunError, require_extra
from evolvent.models.models import Models
from evolvent.object_storage.bring import bring, bring_shards, with_run
from evolvent.object_storage.urls import place_of, url_of
from evolvent.options import Calling
from evolvent.runs.folder import RunFolder
from evolvent.runs.local import run
from evolvent.runs.made_folder import made_run_folder
from evolvent.runs.merge import merge_stage
from evolvent.runs.options import Merging
from evolvent.runs.progress import say
from evolvent.runs.run import Run
from evolvent.runs.shards import made_in, ready_for_shards
from evolvent.runs.stage import Stage
from evolvent.shard import Shard

# How often a shard is started again whose worker died: it goes on from its store each time.
RESTARTS = 20
# A cluster's address, and how long it may take to answer.
PLACE = re.compile(r"(?:ray://)?(?P<host>[^:/]+):(?P<port>\d+)")
ANSWERS_S = 10


def run_on_ray(stage: Stage, out: Path, calling: Calling) -> Run:
    """Make all shards of a stage as tasks of a Ray cluster, and join them.

    Args:
        stage: the stage.
        out: the run folder, on a disk that all nodes share.
        calling: how calls are made; ``shards`` says how many tasks there are, ``ray_address`` where the cluster is.

    Raises:
        InputError: Ray is not installed, there is no such cluster, or the stage cannot be made so.
        RunError: some shards could not be made; what the others made is kept.
        BudgetReachedError: a shard's budget is spent.
    """
    require_extra("ray", "ray")
    import ray

    assert calling.shards is not None
    if (done := ready_for_shards(stage, out, calling.shards, calling)) is not None:
        return done
    with _connected(ray, calling.ray_address), made_run_folder(out):
        stage.source.keep(out)  # what was checked once need not be checked by every worker
        _make_shards(ray, stage, out, calling)
    if (url := url_of(out)) is not None:
        bring_shards(url)
    given = Merging(fresh=calling.fresh, mix_versions=calling.mix_versions)
    with RunFolder(out) as folder:
        return merge_stage(stage.name, folder, made_in(out)[stage.name], given, stage.derive)


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """A connection to a cluster, as named or as a Ray job has it, or to one that is started here.

    A connection that was there before stays.

    Raises:
        InputError: there is no cluster of this address.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address is not None and (place := PLACE.fullmatch(address)):
            socket.create_connection((place["host"], int(place["port"])), ANSWERS_S).close()  # Ray tries for minutes
        ray.init(address=address or "local", log_to_driver=False, include_dashboard=False)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise InputError(
            f"there is no Ray cluster{f' at {address}' if address else ''}: {' '.join(str(error).split())[:300]}",
            fix="Start one (ray start --head), or leave --ray-address out: one is started here. One that asks for a "
            "token needs RAY_AUTH_MODE=token.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def make_shard(stage: Stage, out: Path, calling: Calling, working_directory: str, url: str | None = None) -> None:
    """Make one shard, in a worker.

    Args:
        stage: the stage.
        out: the run folder.
        calling: how calls are made; names the shard.
        working_directory: the driver's, in which the paths of all these begin.
        url: that of which ``out`` is the copy, if it is one.

    Raises:
        InputError: copies lie elsewhere on this node. Else as for ``run``.
    """
    os.chdir(working_directory)
    if url is not None and place_of(url) != out:
        raise InputError(
            f"{url} is {out} where the command was started, and {place_of(url)} on a worker's node",
            fix="Set one TMPDIR on all nodes, and start Ray as one user.",
        )
    for path in (out, stage.source.about["source"]):  # on a node that shares no disk with the driver's
        if (url := url_of(path)) is not None:
            bring(with_run(url))
    with Models() as models:
        run(stage, out, models, calling)


def _make_shards(ray: Any, stage: Stage, out: Path, calling: Calling) -> None:
    """Start a task for each shard, and wait for all of them.

    Raises:
        EvolventError: what the first shard that could not be made has said.
        RunError: its workers died.
    """
    assert calling.shards is not None
    task = ray.remote(num_cpus=1, num_gpus=calling.gpus_per_shard, max_retries=RESTARTS)(make_shard)
    own = replace(calling, engine="local", shards=None, ray_address=None, gpus_per_shard=0.0, progress=False, show=0)
    stage_there, working_directory, running = ray.put(stage), str(Path.cwd()), dict[Any, Shard]()
    for number in range(1, calling.shards + 1):
        shard = Shard(number, calling.shards)
        named = task.options(name=f"{stage.name} {shard}")
        running[named.remote(stage_there, out, replace(own, shard=str(shard)), working_directory, url_of(out))] = shard
    failed: dict[int, Exception] = {}
    while running:
        (ended,), _ = ray.wait(list(running), num_returns=1)
        shard = running.pop(ended)
        try:
            ray.get(ended)
            words = "is made"
        except ray.exceptions.RayTaskError as error:
            failed[shard.number], words = error.cause, f"failed: {error.cause}"
        except ray.exceptions.RayError as error:
            words = f"failed: its workers died, {RESTARTS + 1} in all: {' '.join(str(error).split())[:300]}"
            failed[shard.number] = RunError(f"{stage.name}: shard {shard} {words}", fix="What the others made is kept.")
        say(f"{stage.name}: shard {shard} {words}; {len(running)} of {calling.shards} to come")
    if failed:
        raise failed[min(failed)]
