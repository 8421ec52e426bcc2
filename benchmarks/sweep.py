"""Fail each stage at its n-th operation on the disk, start it again, and compare with a run that was left alone.

    python -m benchmarks.sweep                                    # about 400 points
    python -m benchmarks.sweep --only evolve,select --faults kill --points 1000    # every point of two stages

For every stage and every fault: killed before the operation, a disk that is full from it on, an I/O error at it (reads
included). The points are spread over all operations that the undisturbed stage makes, the first ones all taken: there
the folder is laid out. A point is survived if the stopped command says what happened in a line (no traceback, exit
status 1 or 2, or 0 with the right files), the same command then ends with status 0, all files are byte for byte those
of the undisturbed run, and no temporary file is left. It needs gcc, and bubblewrap for AutoIF.
"""

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.e2e import command
from tests.e2e.command import evolvent, server
from tests.processes import Ended

SHIM = Path(__file__).with_name("fail_at.c")
AUTOIF_SERVER = Path(command.__file__).with_name("autoif_server.py")
STAGES = ("evolve", "respond", "score", "select", "optimize-method", "autoif", "verify")
FAULTS = ("kill", "full", "broken")
FIRST = 5  # operations that are all tried, of every stage and fault
SEEDS = 8
LIMIT_S = 300
# What no message may be: words of sqlite's or Python's own, without what to do.
SAYS = {"full": ("no space is left",), "broken": ("Input/output error", "disk", "is damaged")}
BARE = ("Traceback", "disk I/O error", "made by another version", "malformed")


@dataclass(frozen=True)
class Swept:
    """A stage: its command, where it is run, and the files that it makes.

    Attributes:
        name: what the table calls it.
        before: the folder that it starts from.
        arguments: its command.
        files: what is compared.
    """

    name: str
    before: Path
    arguments: tuple[str, ...]
    files: tuple[str, ...]


def stages(folder: Path, url: str, autoif_url: str) -> Iterator[Swept]:
    """Every stage with all that it reads made before it, one after the other."""
    model, autoif = f"openai:m?base_url={url}", f"openai:m?base_url={autoif_url}"
    empty = folder / "empty"
    empty.mkdir()
    (empty / "seeds.jsonl").write_text(
        "".join(json.dumps({"instruction": f"How do I mend sock {n}?"}) + "\n" for n in range(SEEDS))
    )
    (empty / "seeds.txt").write_text("Write lower case\nWrite no commas\n")
    queries = (json.dumps({"instruction": f"Tell me about the harbour in town {n}"}) + "\n" for n in range(6))
    (empty / "queries.jsonl").write_text("".join(queries))
    few = ("--concurrency", "4")
    search = ("--dev", "4", "--batch", "2", "--candidates", "2", "--steps", "2")
    rules = ("prompts=1", "instructions_per_prompt=3", "queries=2", "responses=2")
    autoif_options = ["--method", "autoif", "--model", autoif, "--queries", "queries.jsonl"]
    autoif_options += [part for rule in rules for part in ("--rule", rule)]
    autoif_files = ("instructions.parquet", "evolved.parquet", "functions.jsonl", "responses.parquet", "sft.jsonl")
    way: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
        ("evolve", ("seeds.jsonl", "--model", model, "--rounds", "1", *few, "--out", "run"), ("run/evolved.parquet",)),
        ("respond", ("run", "--teacher", model, *few, "--out", "run"), ("run/responses.parquet",)),
        ("score", ("run", "--base-model", "embedded-base", "--out", "run"), ("run/scored.parquet",)),
        ("select", ("run", "--by", "ic_ifd", "--top", "50%", "--out", "run/selected.jsonl"), ("run/selected.jsonl",)),
        (
            "optimize-method",
            ("seeds.jsonl", "--evolver", model, "--optimizer", model, *search, *few, "--out", "method.yaml"),
            ("method.yaml",),
        ),
        (
            "autoif",
            ("evolve", "seeds.txt", *autoif_options, *few, "--out", "autoif"),
            tuple(f"autoif/{name}" for name in autoif_files),
        ),
        ("verify", ("autoif/sft.jsonl", "--functions", "autoif", "--out", "verified.jsonl"), ("verified.jsonl",)),
    ]
    before = empty
    for name, given, files in way:
        arguments = given if given[0] == "evolve" else (name, *given)
        yield Swept(name, before, arguments, files)
        after = folder / f"after-{name}"
        shutil.copytree(before, after)
        ended = evolvent(*arguments, folder=after)
        if ended.status:
            raise SystemExit(f"{name} does not work undisturbed: {ended.errors}")
        before = after


def failing(stage: Swept, folder: Path, shim: Path, fault: str, point: int) -> tuple[Ended, int]:
    """Run a stage in a folder of its own, failing at one operation.

    Returns:
        How it ended, and how many operations there were.
    """
    counter = folder.with_suffix(".count")
    counter.write_bytes(bytes(8))
    variables = {"LD_PRELOAD": f"{shim}", "FAIL_IN": f"{folder}", "FAIL_COUNT": f"{counter}"}
    variables |= {"FAIL_AT": f"{point}", "FAIL_HOW": fault}
    ended = evolvent(*stage.arguments, folder=folder, variables=variables, timeout=LIMIT_S)
    return ended, int.from_bytes(counter.read_bytes(), "little")


def why_not(stage: Swept, folder: Path, whole: dict[str, bytes], first: Ended, fault: str) -> str | None:
    """Start the stage again; why the point was not survived, or None."""
    if fault == "kill" and first.status == 0:
        return None  # it ended before: fewer operations than were counted
    if fault == "kill" and first.status != -signal.SIGKILL:
        return f"killed, and exit status {first.status}"
    if fault != "kill" and first.status not in (0, 1, 2):
        return f"exit status {first.status}"
    bare = [words for words in BARE if words in first.errors]
    if bare:
        return f"says {bare[0]}: {first.errors[-600:]}"
    if fault in SAYS and first.status and not any(words in first.errors for words in SAYS[fault]):
        return f"says nothing of the disk: {first.errors[-600:]}"
    if first.status == 0 and any(not (folder / name).is_file() for name in whole):
        return "exit status 0 without its files"
    if first.status == 0 and any((folder / name).read_bytes() != content for name, content in whole.items()):
        return "exit status 0 with other files"
    again = evolvent(*stage.arguments, folder=folder, timeout=LIMIT_S)
    if again.status or "Traceback" in again.errors:
        return f"bricked, exit status {again.status}: {again.errors[-600:]}"
    different = [name for name, content in whole.items() if (folder / name).read_bytes() != content]
    if different:
        return f"other bytes: {', '.join(different)}"
    left = [file.name for file in folder.rglob("*") if file.name.endswith(".tmp") or file.suffix == ".parts"]
    return f"left behind: {', '.join(left)}" if left else None


def points(operations: int, wanted: int) -> list[int]:
    """The first operations and others evenly spread, rising."""
    rest = max(wanted - FIRST, 0)
    spread = {FIRST + round((operations - FIRST) * (number + 1) / rest) for number in range(rest)}
    return sorted(point for point in {*range(1, min(FIRST, wanted) + 1), *spread} if 1 <= point <= operations)


def main() -> None:
    """Sweep and print a line for each stage and fault, and each point that was not survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(STAGES), help="stages, separated by commas")
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--points", type=int, default=20, help="of each stage and fault, at the most")
    parser.add_argument("--at", type=int, help="this point only")
    options = parser.parse_args()
    wanted = options.only.split(",")
    tried, lost, statuses = 0, 0, Counter[int]()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shim = folder / "fail_at.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", shim, SHIM, "-ldl"], check=True)
        url = stack.enter_context(server())
        command.SERVER = AUTOIF_SERVER
        autoif_url = stack.enter_context(server())
        last = max(map(STAGES.index, wanted))
        for stage in islice(stages(folder, url, autoif_url), last + 1):
            if stage.name not in wanted:
                continue
            undisturbed = folder / f"whole-{stage.name}"
            shutil.copytree(stage.before, undisturbed)
            assert evolvent(*stage.arguments, folder=undisturbed).status == 0
            whole = {name: (undisturbed / name).read_bytes() for name in stage.files}
            for fault in options.faults.split(","):
                work = folder / "work"
                shutil.copytree(stage.before, work)
                operations = failing(stage, work, shim, fault, 0)[1]
                shutil.rmtree(work)
                chosen = [options.at] if options.at else points(operations, options.points)
                failures, began = 0, time.monotonic()
                for point in chosen:
                    shutil.copytree(stage.before, work)
                    first = failing(stage, work, shim, fault, point)[0]
                    statuses[first.status] += 1
                    why = why_not(stage, work, whole, first, fault)
                    if why:
                        failures += 1
                        print(f"  {stage.name}, {fault} at {point} of {operations}: {why}", flush=True)
                    shutil.rmtree(work)
                tried, lost = tried + len(chosen), lost + failures
                took = time.monotonic() - began
                print(
                    f"{stage.name:<16} {fault:<7} {operations:>5} operations, {len(chosen):>4} points, "
                    f"{failures} not survived, {took:.0f} s",
                    flush=True,
                )
    ends = ", ".join(f"{count} with {status}" for status, count in sorted(statuses.items()))
    print(f"{tried} points, {lost} not survived; stopped commands ended {ends}")
    raise SystemExit(1 if lost else 0)


if __name__ == "__main__":
    main()
