"""Kill evolvent at drawn moments of the whole path, start it again, and compare with a run that was left alone.

    python -m benchmarks.kill --model embedded --base-model embedded-base --kills 10
    python -m benchmarks.kill --server --kills 10          # the tests' OpenAI-compatible server, which counts repeats

For each kill: the share of the chat calls that were stored when ``kill -9`` was sent (losses are stored in windows of
512 records, so they make no steps), whether all files came out byte for byte as those of the unbroken run, and, with
the server, how many calls it answered twice.
"""

import argparse
import contextlib
import random
import signal
import tempfile
from pathlib import Path

from evolvent.demo import SEEDS
from tests.e2e.command import evolvent, server, server_stats, stop_at, stored_calls

FILES = ("evolved.parquet", "responses.parquet", "scored.parquet", "selected.jsonl")
IN_FLIGHT = 16
CHAT = "stage != 'score'"


def recipe(folder: Path, out: str, seeds: Path, model: str, base_model: str) -> Path:
    """A recipe over the whole path."""
    path = folder / f"{out}.yaml"
    path.write_text(
        f"out: {out}\n"
        f"evolve: {{seeds: {seeds}, model: '{model}', max_tokens: 256, concurrency: {IN_FLIGHT}}}\n"
        f"respond: {{teacher: '{model}', max_tokens: 256, concurrency: {IN_FLIGHT}}}\n"
        f"score: {{base_model: '{base_model}'}}\n"
        "select: {by: ic_ifd, top: 25%}\n"
    )
    return path


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--base-model", default="embedded-base")
    parser.add_argument("--server", action="store_true", help="ask the tests' server instead of --model")
    parser.add_argument("--seeds", type=Path, default=SEEDS)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--draw", type=int, default=0, help="seed of the drawn shares")
    options = parser.parse_args()
    draw = random.Random(options.draw)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(server(latency_ms=5)) if options.server else ""
        model = f"openai:m?base_url={url}" if url else options.model

        def run(out: str) -> float:
            ended = evolvent(
                "run", recipe(folder, out, options.seeds, model, options.base_model), folder=folder, timeout=3600
            )
            if ended.status != 0:
                raise SystemExit(ended.errors)
            return ended.seconds

        seconds = run("whole")
        calls = stored_calls(folder / "whole", CHAT)
        whole = {name: (folder / "whole" / name).read_bytes() for name in FILES}
        print(f"unbroken: {calls} chat calls, {seconds:.1f} s; {IN_FLIGHT} records in flight")
        print(f"{'kill':>4}  {'drawn':>6}  {'stored':>6}  {'share':>6}  {'same files':>10}  {'answered twice':>14}")
        failures = 0
        for kill in range(options.kills):
            share = draw.uniform(0.05, 0.95)
            out = f"run{kill}"
            arguments = ["run", str(recipe(folder, out, options.seeds, model, options.base_model))]
            before = server_stats(url)["requests"] if url else 0
            ended = stop_at(arguments, folder, folder / out, int(share * calls), signal.SIGKILL, CHAT)
            stored = stored_calls(folder / out, CHAT)
            run(out)
            same = all((folder / out / name).read_bytes() == whole[name] for name in FILES)
            twice = server_stats(url)["requests"] - before - stored_calls(folder / out, CHAT) if url else None
            failures += not same or ended.status != -signal.SIGKILL or (twice or 0) > IN_FLIGHT
            shown = f"{'-' if twice is None else twice:>14}"
            files = f"{'yes' if same else 'NO':>10}"
            print(f"{kill + 1:>4}  {share:6.1%}  {stored:>6}  {stored / calls:6.1%}  {files}  {shown}", flush=True)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
