"""A plan for 10^9 rows: what each part of a run costs here, and a simulation of a cluster with those costs.

    python -m benchmarks.scale costs costs.json
    python -m benchmarks.scale simulate costs.json --shards 64,512,4096 --mtbf-h 0,1000,100 --store shared,saved

``costs`` measures each cost at two sizes and writes them. ``simulate`` reads them, and prints for each number of
shards, of which all run at once unless ``--slots`` says otherwise, and each rate of failures what a run comes to:
``evolve`` with one call a row, merged, then ``respond``, merged (``--stages``). Evolve's input is checked by one shard
that is started before the others, as Ray's driver does it, or by all of them (``--check each``).
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.cluster import Came, Plan, simulate
from benchmarks.unit_costs import Cost, costs
from evolvent.runs.parts import parts_of

HOUR = 3_600.0
TB = 1e12
STAGE_FILE = "a stage's file"


def numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def measure_costs(given: argparse.Namespace) -> None:
    """Measure all costs, print them and write them."""
    print(
        "| | of | size | s | CPU s | CPU µs of each | memory, MB | also, of each |\n|---|---|---|---|---|---|---|---|"
    )
    found: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for name, cost in costs(Path(folder), numbers(given.called), numbers(given.read), numbers(given.merged)):
            found[name] = cost
            for point in cost.points:
                rest = ", ".join(_found(what, value / point.size) for what, value in point.found.items())
                each = 1e6 * point.cpu_s / point.size
                row = f"{point.size:,} | {point.seconds:.2f} | {point.cpu_s:.2f} | {each:,.2f}"
                print(f"| {name} | {cost.unit} | {row} | {point.peak_mb:,.0f} | {rest} |", flush=True)
    given.file.write_text(json.dumps({name: cost.to_json() for name, cost in found.items()}, indent=1) + "\n")


def _found(name: str, each: float) -> str:
    return f"{name} {1e6 * each:,.2f} µs" if name.endswith("_s") else f"{name} {each:,.1f}"


def stage_plan(stage: str, shards: int, given: argparse.Namespace, cost: Mapping[str, Cost]) -> Plan:
    """A stage's plan with the measured costs, CPU seconds where the CPU does the work."""
    records = int(given.records)
    parts = tuple(len(part) for part in parts_of(records, 1))
    merging, footer = cost["merge rows"], cost["a row group of a file"].each("cpu_s")
    part_s = merging.fixed("cpu_s") / len(parts_of(merging.points[0].size, 1))
    # Evolve reads seeds; respond reads evolve's file: of each record two rows, of each part two row groups. That file's
    # footer is read anew for each part of a shard. What a stage wrote is not checked row by row.
    check_s = 0.0
    if stage == "evolve":
        reading_s, written = records * cost[f"pass over rows of {given.input}"].each("cpu_s"), 2 * records
        if given.input != STAGE_FILE:
            check_s = records * cost["check an input"].each("cpu_s")
    else:
        reading_s, written = 2 * records * cost[f"pass over rows of {STAGE_FILE}"].each("cpu_s"), records
        reading_s += len(parts) / shards * 2 * len(parts) * footer
    return Plan(
        parts,
        shards,
        call_s=max(cost[stage].each("cpu_s"), 1 / given.worker_calls_s),
        start_s=cost["start a worker"].points[0].cpu_s + reading_s,
        check_s=check_s,
        check=given.check,
        merge_s=written * merging.each("cpu_s") + len(parts) * part_s + records * cost["merge calls"].each("cpu_s"),
        slots=given.slots,
        queue_s=given.queue_s,
        walltime_s=given.walltime_h * HOUR,
        slow=given.slow,
        slow_by=given.slow_by,
        servers=given.servers,
        server_calls_s=given.server_calls_s,
        save_s=cost["save a store"].each("copy_s"),
        seed=given.seed,
    )


def simulate_all(given: argparse.Namespace) -> None:
    """Simulate every number of shards with every rate of failures and kind of store."""
    cost = {name: Cost.from_json(one) for name, one in json.loads(given.file.read_text()).items()}
    stages, counts = given.stages.split(","), numbers(given.shards)
    for stage in stages:
        plan = stage_plan(stage, counts[0], given, cost)
        stored, rows = (given.records * cost[stage].each(name) / TB for name in ("store_bytes", "file_bytes"))
        print(
            f"{stage}: {len(plan.parts):,} parts; a worker makes {1 / plan.call_s:,.0f} calls a second; merging takes "
            f"{plan.merge_s / HOUR:.1f} h; the merged store has {stored:.2f} TB, the file {rows:.2f} TB"
        )
    print(
        "\n| stage | shards | parts each | calls each | hours of calls | start, s | start that checks, s "
        "| checks of all, h | store each, GB | files of all |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for stage in stages:
        for shards in counts:
            plan, calls = stage_plan(stage, shards, given, cost), given.records / shards
            stored = calls * cost[stage].each("store_bytes") / 1e9
            files = len(plan.parts) + 3 * shards  # of each shard its manifest, its lock and its store
            row = f"{len(plan.parts) / shards:,.0f} | {calls:,.0f} | {calls * plan.call_s / HOUR:,.1f}"
            checked = f"{plan.start_s + plan.check_s:,.0f} | {shards * plan.check_s / HOUR:,.0f}"
            print(f"| {stage} | {shards:,} | {row} | {plan.start_s:,.0f} | {checked} | {stored:,.1f} | {files:,} |")
    print()
    print(
        "| shards | a node fails each | store | hours | merging, h | after half of the shards, h | lost | calls again |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for shards in counts:
        for mtbf_h in numbers(given.mtbf_h):
            for store in given.store.split(","):
                how = {"mtbf_s": mtbf_h * HOUR, "store": store}
                came = [simulate(replace(stage_plan(stage, shards, given, cost), **how)) for stage in stages]
                fails = f"{mtbf_h:,} h, {sum(one.failures for one in came):,} in all" if mtbf_h else "never"
                print(f"| {shards:,} | {fails} | {store} | {_figures(came)} |", flush=True)


def _figures(came: list[Came]) -> str:
    hours, merging, last = (sum(getattr(one, name) for one in came) / HOUR for name in ("ended_s", "merge_s", "last_s"))
    lost = sum(one.lost_s for one in came) / sum(one.worker_s for one in came)
    return f"{hours:,.1f} | {merging:.1f} | {last:.1f} | {lost:.2%} | {sum(one.repeated for one in came):,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("costs", help="measure what each part costs")
    measuring.add_argument("file", type=Path, help="where the costs are written, as JSON")
    measuring.add_argument("--called", default="4000,16000", help="rows made with calls")
    measuring.add_argument("--read", default="500000,4000000", help="rows that are only read and checked")
    measuring.add_argument("--merged", default="250000,1000000", help="rows, and half as many calls, that are merged")
    measuring.add_argument("--folder", type=Path, help="a folder on the disk to use; a temporary one if not given")
    measuring.set_defaults(run=measure_costs)
    simulating = commands.add_parser("simulate", help="simulate a cluster with these costs")
    simulating.add_argument("file", type=Path, help="what costs wrote")
    simulating.add_argument("--records", type=float, default=1e9)
    simulating.add_argument("--stages", default="evolve,respond", help="of evolve and respond, separated by commas")
    simulating.add_argument("--input", default="JSON Lines", choices=("JSON Lines", "Parquet", STAGE_FILE))
    simulating.add_argument("--check", default="once", choices=("once", "each"), help="who checks evolve's input")
    simulating.add_argument("--shards", default="64,512,4096")
    simulating.add_argument("--mtbf-h", default="0,1000,100", help="mean hours until a node fails; 0: never")
    simulating.add_argument("--store", default="shared,saved", help="on a disk that outlives nodes, or saved from one")
    simulating.add_argument("--slots", type=int, default=0, help="workers that run at once; 0 for all")
    simulating.add_argument("--queue-s", type=float, default=60, help="mean wait for a free slot")
    simulating.add_argument("--walltime-h", type=float, default=0, help="a worker is told to end then; 0 for never")
    simulating.add_argument("--slow", type=float, default=0, help="the share of slow nodes")
    simulating.add_argument("--slow-by", type=float, default=1.5, help="how many times slower they are")
    simulating.add_argument("--worker-calls-s", type=float, default=1e9, help="what a worker's own model answers")
    simulating.add_argument("--servers", type=int, default=0, help="servers that all workers share; 0 for no bound")
    simulating.add_argument("--server-calls-s", type=float, default=100, help="what each answers")
    simulating.add_argument("--seed", type=int, default=0)
    simulating.set_defaults(run=simulate_all)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
