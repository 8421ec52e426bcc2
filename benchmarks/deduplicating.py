"""How long finding near-duplicates takes, and how much memory: rensa, as evolvent uses it, and datasketch.

    python -m benchmarks.deduplicating                        # 50,000 instructions, thresholds 0.8 and 0.6
    python -m benchmarks.deduplicating --rows 200000 --only rensa

The instructions are random words, 5 to 60 of them; one in ten is an earlier one with a word changed. Each line is one
process; n-grams, bands and the comparison of candidates are the same for both libraries. datasketch has to be
installed.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import measure
from evolvent.near_duplicates import SpooledTexts, distinct

# datasketch in the place of rensa's two classes.
DATASKETCH = """
import sys, types, datasketch
class RMinHash(datasketch.MinHash):
    def __init__(self, num_perm, seed): super().__init__(num_perm, seed + 1)
    def update(self, grams): self.update_batch([gram.encode() for gram in grams])
class RMinHashLSH(datasketch.MinHashLSH):
    def __init__(self, threshold, num_perm, bands):
        super().__init__(num_perm=num_perm, params=(bands, num_perm // bands))
sys.modules["rensa"] = types.SimpleNamespace(RMinHash=RMinHash, RMinHashLSH=RMinHashLSH)
"""
RUN = "import sys; from benchmarks.deduplicating import count; print(count(int(sys.argv[1]), float(sys.argv[2])))"


def instructions(rows: int) -> SpooledTexts:
    """Instructions of random words, and near-duplicates of them."""
    draw, found, spooled = random.Random(0), list[list[str]](), SpooledTexts()
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 10))) for _ in range(20_000)]
    for row in range(rows):
        text = draw.choices(words, k=draw.randint(5, 60))
        if row % 10 == 9:
            text = list(found[draw.randrange(row)])
            text[draw.randrange(len(text))] = draw.choice(words)
        found.append(text)
        spooled.append(" ".join(text))
    return spooled


def count(rows: int, threshold: float) -> int:
    """How many of the instructions are kept."""
    return sum(distinct(instructions(rows), range(rows), threshold))


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--thresholds", default="0.8,0.6", help="separated by commas")
    parser.add_argument("--only", default="rensa,datasketch", help="which libraries, separated by commas")
    parser.add_argument("--limit", type=float, default=3600, help="seconds that one run may take")
    options = parser.parse_args()
    print("| library | threshold | s | peak RSS, MB | kept |\n|---|---|---|---|---|")
    for threshold in options.thresholds.split(","):
        for library in options.only.split(","):
            with tempfile.TemporaryDirectory() as folder:
                log = Path(folder) / "log"
                program = (DATASKETCH if library == "datasketch" else "") + RUN
                command = [sys.executable, "-c", program, str(options.rows), threshold]
                ran = measure(command, log=log, limit_s=options.limit)
                words = log.read_text(errors="replace")
                if ran.status:
                    raise SystemExit(words[-2000:])
                print(
                    f"| {library} | {threshold} | {ran.seconds:,.1f} | {ran.peak_mb:,.0f} | {words.strip()} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
