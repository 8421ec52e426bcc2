"""Verdicts a second in the sandbox, its start included: batches like AutoIF's, on one core.

    python -m benchmarks.sandbox

A batch is one call of ``evaluate`` as a run makes it: 8 functions on 24 cases (cross-validation of one instruction) and
3 functions on 8 responses (verification of one query's). The functions are like those that models write: several
import ``re``, one has a helper, one raises. Everything, this process included, is held on one core, with one sandbox
process at a time and with two: while the kernel makes or clears away the namespaces of one, the other works. Then the
same without the wall.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import time

from evolvent.sandbox.sandbox import Sandbox

FUNCTIONS = [
    "def evaluate(response):\n    return len(response.split()) <= 50",
    "import re\ndef evaluate(response):\n    return bool(re.search(r'\\d', response))",
    "def evaluate(response):\n    return all(line.endswith('.') for line in response.splitlines() if line)",
    "import re\n\ndef sentences(text):\n    return [s for s in re.split(r'[.!?]+', text) if s.strip()]\n\n"
    "def evaluate(response):\n    return len(sentences(response)) >= 3",
    "import string\ndef evaluate(response):\n    return not any(c in string.punctuation for c in response)",
    "from collections import Counter\ndef evaluate(response):\n    return max(Counter(response.split()).values()) < 5",
    "import json\ndef evaluate(response):\n    return isinstance(json.loads(response), dict)",
    "def evaluate(response):\n    initials = [w[0] for w in response.split()]\n    return initials == sorted(initials)",
]
RESPONSES = [
    f"This is answer {n}. It has a few sentences in it. Each of them is short! Is it not so?" for n in range(24)
]
SHAPES = {"8 functions × 24 cases": (8, 24), "3 functions × 8 responses": (3, 8), "1 function × 1 response": (1, 1)}


async def seconds(sandbox: Sandbox, functions: int, responses: int, batches: int) -> float:
    """Wall time a batch, of batches that are asked for all at once."""
    start = time.perf_counter()
    work = (sandbox.evaluate(FUNCTIONS[:functions], RESPONSES[:responses]) for _ in range(batches))
    for found in await asyncio.gather(*work):
        assert all(len(evaluation.verdicts) == responses for evaluation in found)
    return (time.perf_counter() - start) / batches


async def measure(repeats: int, batches: int) -> None:
    """Print a line for each shape of batch, with the wall and without."""
    for unsafe, workers in itertools.product((False, True), (1, 2)):
        print(f"{'without the wall' if unsafe else 'in the wall'}, {workers} at once")
        async with Sandbox(unsafe=unsafe, workers=workers) as sandbox:
            for name, (functions, responses) in SHAPES.items():
                times = [await seconds(sandbox, functions, responses, batches) for _ in range(repeats)]
                each, low, high = statistics.median(times), min(times), max(times)
                print(
                    f"  {name}: {1000 * each:.0f} ms a batch ({1000 * low:.0f} to {1000 * high:.0f}), "
                    f"{functions * responses / each:.0f} verdicts a second"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    asyncio.run(measure(arguments.repeats, arguments.batches))


if __name__ == "__main__":
    main()
