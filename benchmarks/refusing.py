"""File systems that refuse what a call store or a lock needs: for what lies in one folder, or mounted by FUSE."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHIM = Path(__file__).with_name("refuses.c")
ROOT = Path(__file__).parent.parent


def build(folder: Path) -> Path:
    """The library to be preloaded; it needs gcc."""
    built = folder / "refuses.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", built, SHIM, "-ldl"], check=True)
    return built


def refusing(built: Path, what: str, folder: Path) -> dict[str, str]:
    """The environment of a process to which a folder's file system refuses this."""
    return {"LD_PRELOAD": str(built), "REFUSES": what, "REFUSES_IN": str(folder)}


@contextmanager
def mounted(folder: Path, kind: str, *, direct: bool = False) -> Iterator[Path]:
    """A folder in another one, as a FUSE file system of this kind.

    Raises:
        OSError: it cannot be mounted: no mfusepy, no libfuse, no /dev/fuse, no permission.
    """
    within, at = folder / "within", folder / "mounted"
    within.mkdir()
    at.mkdir()
    command = [sys.executable, "-m", "benchmarks.fuse_folder", within, at, kind, *["direct"] * direct]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not at.is_mount():
            if process.poll() is not None:
                assert process.stderr is not None
                raise OSError(process.stderr.read().strip().rpartition("\n")[2])
            time.sleep(0.02)
        yield at
    finally:
        if at.is_mount():
            subprocess.run(["umount", "-l", at], check=False)
        process.wait(timeout=20) if process.poll() is None and not at.is_mount() else process.kill()
