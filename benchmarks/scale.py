"""A plan for 10^9 rows: what each part of a run costs here, and a simulation of a cluster with those costs.

    python -m benchmarks.scale costs costs.json
    python -m benchmarks.scale simulate costs.json --shards 64,512,4096 --mtbf-h 0,1000,100

``costs`` measures each cost at two sizes and writes them.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.unit_costs import Cost, costs


def numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def measure_costs(given: argparse.Namespace) -> None:
    """Measure all costs, print them and write them."""
    print("| | of | size | s | CPU s | one more: CPU µs | again | MB of memory | bytes of one more |")
    print("|---|---|---|---|---|---|---|---|---|")
    found: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for name, cost in costs(Path(folder), numbers(given.called), numbers(given.many)):
            found[name] = cost
            for point in cost.points:
                rest = ", ".join(f"{what} {value / point.size:,.1f}" for what, value in point.found.items())
                each = 1e6 * point.cpu_s / point.size
                row = f"{point.size:,} | {point.seconds:.2f} | {point.cpu_s:.2f} | {each:,.2f}"
                print(f"| {name} | {cost.unit} | {row} | {point.peak_mb:,.0f} | {rest} |", flush=True)
    given.file.write_text(json.dumps({name: cost.to_json() for name, cost in found.items()}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("costs", help="measure what each part costs")
    measuring.add_argument("file", type=Path, help="where the costs are written, as JSON")
    measuring.add_argument("--called", default="4000,16000", help="rows made with calls")
    measuring.add_argument("--many", default="250000,1000000", help="rows that are only read, checked, merged")
    measuring.add_argument("--folder", type=Path, help="a folder on the disk to use; a temporary one if not given")
    measuring.set_defaults(run=measure_costs)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
