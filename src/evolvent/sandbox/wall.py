"""The wall: the command that starts the harness under bubblewrap, with nothing but the interpreter to be seen."""

import json
import marshal
import os
import shutil
from functools import cache
from pathlib import Path

from evolvent.sandbox.interpreter import interpreter
from evolvent.sandbox.limits import Limits

NOBODY = 65534
WALLED, UNWALLED = "walled", "unwalled"

# Seen read-only where they are: which libraries there are, and the time zones.
PUBLIC_FILES = ("/etc/ld.so.cache", "/usr/share/zoneinfo")

# Takes the compiled harness from standard input; compiling it anew would cost each start several milliseconds.
BOOT = "import marshal, sys; file = sys.stdin.buffer; exec(marshal.loads(file.read(int(file.readline()))))"


@cache
def harness() -> bytes:
    """The program that runs inside, as ``BOOT`` reads it: compiled by this interpreter, the same as inside."""
    file = Path(__file__).with_name("harness.py")
    code = marshal.dumps(compile(file.read_text(encoding="utf-8"), file.name, "exec"))
    return b"%d\n%b" % (len(code), code)


def environment() -> dict[str, str]:
    """The whole environment inside: the same hashes each time, and nothing of the user's.

    Without MALLOC_ARENA_MAX each thread would take 64 MiB of the address space that is limited. LD_ORIGIN_PATH: without
    /proc the loader does not see where the interpreter stands, by which some find their own libraries.
    """
    variables = {
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "1",
        "LD_ORIGIN_PATH": str(Path(interpreter().executable).parent),
        "TMPDIR": "/tmp",
        "HOME": "/tmp",
    }
    if "LD_LIBRARY_PATH" in os.environ:  # some interpreters find their own libraries by it
        variables["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return variables


def harness_command(executable: str, walled: bool) -> list[str]:
    """The interpreter without user site, site-packages and the folder it stands in, waiting for the harness."""
    return [executable, "-s", "-S", "-P", "-c", BOOT, WALLED if walled else UNWALLED]


def walled_command(limits: Limits, info: int | None = None, ready: int | None = None) -> list[str]:
    """bubblewrap around the harness.

    Args:
        limits: for the size of the scratch folder.
        info: as root only: where bubblewrap writes the process whose users are to be mapped.
        ready: as root only: what it waits on until they are.
    """
    python = interpreter()
    command = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--unshare-user", "--hostname", "sandbox"]
    # Not --die-with-parent: the process that bubblewrap makes would wait for ever where bubblewrap is killed while its
    # users are being mapped. The harness ends with its standard input.
    command += ["--new-session", "--as-pid-1"]
    if info is not None and ready is not None:
        # The harness is root of its own namespace, in order to make its children nobody, and has no other privilege.
        command += ["--info-fd", str(info), "--userns-block-fd", str(ready), "--cap-drop", "ALL"]
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_KILL"]
    else:
        command += ["--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL"]
    # Parents that bubblewrap makes by itself are open to the harness only.
    folders = {str(parent) for _, target in python.files for parent in Path(target).parents if parent != Path("/")}
    for folder in sorted({*folders, "/dev", "/etc", "/usr", "/usr/share"}):
        command += ["--perms", "0755", "--dir", folder]
    for source, target in python.files:
        command += ["--ro-bind", source, target]
    for folder in python.hidden:
        command += ["--size", "4096", "--tmpfs", folder, "--remount-ro", folder]
    for file in PUBLIC_FILES:
        command += ["--ro-bind-try", file, file]
    command += ["--dev-bind", "/dev/null", "/dev/null"]
    command += ["--perms", "1777", "--size", str(limits.scratch), "--tmpfs", "/tmp"]
    return [*command, "--chdir", "/tmp", "--remount-ro", "/", "--", *harness_command(python.executable, walled=True)]


def maps_nobody() -> bool:
    """Whether we are root and may let the harness make its children nobody, who owns nothing on this machine.

    Otherwise all inside are us: without any privilege, in a namespace where we are called nobody.
    """
    if os.getuid() != 0:
        return False
    ranges = [[int(number) for number in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(first <= NOBODY < first + length for first, _, length in ranges)


def map_users(info: int, ready: int) -> None:
    """Let the new user namespace hold root, for the harness, and nobody, for what it runs; then let it go on.

    Args:
        info: where bubblewrap writes its child's process id.
        ready: what it waits on.
    """
    os.set_blocking(info, True)  # a loop that waited for it (uvloop) has changed that
    text = b""
    while piece := os.read(info, 4096):
        text += piece
        if text.rstrip().endswith(b"}"):
            break
    if not text:  # it ended before; its standard error says why
        return
    process = json.loads(text)["child-pid"]
    for file in ("uid_map", "gid_map"):
        Path(f"/proc/{process}/{file}").write_text(f"0 0 1\n{NOBODY} {NOBODY} 1\n")
    os.write(ready, b"1")
