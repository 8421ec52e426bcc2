"""Kill evolvent at drawn moments of the whole path, start it again, and compare with a run that was left alone.

    python -m benchmarks.kill --model embedded --base-model embedded-base --kills 10
    python -m benchmarks.kill --server --kills 50          # the tests' OpenAI-compatible server, which counts repeats

The moments are shares of the work of evolve, respond, score and select. The first 80 % are counted in stored chat
calls; losses are stored in windows of 512 records and make no steps, so the rest is a share of the time that follows.
For each kill: what had been stored, which stage was under way, whether all files came out byte for byte as those of
the unbroken run, how many rows were lost or came twice, and, with the server, how many calls were asked again: those
that were in flight, or answered and not yet on the disk.
"""

import argparse
import contextlib
import json
import random
import signal
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from evolvent.demo import SEEDS
from tests.e2e.command import CHAT, evolvent, measured, server, server_stats, stop_at, stored_calls

FILES = ("evolved.parquet", "responses.parquet", "scored.parquet", "selected.jsonl")
TABLES = FILES[:3]
IN_FLIGHT = 16
# What a kill can cost: the requests in flight, and as many replies that wait for their commit while the next are asked.
UNSTORED = 2 * IN_FLIGHT
LIMIT_S = 3600


def recipe(folder: Path, out: str, seeds: Path, model: str, base_model: str, pairs: int | None) -> Path:
    """A recipe over the whole path."""
    limit = f", limit: {pairs}" if pairs else ""
    path = folder / f"{out}.yaml"
    path.write_text(
        f"out: {out}\n"
        f"evolve: {{seeds: {seeds}, model: '{model}', max_tokens: 256, concurrency: {IN_FLIGHT}}}\n"
        f"respond: {{teacher: '{model}', max_tokens: 256, concurrency: {IN_FLIGHT}}}\n"
        f"score: {{base_model: '{base_model}'{limit}}}\n"
        "select: {by: ic_ifd, top: 25%}\n"
    )
    return path


def under_way(run: Path) -> str:
    """The stage that a killed command was in, as its files tell."""
    if not (run / "manifest.json").is_file():
        return "start"
    stages = json.loads((run / "manifest.json").read_text())["stages"]
    running = [name for name, entry in stages.items() if entry["state"] == "running"]
    return running[0] if running else f"after {list(stages)[-1]}" if stages else "start"


def ids(run: Path) -> dict[str, list[str]]:
    """The ids of all rows, file by file."""
    return {name: pq.read_table(run / name, columns=["id"])["id"].to_pylist() for name in TABLES}


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--base-model", default="embedded-base")
    parser.add_argument("--server", action="store_true", help="ask the tests' server instead of --model")
    parser.add_argument("--latency-ms", type=float, default=20, help="of the server")
    parser.add_argument("--seeds", type=Path, default=SEEDS)
    parser.add_argument("--pairs", type=int, help="how many pairs are scored; all if not given")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--draw", type=int, default=0, help="seed of the drawn shares")
    options = parser.parse_args()
    shares = random.Random(options.draw)
    failures, most, stages = 0, 0, []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(server(latency_ms=options.latency_ms)) if options.server else ""
        model = f"openai:m?base_url={url}" if url else options.model

        def command(out: str) -> list[str]:
            return ["run", str(recipe(folder, out, options.seeds, model, options.base_model, options.pairs))]

        work = measured(command("whole"), folder, folder / "whole", LIMIT_S)
        whole = {name: (folder / "whole" / name).read_bytes() for name in FILES}
        rows = ids(folder / "whole")
        print(f"unbroken: {work.calls} chat calls, then {work.rest_s:.1f} s; at most {IN_FLIGHT} calls in flight")
        titles = ("kill", "drawn", "stored", "in", "files", "lost", "twice", "asked again")
        print("{:>4}  {:>6}  {:>6}  {:>13}  {:>9}  {:>4}  {:>5}  {:>11}".format(*titles))
        for kill in range(1, options.kills + 1):
            out, share = f"run{kill}", shares.random()
            calls, then_s = work.moment(share)
            before = server_stats(url)["requests"] if url else 0
            ended = stop_at(
                command(out), folder, folder / out, calls, signal.SIGKILL, CHAT, then_s=then_s, limit_s=LIMIT_S
            )
            stored, stage = stored_calls(folder / out, CHAT), under_way(folder / out)
            again = evolvent(*command(out), folder=folder, timeout=LIMIT_S)
            if again.status != 0:
                raise SystemExit(again.errors)
            same = all((folder / out / name).read_bytes() == whole[name] for name in FILES)
            now = ids(folder / out)
            lost = sum(len(set(rows[name]) - set(now[name])) for name in TABLES)
            twice = sum(len(now[name]) - len(set(now[name])) for name in TABLES)
            repeated = server_stats(url)["requests"] - before - work.calls if url else 0
            failures += ended.status != -signal.SIGKILL or not same or lost > 0 or twice > 0 or repeated > UNSTORED
            most = max(most, repeated)
            stages.append(stage)
            files, asked = "identical" if same else "DIFFER", f"{repeated}" if url else "-"
            print(
                f"{kill:>4}  {share:6.1%}  {stored:>6}  {stage:>13}  {files:>9}  {lost:>4}  {twice:>5}  {asked:>11}",
                flush=True,
            )
    counts = ", ".join(f"{stages.count(stage)} in {stage}" for stage in sorted(set(stages)))
    print(f"{options.kills} kills ({counts}): {failures} failures; asked again at the most: {most if url else '-'}")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
