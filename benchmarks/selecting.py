"""How much memory selecting takes by the number of rows: plain rows of JSON Lines with a score of ten values.

    python -m benchmarks.selecting                      # 10,000, 100,000 and 1,000,000 rows
    python -m benchmarks.selecting --rows 10000 --best-per instruction

Each line is one process from its start to its end: the most memory it held and its time.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import measure

# Each instruction comes this often; half of those with the best score are selected: ties are broken by id.
ANSWERS, SCORES = 4, 10
SELECT = """
import evolvent, sys
evolvent.select(sys.argv[1], by="s", top="5%", best_per=sys.argv[2] or None, out=sys.argv[3])
"""
WORDS = " ".join(f"word{n}" for n in range(100))


def write_rows(path: Path, rows: int) -> Path:
    """Rows of about 100 words."""
    with path.open("w") as file:
        for n in range(rows):
            row = {"instruction": f"Question {n // ANSWERS}?", "output": f"{n} {WORDS}", "s": n * 7 % SCORES}
            file.write(json.dumps(row) + "\n")
    return path


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000", help="how many, separated by commas")
    parser.add_argument("--best-per", default="", help="instruction or seed_id")
    parser.add_argument("--limit", type=float, default=3600, help="seconds that one run may take")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to use; a temporary one if not given")
    options = parser.parse_args()
    print("| rows | peak RSS, MB | s | rows/s | selected |\n|---|---|---|---|---|")
    for rows in map(int, options.rows.split(",")):
        with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
            data, out, log = (Path(temporary) / name for name in ("rows.jsonl", "selected.jsonl", "log"))
            command = [sys.executable, "-c", SELECT, write_rows(data, rows), options.best_per, out]
            ran = measure(command, log=log, limit_s=options.limit)
            if ran.status:
                raise SystemExit(log.read_text(errors="replace")[-2000:])
            with out.open() as file:
                selected = sum(1 for _ in file)
            print(
                f"| {rows:,} | {ran.peak_mb:,.0f} | {ran.seconds:,.1f} | {rows / ran.seconds:,.0f} | {selected:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
