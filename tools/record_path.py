"""The way of one record from the command line to its row on disk: the files and functions of evolvent that run.

    python -m tools.record_path            the count, and the files in the order in which they are entered
    python -m tools.record_path --functions   with the functions of each

One seed is evolved once by ``openai:``, against ``benchmarks/mock_openai.py``; every function of the package that is
called is noted, in all threads. Code that runs when a module is imported does not count, nor does what generates a
dataclass's methods.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
IMPORTING = {"<module>", "<lambda>", "<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>"}


class Trace:
    """Files of a package, each with its functions, in the order in which they were entered first."""

    def __init__(self, package: Path) -> None:
        self.package = str(package) + os.sep
        self.functions: dict[str, dict[str, None]] = {}
        self._importing = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """A profile function of ``sys.setprofile``."""
        code = frame.f_code
        own = code.co_filename.startswith(self.package) and code.co_filename.endswith(".py")
        if event != "call" or not own or code.co_name in IMPORTING:
            return
        caller: FrameType | None = frame
        while caller is not None:  # what a module's own code calls is its import
            if caller.f_code.co_name == "<module>" and caller.f_code.co_filename.startswith(self.package):
                if not caller.f_code.co_filename.endswith("__main__.py"):
                    return
                break
            caller = caller.f_back
        name = code.co_filename.removeprefix(self.package)
        self.functions.setdefault(name, {})[code.co_qualname if sys.version_info >= (3, 11) else code.co_name] = None


@contextmanager
def server() -> Iterator[str]:
    """The address of a running mock server."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / "mock_openai.py")],
        env={**os.environ, "PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait()


def traced(folder: Path, base_url: str) -> Trace:
    """Run the command and note what it runs."""
    import evolvent

    seeds = folder / "seeds.jsonl"
    seeds.write_text(json.dumps({"instruction": "Name three rivers in Europe."}) + "\n")
    arguments = ["evolve", str(seeds), "--model", f"openai:mock?base_url={base_url}", "--rounds", "1"]
    sys.argv = ["evolvent", *arguments, "--out", str(folder / "run")]
    assert evolvent.__file__ is not None
    trace = Trace(Path(evolvent.__file__).parent)
    from evolvent.cli import main

    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    assert (folder / "run" / "evolved.parquet").is_file()
    return trace


def main() -> None:
    """Print the path."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--functions", action="store_true", help="name the functions of each file")
    given = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "none")
    with tempfile.TemporaryDirectory() as folder, server() as base_url:
        trace = traced(Path(folder), base_url)
    print()
    for number, (file, functions) in enumerate(trace.functions.items(), 1):
        print(f"{number:3} {file} ({len(functions)})")
        for function in functions if given.functions else ():
            print(f"      {function}")
    total = len(list((ROOT / "src" / "evolvent").rglob("*.py")))
    called = sum(map(len, trace.functions.values()))
    print(f"{len(trace.functions)} of {total} files, {called} functions")


if __name__ == "__main__":
    main()
