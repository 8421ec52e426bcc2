"""One sandbox process: it is started, asked once, and ends."""

import asyncio
import contextlib
import marshal
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from subprocess import PIPE, Popen
from typing import Any

from evolvent.errors import RunError, printable
from evolvent.sandbox.interpreter import interpreter
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.system_calls import compiled_filter
from evolvent.sandbox.verdicts import Verdict
from evolvent.sandbox.wall import environment, harness, harness_command, map_users, maps_nobody, walled_command

START_SECONDS = 30.0  # for a process to start, on a machine that is busy
SPARE_SECONDS = 60.0  # beyond what all calls may take together, as the machine may stand still for a while
END_SECONDS = 5.0  # for the harness to end by itself, when nothing more is wanted of it

KILLED = "killed by SIGKILL"  # what the harness says of a function whose process was: by itself, or from outside


@dataclass(frozen=True, slots=True)
class Answer:
    """What the harness says of one function, from the first response on that it was asked for."""

    verdicts: list[Verdict]
    problem: str | None
    violation: str | None


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox process, and our end of the socket that is its standard input and output."""

    process: Popen[bytes]
    channel: socket.socket

    def words(self) -> str:
        """What it wrote to its standard error, when it has ended."""
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        return (self.process.stderr.read(2000) or b"").decode(errors="replace").strip()


async def serve(
    functions: Sequence[tuple[str, int]], responses: Sequence[str] | None, limits: Limits, *, walled: bool
) -> list[Answer]:
    """Run functions on responses in a process of their own.

    Its harness is the first process in the sandbox: a function can end itself, which the harness says, but not the
    harness. So a process that ends before it has answered was ended from outside (the kernel was short of memory, or
    somebody killed it), and nothing is said of the function at work: it is tried once more in a new process. A function
    that was killed may have done that itself, as it may have been the kernel: it is tried once more, too.

    Args:
        functions: the source of each, and the first response that it is to try.
        responses: None for programs, which are only run.
        limits: of each function.
        walled: behind the wall, or with the user's rights.

    Returns:
        One answer a function, in order, at least one; fewer when one had to be stopped, or left files behind.

    Raises:
        RunError: the process did not start, or was ended from outside, twice; or it took far too long.
    """
    how = ""
    for once_more in (True, False):
        try:
            answers, how = await _serve(functions, responses, limits, walled=walled)
        except RunError:
            if not once_more:
                raise
            continue
        except TimeoutError:  # it is tried no more: the next one would take as long
            raise RunError(
                f"a sandbox process took {SPARE_SECONDS:.0f} s more than all calls of its functions may take together",
                fix="The machine stands still or is overloaded; start the same command again when it is not.",
            ) from None
        if once_more and answers and answers[-1].violation == KILLED:
            before = answers.pop().verdicts[:-1]
            answers += [Answer(before, None, None)] if before else []
        if answers:
            return answers
    raise RunError(
        f"a sandbox process was ended from outside, and so was the one that took its place: {how}",
        fix=f"Most likely the machine is short of memory (dmesg says so): a process may use {limits.memory >> 20} MiB, "
        "and as many as there are cores, and one more, are at work. Start the same command again when there is more.",
    )


async def _serve(
    functions: Sequence[tuple[str, int]], responses: Sequence[str] | None, limits: Limits, *, walled: bool
) -> tuple[list[Answer], str]:
    """The answers of one process, and how it ended."""
    request = {
        "functions": tuple(functions),
        "responses": tuple(responses or ()),
        "program": responses is None,
        "limits": asdict(limits),
        "walled": walled,
        "filter": compiled_filter() if walled else b"",
    }
    calls = len(responses or ()) + 1
    running = await start(limits, walled=walled)
    try:
        most = (max(limits.output, 64) + 5) * (calls + 3)  # 64: the harness's own words
        answers = await ask(running, request, most, limits.seconds * calls * len(functions) + SPARE_SECONDS)
    finally:
        words = await end(running)
    return answers, words or f"status {running.process.returncode}"


async def start(limits: Limits, *, walled: bool) -> Running:
    """Start the harness, in the wall or without one, and wait until it is ready.

    Raises:
        RunError: it did not start; its words.
    """
    channel, their_channel = socket.socketpair()
    channel.setblocking(False)
    running = None
    try:
        with contextlib.ExitStack() as ours:  # what is closed before anything else where this is cancelled
            with contextlib.ExitStack() as theirs:
                theirs.callback(their_channel.close)
                info = ready = -1
                given: tuple[int, ...] = ()
                if walled and maps_nobody():
                    info, their_info = os.pipe()
                    their_ready, ready = os.pipe()
                    for stack, descriptors in ((ours, (info, ready)), (theirs, (their_info, their_ready))):
                        for descriptor in descriptors:
                            stack.callback(os.close, descriptor)
                    # With a reader of its own bubblewrap can write when we are gone.
                    given = (their_info, their_ready, info)
                    command = walled_command(limits, their_info, their_ready)
                elif walled:
                    command = walled_command(limits)
                else:
                    command = harness_command(interpreter().executable, walled=False)
                running = Running(_started(command, their_channel, given), channel)
            if given:
                async with asyncio.timeout(START_SECONDS):
                    await _readable(info)
                map_users(info, ready)
        async with asyncio.timeout(START_SECONDS):
            with contextlib.suppress(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(channel, harness())
            if await _frames(channel, 0) is None:
                raise RunError(f"a sandbox process did not start: {running.words()}")
    except BaseException as error:
        if running is not None:
            await end(running)
        channel.close()
        if isinstance(error, OSError):
            words = str(error) or f"it was not ready after {START_SECONDS:.0f} s"
            raise RunError(f"a sandbox process did not start: {words}") from error
        raise
    return running


def _started(command: Sequence[str], channel: socket.socket, given: tuple[int, ...]) -> Popen[bytes]:
    """Not by asyncio: its start of a process, when cancelled, leaves what bubblewrap has started and may not end."""
    return Popen(
        command,
        stdin=channel.fileno(),
        stdout=channel.fileno(),
        stderr=PIPE,
        env=environment(),
        pass_fds=given,
        start_new_session=True,
    )


async def ask(running: Running, request: dict[str, Any], most: int, seconds: float) -> list[Answer]:
    """Send a request and take the answers, until the process ends.

    Args:
        running: from ``start``.
        request: see ``harness.py``.
        most: bytes that one answer may have.
        seconds: for all together.

    Returns:
        The answers until then.

    Raises:
        TimeoutError: it has not ended in that time.
    """
    answers: list[Answer] = []
    message = marshal.dumps(request)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(seconds):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(running.channel, len(message).to_bytes(4, "big") + message)
            while (frames := await _frames(running.channel, most)) is not None:
                answers.append(read_answer(frames))
    return answers


def read_answer(frames: bytes) -> Answer:
    """One reply of the harness; its format is told in ``harness.py``."""
    verdicts: list[Verdict] = []
    words_of: dict[str, str] = {}
    position = 0
    while position < len(frames):
        kind = chr(frames[position])
        position += 1
        if kind in "PNV":
            start_of = position + 4
            position = start_of + int.from_bytes(frames[position:start_of], "big")
            words = frames[start_of:position].decode("utf-8", "replace")
            words_of[kind] = printable(words).replace("\n", " ")  # the program may have written them
        if kind in "TFN":
            verdicts.append(Verdict(None, words_of["N"]) if kind == "N" else Verdict(kind == "T"))
    return Answer(verdicts, words_of.get("P"), words_of.get("V"))


async def end(running: Running) -> str:
    """End the harness, if it has not ended, and with it all that is in its sandbox; wait until it has: its last words.

    The channel is closed, at which it ends at any point of its life; only what does not is killed.
    """
    with contextlib.suppress(OSError):
        running.channel.shutdown(socket.SHUT_RDWR)  # even where a process forked from this one holds it too
    running.channel.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await _ended(running.process)
    if running.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        await _ended(running.process)
    words = running.words()
    assert running.process.stderr is not None
    running.process.stderr.close()
    return words


async def _ended(process: Popen[bytes]) -> None:
    while process.poll() is None:
        await asyncio.sleep(0.001)


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end."""
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, seen.set)
    try:
        await seen.wait()
    finally:
        loop.remove_reader(descriptor)


async def _frames(channel: socket.socket, most: int) -> bytes | None:
    """The next reply, or None at the end."""
    head = await _exactly(channel, 4)
    length = int.from_bytes(head or b"", "big")
    return None if head is None or length > most else await _exactly(channel, length)


async def _exactly(channel: socket.socket, length: int) -> bytes | None:
    found = bytearray()
    while len(found) < length:
        try:
            piece = await asyncio.get_running_loop().sock_recv(channel, length - len(found))
        except ConnectionError:  # it has ended without taking all that was sent
            return None
        if not piece:
            return None
        found += piece
    return bytes(found)
