"""Virtual environments for what is measured beside evolvent: made once, kept in a cache folder, one for each peer."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGES: dict[str, tuple[str, ...]] = {
    "loop": ("aiohttp", "orjson", "uvloop"),
    "distilabel": ("distilabel[openai]", "requests"),
    "data-designer": ("data-designer",),
    "curator": ("bespokelabs-curator",),
    "datatrove": ("datatrove[io]", "aiofiles", "aiosqlite", "httpx"),
}
INSTALL_LIMIT_S = 900


def default_cache() -> Path:
    """The folder for environments: ``evolvent/benchmarks`` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evolvent" / "benchmarks"


def python_of(name: str, cache: Path) -> Path:
    """The Python of an environment, which is made when it is not there or not whole.

    Raises:
        RuntimeError: pip could not install its packages, with the end of what pip said.
    """
    folder = cache / name
    installed = folder / "installed.txt"
    wanted = "\n".join(PACKAGES[name])
    if not (installed.exists() and installed.read_text() == wanted):
        print(f"installing {', '.join(PACKAGES[name])} into {folder} (once)", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        _finish([sys.executable, "-m", "venv", str(folder)])
        _finish([str(folder / "bin" / "pip"), "install", "--quiet", *PACKAGES[name]])
        installed.write_text(wanted)  # last, so that a half-made environment is made again
    return folder / "bin" / "python"


def installed_version(name: str, cache: Path) -> str:
    """The version of an environment's first package."""
    package = PACKAGES[name][0].split("[")[0]
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python_of(name, cache), "-c", code], capture_output=True, text=True).stdout.strip()


def _finish(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(command)}: not done after {INSTALL_LIMIT_S} s") from None
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout)[-500:]}")
