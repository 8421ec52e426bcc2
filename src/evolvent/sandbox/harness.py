"""Runs inside the sandbox, as its first process: forks one child a function, watches it, and tells the parent.

Standard library only; its source is handed to the sandbox's interpreter as text. A child holds one pipe, over which it
writes a byte a verdict; it cannot reach the pipes to the parent, so it can lie about nothing but itself. After a
function that had to be stopped or left files behind, the harness ends, and the parent goes on in a new sandbox.

Request, one JSON text until the end of standard input: functions ([[source, first response to try], ...]), responses,
program (run the source, look for no function), limits, filter (hexadecimal), walled.
Replies on standard output, each four bytes of length and a JSON text: first {}, when ready; then for each function
{"verdicts": [true | false | reason, ...], "problem": ..., "violation": ..., "last": the harness ends here}.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import os
import random
import re  # noqa: F401  what verification functions import first; it is there already when they are forked
import resource
import select
import signal
import string  # noqa: F401
import sys
import time
import types

TYPE_CHECKING = False  # typing itself would be imported at every start
if TYPE_CHECKING:
    from typing import Any

NOBODY = 65534
SCRATCH = "/tmp"
SCRATCH_FILES = 1000  # tmpfs counts bytes of content, not the kernel's memory for each file
SCRATCH_TICK = 0.05  # seconds between looks at the scratch folder
LOADED, PROBLEM, TRUE, FALSE, NOTHING, END = b"LPTFN."  # END is never written
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
SECCOMP_MODE_FILTER = 2
READY: dict[str, Any] = {}
FORGED = "wrote into the channel of verdicts"


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def prctl(*arguments: Any) -> None:
    """prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(*arguments, *(ctypes.c_ulong(0) for _ in range(5 - len(arguments)))):
        raise OSError(ctypes.get_errno(), f"prctl {arguments[0]}")


def reply(value: dict[str, Any]) -> None:
    """One frame to the parent."""
    text = json.dumps(value).encode()
    frame = len(text).to_bytes(4, "big") + text
    while frame:
        frame = frame[os.write(1, frame) :]


# In the child: from here on the code may be hostile to everything in its own process.


def confine(request: dict[str, Any], channel: int) -> None:
    """Give up all but the pipe to the harness; what follows cannot be undone."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, channel)
    os.closerange(channel + 1, 1024)
    limits = request["limits"]
    calls = len(request["responses"]) + 1
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, math.ceil(limits["seconds"] * calls) + 1),
        (resource.RLIMIT_FSIZE, limits["scratch"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_STACK, 8 << 20),
        (resource.RLIMIT_AS, limits["memory"]),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    if not request["walled"]:
        return
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    dropped = os.getuid() == 0
    if dropped:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    # The first thread and the harness, where that is of the same user, are counted too.
    most = limits["processes"] + (not dropped)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    rules = bytes.fromhex(request["filter"])
    program = Program(len(rules) // 8, rules)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


def describe(error: BaseException, most: int) -> bytes:
    """An exception in one line; its own methods may be hostile."""
    try:
        if isinstance(error, MemoryError):
            return b"memory limit"
        line = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
        return line.encode("utf-8", "replace")[:most]
    except BaseException:
        return b"an exception that cannot be told"


def guest(source: str, first: int, request: dict[str, Any], channel: int) -> None:
    """Run one function on the responses from the first on; never returns."""
    write, leave, most = os.write, os._exit, request["limits"]["output"]

    def tell(kind: int, words: bytes = b"") -> None:
        write(channel, bytes([kind]) + (len(words).to_bytes(2, "big") + words if kind in (PROBLEM, NOTHING) else b""))

    try:
        confine(request, channel)
        random.seed(0)
        module = types.ModuleType("program")
        sys.modules["program"] = module
        exec(compile(source, "<program>", "exec", dont_inherit=True), module.__dict__)
        if request["program"]:
            tell(LOADED)
            leave(0)
        evaluate = module.__dict__.get("evaluate")
        if not callable(evaluate):
            tell(PROBLEM, b"no function named evaluate")
            leave(0)
        tell(LOADED)
    except BaseException as error:
        tell(PROBLEM, describe(error, most))
        leave(0)
    for response in request["responses"][first:]:
        try:
            random.seed(0)
            result = evaluate(response)
            if result is True:
                tell(TRUE)
            elif result is False:
                tell(FALSE)
            else:
                tell(NOTHING, f"returned {type(result).__name__}, not a bool".encode("utf-8", "replace")[:most])
        except BaseException as error:
            tell(NOTHING, describe(error, most))
    leave(0)


# In the harness.


class Stopped(Exception):
    """The child had to be stopped, or ended otherwise than it should; the words say at what."""


class Child:
    """One forked function: its process, and what it wrote that was not read yet."""

    def __init__(self, source: str, first: int, request: dict[str, Any]) -> None:
        self.request = request
        self.unread = b""
        self.pipe, channel = os.pipe()
        self.process: int | None = os.fork()
        self.session = self.process
        if self.process == 0:
            leave = os._exit
            try:
                guest(source, first, request, channel)
            finally:
                leave(1)
        os.close(channel)
        self.poll = select.poll()
        self.poll.register(self.pipe, select.POLLIN)

    def frame(self) -> tuple[int, str]:
        """The next frame, within the time of one call: its kind, and its words; END when it ended as it should.

        Raises:
            Stopped: there is none in time, or it is none that a child of ours writes.
        """
        deadline = time.monotonic() + self.request["limits"]["seconds"]
        while (found := self.parse()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Stopped("time limit")
            if self.request["walled"]:
                look_at_scratch()
            if self.poll.poll(math.ceil(1000 * min(left, SCRATCH_TICK))):
                piece = os.read(self.pipe, 65536)
                if not piece:
                    return self.end()
                self.unread += piece
        return found

    def parse(self) -> tuple[int, str] | None:
        """The first frame of what was read, or None while it is not whole."""
        if not self.unread:
            return None
        kind, length, start = self.unread[0], 0, 1
        if kind in (PROBLEM, NOTHING):
            if len(self.unread) < 3:
                return None
            length, start = int.from_bytes(self.unread[1:3], "big"), 3
        elif kind not in (LOADED, TRUE, FALSE):
            raise Stopped(FORGED)
        if length > self.request["limits"]["output"]:
            raise Stopped(FORGED)
        if len(self.unread) < start + length:
            return None
        words = self.unread[start : start + length].decode("utf-8", "replace")
        self.unread = self.unread[start + length :]
        return kind, words

    def end(self) -> tuple[int, str]:
        """How it ended, once it has closed its pipe."""
        deadline = time.monotonic() + 1
        while self.process is not None and time.monotonic() < deadline:
            found, status = os.waitpid(self.process, os.WNOHANG)
            if not found:
                time.sleep(0.0005)
                continue
            self.process = None
            code = os.waitstatus_to_exitcode(status)
            if code == -signal.SIGSYS:
                raise Stopped("forbidden system call")
            if code < 0:
                raise Stopped(f"killed by {signal.Signals(-code).name}")
            if self.unread:
                raise Stopped(FORGED)
            return END, f"exited with status {code}"
        raise Stopped("closed the channel of verdicts")

    def close(self) -> None:
        """Kill it, if it lives; without a wall what it started too, as far as that stayed in its session."""
        if not self.request["walled"]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.session, signal.SIGKILL)
        if self.process is not None:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.pipe)


def look_at_scratch() -> None:
    """Stop what makes files without number."""
    found = os.statvfs(SCRATCH)
    if found.f_files - found.f_ffree > SCRATCH_FILES:
        raise Stopped("scratch limit")


def expect(child: Child, *kinds: int) -> tuple[int, str]:
    """The next frame, which must be of one of these kinds."""
    kind, words = child.frame()
    if kind == END and END not in kinds:
        raise Stopped(words)
    if kind not in kinds:
        raise Stopped(FORGED)
    return kind, words


def run(source: str, first: int, request: dict[str, Any]) -> dict[str, Any]:
    """One function on its responses: the reply to the parent."""
    verdicts: list[bool | str] = []
    problem = violation = None
    loaded = False
    wanted = 0 if request["program"] else len(request["responses"]) - first
    child = Child(source, first, request)
    try:
        kind, words = expect(child, LOADED, PROBLEM)
        loaded = kind == LOADED
        problem = None if loaded else words
        while loaded and len(verdicts) < wanted:
            kind, words = expect(child, TRUE, FALSE, NOTHING)
            verdicts.append(words if kind == NOTHING else kind == TRUE)
        expect(child, END)
    except Stopped as stop:
        violation = str(stop)
        if violation == FORGED or not loaded:
            problem = violation  # nothing that it said counts
        elif len(verdicts) < wanted:
            verdicts.append(violation)
    finally:
        child.close()
    last = violation is not None or (request["walled"] and any(os.scandir(SCRATCH)))
    return {"verdicts": verdicts, "problem": problem, "violation": violation, "last": last}


def main() -> None:
    """Serve one request."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the kernel keeps from a first process what it has no handler for
    if sys.argv[1] == "walled":
        prctl(PR_SET_DUMPABLE, 0)
    reply(READY)
    with open(0, "rb", closefd=False) as file:
        request = json.loads(file.read())
    gc.collect()
    gc.freeze()
    for source, first in request["functions"]:
        answer = run(source, first, request)
        reply(answer)
        if answer["last"]:
            return


main()
