"""The hostile programs in corpus/: a file a kind, and for each program its name, what must be said of it, its source.

``says: PATTERN`` for what ends by itself, ``stopped: PATTERN`` for what the sandbox has to end: a regular expression
for the reason of its verdict, or ``a bool`` for any verdict that is one: it was let run, and did nothing to others. In
a program ``{port}`` is a real listener's on this machine's loopback, ``{folder}`` a real folder with a file ``secret``
and a listening socket ``socket``, ``{variable}`` an environment variable that holds the same secret, ``{host}`` the
test's own process. Numbers of system calls are those of x86-64.
"""

import re
from dataclasses import dataclass
from pathlib import Path

BOOL = "a bool"


@dataclass(frozen=True)
class Hostile:
    """One program."""

    name: str
    kind: str
    stopped: bool
    said: str
    source: str


def read_corpus() -> list[Hostile]:
    programs = []
    for file in sorted(Path(__file__).with_name("corpus").glob("*.txt")):
        for text in re.split(r"^=== ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name, expected, source = text.split("\n", 2)
            verb, said = expected.split(": ", 1)
            assert verb in ("says", "stopped"), name
            programs.append(Hostile(name, file.stem, verb == "stopped", said, source))
    return programs
