"""The simulation of a cluster: cases that can be worked out by hand, and what no failure may change."""

from dataclasses import replace

import pytest

from benchmarks.cluster import Plan, simulate
from evolvent.call_store.journal import SAVE_S

PLAN = Plan((100,) * 12, shards=4, call_s=0.5, start_s=10, merge_s=7)


def test_equal_workers_that_do_not_fail() -> None:
    came = simulate(PLAN)
    assert came.ended_s == 10 + 3 * 100 * 0.5 + 7
    assert (came.made, came.worker_s, came.lost_s, came.repeated, came.last_s) == (1200, 4 * 160, 0, 0, 0)


def test_fewer_slots_than_shards() -> None:
    assert simulate(replace(PLAN, slots=2)).ended_s == 2 * 160 + 7


def test_servers_that_bound_the_rate() -> None:
    came = simulate(replace(PLAN, servers=1, server_calls_s=4, calls_each=2))
    assert came.ended_s == 10 + 1200 * 2 / 4 + 7  # 8 calls a second, of which it serves 4
    assert simulate(replace(PLAN, servers=4, server_calls_s=4)).ended_s == simulate(PLAN).ended_s


def test_a_slow_node_is_waited_for() -> None:
    came = simulate(replace(PLAN, slow=1.0, slow_by=3.0))
    assert came.ended_s == 10 + 3 * 150 + 7


def test_a_node_that_fails_costs_a_start_where_the_disk_is_shared() -> None:
    came = simulate(replace(PLAN, forced={2: 70.0}))
    assert came.ended_s == 70 + 10 + (150 - 60) + 7
    assert (came.made, came.failures, came.repeated, came.lost_s, came.last_s) == (1200, 1, 0, 10, 10)


def test_a_node_that_fails_costs_the_calls_since_the_last_copy() -> None:
    came = simulate(replace(PLAN, store="saved", save_s=0.01, forced={2: 70.0}))
    # A copy was begun when the first part was made, at 60 s, later than the first copy may be (10 + SAVE_S): 1 s.
    assert SAVE_S <= 50
    assert (came.repeated, came.lost_s) == (20, 10 + 20 * 0.5)
    assert came.ended_s == pytest.approx(70 + 10 + 100 + 3 + 7)  # 200 records are left; the last copy is of 300
    before = simulate(replace(PLAN, store="saved", save_s=0.2, forced={2: 70.0}))
    assert before.repeated == 120  # the copy was not whole


def test_a_walltime_that_is_over_costs_a_start() -> None:
    came = simulate(replace(PLAN, walltime_s=110.0))
    assert (came.limits, came.repeated, came.made) == (4, 0, 1200)
    assert came.ended_s == 110 + 10 + 50 + 7


def test_no_row_is_lost_or_made_twice_and_the_same_seed_is_the_same_run() -> None:
    rough = replace(PLAN, parts=(37,) * 100 + (11,), shards=16, slots=5, queue_s=20, walltime_s=60, mtbf_s=40)
    rough = replace(rough, slow=0.3, slow_by=2.5, servers=2, server_calls_s=3)
    for store in ("shared", "saved"):
        plan = replace(rough, store=store, save_s=0.001)
        came = simulate(plan)
        assert came.made == 37 * 100 + 11
        assert came.failures > 10 and came.limits > 0
        assert (came.repeated > 0) == (store == "saved")
        assert came == simulate(plan) != simulate(replace(plan, seed=1))


def test_workers_that_would_never_make_a_call() -> None:
    with pytest.raises(ValueError, match="takes 10 s to start"):
        simulate(replace(PLAN, walltime_s=5.0))


def test_an_input_that_one_worker_checks_or_all() -> None:
    once = simulate(replace(PLAN, check_s=100, slots=2))
    each = simulate(replace(PLAN, check_s=100, check="each", slots=2))
    assert (once.checks, once.lost_s, once.worker_s) == (1, 0, 100 + 4 * 160)
    assert (each.checks, each.lost_s, each.worker_s) == (2, 100, 200 + 4 * 160)  # the third finds it checked
    assert once.ended_s == each.ended_s == 100 + 2 * 160 + 7
