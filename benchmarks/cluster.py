"""A cluster simulated: workers that wait for a slot, start, make their shard part by part, fail, and are started again.

A record's calls are stored when they are answered: with a shared disk a failure costs a start, and with saved stores
the calls since the last copy, too; when copies are made is as in the call store. (Where parts are on a shared disk and
only the store is not, those of finished parts are not made again: fewer than here.) Events and waiting are simpy's.
How slow a worker is and when it fails is drawn for each attempt by the seed, the shard and the attempt, so that a
simulation is repeated exactly.
"""

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import simpy

from evolvent.call_store.apart import PAUSES
from evolvent.call_store.journal import SAVE_S

Step = Iterator[simpy.Event]


@dataclass(frozen=True, slots=True)
class Plan:
    """One stage on a cluster.

    Attributes:
        parts: records in each part of the output.
        shards: how many there are; shard k makes part k, and every so-manieth behind it.
        call_s: seconds of a worker for a call, when no server keeps it waiting.
        calls_each: calls of a record.
        start_s: from a worker's start to its first call: the interpreter, the look at the input.
        check_s: a check of the input, of which what was found is kept.
        check: ``once``, by one worker that is started before the others; ``each``, by every worker that starts while
            nothing is kept yet.
        merge_s: joining all shards.
        slots: workers that run at once; 0 for as many as there are shards.
        queue_s: mean wait for a slot that is free (exponential).
        walltime_s: a worker is told to end then, saves, and its shard is submitted again; 0 for no limit.
        mtbf_s: mean time between failures of a worker's node (exponential); 0 for none.
        slow, slow_by: share of nodes that are slower, and how many times.
        servers, server_calls_s: servers of the model, and calls a second of each; 0 servers keep nobody waiting.
        store: ``shared``, a disk that outlives nodes; ``saved``, a node's own, lost with it but for what was saved.
        save_s: seconds of copying a call of a store.
        forced: by shard, seconds after its first start at which its node fails, whatever is drawn.
        seed: of all that is drawn.
    """

    parts: tuple[int, ...]
    shards: int
    call_s: float
    calls_each: float = 1.0
    start_s: float = 0.0
    check_s: float = 0.0
    check: Literal["once", "each"] = "once"
    merge_s: float = 0.0
    slots: int = 0
    queue_s: float = 0.0
    walltime_s: float = 0.0
    mtbf_s: float = 0.0
    slow: float = 0.0
    slow_by: float = 1.0
    servers: int = 0
    server_calls_s: float = 0.0
    store: Literal["shared", "saved"] = "shared"
    save_s: float = 0.0
    forced: Mapping[int, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(slots=True)
class Shard:
    """One shard: its parts, how many records of them are made, and how many of those are in a saved copy.

    ``copying`` is the last copy that was begun: when it is whole, and how many records it has.
    """

    number: int
    parts: tuple[int, ...]
    made: int = 0
    saved: int = 0
    copying: tuple[float, int] = (0.0, 0)
    attempts: int = 0
    ended: bool = False


@dataclass(slots=True)
class Came:
    """What a simulation came to.

    Attributes:
        made: records of all shards when they were done.
        ended_s: from the submission to the merged file.
        merge_s: of that, the merge.
        worker_s: seconds of all workers from their starts to their ends.
        starting_s: of these, seconds before an attempt's first call.
        checks: workers that checked the input.
        lost_s: of these, seconds that led to nothing: starts after a shard's first, checks after the input's first, and
            calls that were made again.
        repeated: calls that were made again.
        failures, limits: attempts that a failure, or the walltime, has ended.
        last_s: by how much the last shard ended after half of them had.
    """

    made: int = 0
    ended_s: float = 0.0
    merge_s: float = 0.0
    worker_s: float = 0.0
    starting_s: float = 0.0
    checks: int = 0
    lost_s: float = 0.0
    repeated: float = 0.0
    failures: int = 0
    limits: int = 0
    last_s: float = 0.0


def simulate(plan: Plan) -> Came:
    """Run a plan to its end.

    Raises:
        ValueError: no worker would ever make a call.
    """
    longest_s = plan.start_s + plan.check_s
    if min(plan.walltime_s or math.inf, plan.mtbf_s or math.inf) <= longest_s:
        raise ValueError(f"a worker takes {longest_s:,.0f} s to start, and does not live so long")
    before_s = plan.check_s if plan.check == "once" else 0.0
    env = simpy.Environment(before_s)
    came = Came(merge_s=plan.merge_s, worker_s=before_s, starting_s=before_s, checks=int(before_s > 0))
    slots = simpy.Resource(env, plan.slots or plan.shards)
    servers = simpy.Resource(env, plan.servers) if plan.servers else None
    shards = [Shard(number, plan.parts[number :: plan.shards]) for number in range(plan.shards)]
    ends: list[float] = []
    for shard in shards:
        env.process(_until_made(env, plan, shard, slots, servers, came, ends))
    env.run()
    came.made = sum(shard.made for shard in shards)
    came.last_s = ends[-1] - ends[len(ends) // 2]
    came.ended_s = ends[-1] + plan.merge_s
    came.lost_s = max(0.0, came.starting_s - plan.shards * plan.start_s - plan.check_s) + came.repeated * plan.call_s
    return came


def _until_made(
    env: simpy.Environment,
    plan: Plan,
    shard: Shard,
    slots: simpy.Resource,
    servers: simpy.Resource | None,
    came: Came,
    ends: list[float],
) -> Step:
    """A shard's attempts, one after the other."""
    while not shard.ended:
        with slots.request() as slot:
            yield slot
            draw = random.Random(f"{plan.seed} {shard.number} {shard.attempts}")
            if plan.queue_s:
                yield env.timeout(draw.expovariate(1 / plan.queue_s))
            began = env.now
            attempt = env.process(_attempt(env, plan, shard, draw.random() < plan.slow, servers, came))
            fails = draw.expovariate(1 / plan.mtbf_s) if plan.mtbf_s else math.inf
            if not shard.attempts:
                fails = plan.forced.get(shard.number, fails)
            limit = plan.walltime_s or math.inf
            shard.attempts += 1
            if math.isinf(min(fails, limit)):
                yield attempt
            else:
                yield attempt | env.timeout(min(fails, limit))
                if attempt.is_alive:
                    attempt.interrupt("failed" if fails < limit else "told to end")
                    yield attempt
            came.worker_s += env.now - began
    ends.append(env.now)


def _attempt(
    env: simpy.Environment, plan: Plan, shard: Shard, slow: bool, servers: simpy.Resource | None, came: Came
) -> Step:
    """One worker: it starts, then makes what its shard lacks, until it is done or interrupted."""
    call_s = plan.call_s * (plan.slow_by if slow else 1.0)
    check_s = 0.0 if came.checks else plan.check_s
    began, start_s = env.now, plan.start_s + check_s
    next_copy = began + start_s + SAVE_S
    try:
        yield env.timeout(start_s)
        came.checks += check_s > 0
        for size in _left(shard):
            yield from _make_part(env, plan, shard, size, call_s, servers)
            if plan.store == "saved" and env.now >= next_copy:
                copy_s = _begin_copy(env, plan, shard)
                next_copy = env.now + copy_s + max(SAVE_S, PAUSES * copy_s)
        if plan.store == "saved":
            yield env.timeout(_begin_copy(env, plan, shard))
        shard.ended = True
    except simpy.Interrupt as why:
        if why.cause == "failed":
            came.failures += 1
            if plan.store == "saved":
                _fall_back(env, plan, shard, came)
        else:
            came.limits += 1
            if plan.store == "saved":
                yield env.timeout(_begin_copy(env, plan, shard))
    came.starting_s += min(env.now - began, start_s)


def _make_part(
    env: simpy.Environment, plan: Plan, shard: Shard, size: int, call_s: float, servers: simpy.Resource | None
) -> Step:
    """Make a part, or what is left of one. When it is interrupted, what was answered until then is stored."""
    asked, calls = env.now, size * plan.calls_each
    served_s = calls / plan.server_calls_s if servers else 0.0
    began, ends = math.inf, math.inf
    try:
        with servers.request() if servers else nullcontext() as turn:
            if turn is not None:
                yield turn
            began = env.now
            ends = max(began + served_s, asked + calls * call_s)
            yield env.timeout(served_s)
        yield env.timeout(ends - env.now)
    except simpy.Interrupt:
        if env.now > began:
            shard.made += int(size * (env.now - began) / (ends - began))
        raise
    shard.made += size


def _left(shard: Shard) -> Iterator[int]:
    """The sizes of a shard's parts that are still to be made, the first of them without the records that are made."""
    end = 0
    for size in shard.parts:
        end += size
        if end > shard.made:
            yield min(size, end - shard.made)


def _begin_copy(env: simpy.Environment, plan: Plan, shard: Shard) -> float:
    """Begin a copy of the whole store, beside which calls go on; the seconds that it takes."""
    _take_copy(env, shard)
    copy_s = shard.made * plan.calls_each * plan.save_s
    shard.copying = (env.now + copy_s, shard.made)
    return copy_s


def _take_copy(env: simpy.Environment, shard: Shard) -> None:
    """Count as saved what the last copy has, if it is whole by now."""
    if env.now >= shard.copying[0]:
        shard.saved = shard.copying[1]


def _fall_back(env: simpy.Environment, plan: Plan, shard: Shard, came: Came) -> None:
    """Go back to what was saved: the calls since are made again."""
    _take_copy(env, shard)
    came.repeated += (shard.made - shard.saved) * plan.calls_each
    shard.made, shard.copying = shard.saved, (env.now, shard.saved)
