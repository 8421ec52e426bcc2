"""Whether a reply's answer is the right one, as mathematics: math-verify, run as a process of its own (``apart``).

A model may write what takes for ever to simplify; math-verify gives up after five seconds by an alarm, which only a
process's first thread can set.
"""

import json
import sys


def equal(answer: str, reply: str) -> bool:
    """Whether a reply's answer, by preference the boxed one, is equal to another."""
    from math_verify import parse, verify

    return bool(verify(parse(f"\\boxed{{{answer}}}"), parse(reply)))


if __name__ == "__main__":
    if not equal("1", "\\boxed{1}"):
        sys.exit("math-verify does not find 1 equal to 1")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(equal(*json.loads(line))) + "\n")
        sys.stdout.flush()
