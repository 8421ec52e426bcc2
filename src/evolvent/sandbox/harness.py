"""Runs inside the sandbox, as its first process: forks one child a function, watches it, and tells the parent.

Standard library only; its code is handed to the sandbox's interpreter over standard input (``wall.py``). A child holds
one pipe, over which it writes a byte a verdict; it cannot reach the pipes to the parent, so it can lie about nothing
but itself. After a function that had to be stopped or left files behind, the harness ends, and the parent goes on in a
new sandbox.

Request, after four bytes of its length, marshalled: functions ((source, first response to try), ...), responses,
program (run the source, look for no function), limits, filter, walled. When standard input ends, before the request or
after it, evolvent has ended or wants nothing more, and the harness ends with all that it has started.
Replies on standard output, each four bytes of length and that many of frames: an empty one when ready; then one for
each function. A frame is a byte that says its kind, and for PROBLEM, NOTHING and VIOLATION four bytes of length and
words in UTF-8. LAST: the harness ends after this function. What is no function's doing (no memory for a fork, a child
that cannot be confined) is never said in frames: the harness ends with words on its standard error.
"""

from __future__ import annotations

import ctypes
import gc
import marshal
import math
import os
import resource
import select
import signal
import sys
import time
import types

TYPE_CHECKING = False  # typing itself would be imported at every start
if TYPE_CHECKING:
    from typing import Any

NOBODY = 65534
SCRATCH = "/tmp"
SCRATCH_FILES = 1000  # tmpfs counts bytes of content, not the kernel's memory for each file
TICK = 0.05  # seconds between looks at the scratch folder and the clock
LONGEST_TICK = 2 * TICK  # what one may count for: the time in which the machine stood still is not the function's
# CONFINED and BROKEN come first, before the function's own code has run; END is never written.
CONFINED, BROKEN, LOADED, PROBLEM, TRUE, FALSE, NOTHING, VIOLATION, LAST, END = b"CBLPTFNVE."
START_SECONDS = 30.0  # for a child to be confined, on a machine that is busy
COMMON = ("re", "json", "string", "random", "collections")  # imported before the fork, where a function imports them
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
CLOSE_RANGE, EVERY = 436, 0xFFFFFFFF  # close_range(2)'s number, the same for every architecture that Python runs on
FORGED = "wrote into the channel of verdicts"


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def prctl(*arguments: Any) -> None:
    """prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(*arguments, *(ctypes.c_ulong(0) for _ in range(5 - len(arguments)))):
        raise OSError(ctypes.get_errno(), f"prctl {arguments[0]}")


def close_from(first: int) -> None:
    """Close every descriptor from this one on, however high."""
    most = ctypes.c_uint(EVERY)
    if sys.platform != "linux" or ctypes.CDLL(None).syscall(CLOSE_RANGE, ctypes.c_uint(first), most, 0):
        os.closerange(first, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20))  # before Linux 5.9


def packed(kind: int, words: bytes) -> bytes:
    """A frame with words."""
    return bytes([kind]) + len(words).to_bytes(4, "big") + words


def reply(frames: bytes) -> None:
    """To the parent."""
    left = len(frames).to_bytes(4, "big") + frames
    while left:
        left = left[os.write(1, left) :]


# In the child: from here on the code may be hostile to everything in its own process.


def confine(request: dict[str, Any], channel: int) -> None:
    """Give up all but the pipe to the harness; what follows cannot be undone."""
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, channel)
    close_from(channel + 1)
    limits = request["limits"]
    # Other systems than Linux refuse a limit to the address space; there they run only without a wall.
    memory = [(resource.RLIMIT_AS, limits["memory"])] if sys.platform == "linux" else []
    for what, most in (
        *memory,
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, processor_seconds(request)),
        (resource.RLIMIT_FSIZE, limits["scratch"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_STACK, 8 << 20),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    if not request["walled"]:
        if sys.platform == "linux":
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (64, 64))
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
    rules = request["filter"]
    program = Program(len(rules) // 8, rules)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


def processor_seconds(request: dict[str, Any]) -> int:
    """What all calls of a function may use of the processor."""
    return int(math.ceil(request["limits"]["seconds"] * (len(request["responses"]) + 1)) + 1)


def describe(error: BaseException, most: int) -> bytes:
    """An exception in one line; its own methods may be hostile."""
    try:
        if isinstance(error, MemoryError):
            return b"memory limit"
        words = str(error).split()
        line = " ".join([f"{type(error).__name__}:", *words]) if words else type(error).__name__
        return line.encode("utf-8", "replace")[:most].rstrip()
    except BaseException:
        return b"an exception that cannot be told"


def guest(source: str, first: int, request: dict[str, Any], channel: int) -> None:
    """Run one function on the responses from the first on; never returns."""
    write, leave, most = os.write, os._exit, request["limits"]["output"]

    def tell(kind: int, words: bytes = b"") -> None:
        write(channel, packed(kind, words[:most]) if kind in (BROKEN, PROBLEM, NOTHING) else bytes([kind]))

    try:
        confine(request, channel)
    except BaseException as error:
        tell(BROKEN, describe(error, most))
        leave(0)
    tell(CONFINED)
    try:
        if "random" in source:
            import random

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
            if "random" in sys.modules:
                sys.modules["random"].seed(0)
            result = evaluate(response)
            if result is True:
                tell(TRUE)
            elif result is False:
                tell(FALSE)
            else:
                tell(NOTHING, f"returned {type(result).__name__}, not a bool".encode("utf-8", "replace"))
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
        self.living, self.code, self.used = True, 0, 0.0
        self.process = os.fork()
        if self.process == 0:
            leave = os._exit
            try:
                guest(source, first, request, channel)
            finally:
                leave(1)
        os.close(channel)
        self.poll = select.poll()
        self.poll.register(self.pipe, select.POLLIN)
        self.poll.register(0, select.POLLIN)

    def frame(self, left: float) -> tuple[int, bytes]:
        """The next frame, within the seconds that are left: its kind, and its words; END when it ended as it should.

        Raises:
            Stopped: there is none in time, or it is none that a child of ours writes.
        """
        last = time.monotonic()
        while (found := self.parse()) is None:
            if left <= 0:
                raise Stopped("time limit")
            if self.request["walled"]:
                look_at_scratch()
            ready = [descriptor for descriptor, _ in self.poll.poll(math.ceil(1000 * min(left, TICK)))]
            now = time.monotonic()
            left -= min(now - last, LONGEST_TICK)
            last = now
            if 0 in ready:
                raise SystemExit("nothing more is wanted")
            if self.pipe in ready:
                piece = os.read(self.pipe, 65536)
                if not piece:
                    return self.end()
                self.unread += piece
            elif self.exited() and not self.poll.poll(0):  # without a wall a process that it started may hold the pipe
                return self.end()
        return found

    def parse(self) -> tuple[int, bytes] | None:
        """The first frame of what was read, or None while it is not whole."""
        if not self.unread:
            return None
        kind, length, start = self.unread[0], 0, 1
        if kind in (BROKEN, PROBLEM, NOTHING):
            if len(self.unread) < 5:
                return None
            length, start = int.from_bytes(self.unread[1:5], "big"), 5
        elif kind not in (CONFINED, LOADED, TRUE, FALSE):
            raise Stopped(FORGED)
        if length > self.request["limits"]["output"]:
            raise Stopped(FORGED)
        if len(self.unread) < start + length:
            return None
        words, self.unread = self.unread[start : start + length], self.unread[start + length :]
        return kind, words

    def end(self) -> tuple[int, bytes]:
        """How it ended, once it has closed its pipe."""
        looks = 0  # not the clock: the machine may stand still
        while looks < 2500 and not self.exited():  # half a second, at least
            time.sleep(0.0002)
            looks += 1
        if self.living:
            os.kill(self.process, signal.SIGKILL)  # one that was about to end keeps the code that it ends with
            self.exited(wait=True)
            if self.code == -signal.SIGKILL:
                raise Stopped("closed the channel of verdicts")
        if self.code == -signal.SIGSYS:
            raise Stopped("forbidden system call")
        if self.code == -signal.SIGKILL and self.used >= processor_seconds(self.request) - 1:
            raise Stopped("time limit")  # that of the processor, which the kernel keeps
        if self.code < 0:
            names = [known.name for known in signal.Signals if known == -self.code]  # most real-time ones have none
            raise Stopped(f"killed by {names[0] if names else f'signal {-self.code}'}")
        if self.unread:
            raise Stopped(FORGED)
        return END, b"exited with status %d" % self.code

    def exited(self, wait: bool = False) -> bool:
        """Whether it has ended; its code is then known."""
        if self.living:
            found, status, used = os.wait4(self.process, 0 if wait else os.WNOHANG)
            if found:
                self.living, self.code = False, os.waitstatus_to_exitcode(status)
                self.used = used.ru_utime + used.ru_stime
        return not self.living

    def close(self) -> None:
        """Kill it, if it lives; without a wall what it started too, as far as that stayed in its group."""
        os.close(self.pipe)
        if self.living:
            os.kill(self.process, signal.SIGKILL)
            self.exited(wait=True)
        if not self.request["walled"]:
            try:
                os.killpg(self.process, signal.SIGKILL)
            except OSError:
                return  # nothing is left


def look_at_scratch() -> None:
    """Stop what makes files without number."""
    found = os.statvfs(SCRATCH)
    if found.f_files - found.f_ffree > SCRATCH_FILES:
        raise Stopped("scratch limit")


def scratch_state() -> tuple[int, ...]:
    """What changes when anything in the scratch folder is made, removed or locked, and when it is listed."""
    found = os.stat(SCRATCH)  # noqa: PTH116 - pathlib would be imported at every start
    return found.st_mode, found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns


def await_confined(child: Child) -> None:
    """Wait until the child is about to run the function's code; until then what goes wrong is not the function's."""
    try:
        kind, words = child.frame(START_SECONDS)
    except Stopped as stop:
        kind, words = BROKEN, str(stop).encode()
    if kind != CONFINED:
        raise SystemExit(f"a function's process could not be confined: {words.decode(errors='replace')}")


def expect(child: Child, *kinds: int) -> tuple[int, bytes]:
    """The next frame, which must be of one of these kinds."""
    kind, words = child.frame(child.request["limits"]["seconds"])
    if kind == END and END not in kinds:
        raise Stopped(words.decode())
    if kind not in kinds:
        raise Stopped(FORGED)
    return kind, words


def run(source: str, first: int, request: dict[str, Any]) -> tuple[bytes, bool]:
    """One function on its responses: the reply to the parent, and whether it is the last."""
    frames, problem, violation, loaded, told = b"", b"", b"", False, 0
    wanted = 0 if request["program"] else len(request["responses"]) - first
    scratch = scratch_state()
    child = Child(source, first, request)
    try:
        await_confined(child)
        kind, problem = expect(child, LOADED, PROBLEM)
        loaded = kind == LOADED
        while loaded and told < wanted:
            kind, words = expect(child, TRUE, FALSE, NOTHING)
            frames += packed(kind, words) if kind == NOTHING else bytes([kind])
            told += 1
        expect(child, END)
    except Stopped as stop:
        violation = str(stop).encode()
        if str(stop) == FORGED or not loaded:
            problem = violation  # nothing that it said counts
        elif told < wanted:
            frames += packed(NOTHING, violation)
    finally:
        child.close()
    frames += packed(PROBLEM, problem) if problem else b""
    frames += packed(VIOLATION, violation) if violation else b""
    last = bool(violation) or (request["walled"] and scratch_state() != scratch)
    return frames + (bytes([LAST]) if last else b""), last


def main() -> None:
    """Serve one request."""
    close_from(3)  # what bubblewrap was given, too
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the kernel keeps from a first process what it has no handler for
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a background job's is ignored, and so blocked
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.argv[1] == "walled":
        prctl(PR_SET_DUMPABLE, 0)
    reply(b"")
    length = int.from_bytes(sys.stdin.buffer.read(4), "big")
    message = sys.stdin.buffer.read(length)
    if len(message) < length:
        raise SystemExit("nothing more is wanted")
    request = marshal.loads(message)
    del message  # every child would have it in its address space
    for name in COMMON:
        if any(f"import {name}" in source for source, _ in request["functions"]):
            __import__(name)
    gc.freeze()
    for source, first in request["functions"]:
        frames, last = run(source, first, request)
        reply(frames)
        if last:
            return


main()
