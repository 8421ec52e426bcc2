"""One sandbox process: it is started, asked once, and ends."""

import asyncio
import contextlib
import marshal
import os
import signal
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evolvent.errors import RunError
from evolvent.sandbox.interpreter import interpreter
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.system_calls import compiled_filter
from evolvent.sandbox.verdicts import Verdict
from evolvent.sandbox.wall import environment, harness, harness_command, map_users, maps_nobody, walled_command

START_SECONDS = 30.0  # for a process to start, on a machine that is busy
SPARE_SECONDS = 60.0  # beyond what all calls may take together, as the machine may stand still for a while
END_SECONDS = 5.0  # for the harness to end by itself, when nothing more is wanted of it


@dataclass(frozen=True, slots=True)
class Answer:
    """What the harness says of one function, from the first response on that it was asked for."""

    verdicts: list[Verdict]
    problem: str | None
    violation: str | None


async def serve(
    functions: Sequence[tuple[str, int]], responses: Sequence[str] | None, limits: Limits, *, walled: bool
) -> list[Answer]:
    """Run functions on responses in a process of their own.

    Args:
        functions: the source of each, and the first response that it is to try.
        responses: None for programs, which are only run.
        limits: of each function.
        walled: behind the wall, or with the user's rights.

    Returns:
        One answer a function, in order; fewer when one had to be stopped, or left files behind.

    Raises:
        RunError: the process did not start.
    """
    request = {
        "functions": tuple(functions),
        "responses": tuple(responses or ()),
        "program": responses is None,
        "limits": asdict(limits),
        "walled": walled,
        "filter": compiled_filter() if walled else b"",
    }
    calls = len(responses or ()) + 1
    process = await start(limits, walled=walled)
    try:
        most = 64 + (limits.output + 5) * (calls + 2)
        return await ask(process, request, most, limits.seconds * calls * len(functions) + SPARE_SECONDS)
    finally:
        await end(process)


async def start(limits: Limits, *, walled: bool) -> Process:
    """Start the harness, in the wall or without one, and wait until it is ready.

    Raises:
        RunError: it did not start; its words.
    """
    ours: tuple[int, ...] = ()
    theirs: tuple[int, ...] = ()
    if walled and maps_nobody():
        info, info_end = os.pipe()
        ready_end, ready = os.pipe()
        ours, theirs = (info, ready), (info_end, ready_end)
        command = walled_command(limits, *theirs)
    elif walled:
        command = walled_command(limits)
    else:
        command = harness_command(interpreter().executable, walled=False)
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment(),
            pass_fds=theirs + ours[:1],  # with a reader of its own bubblewrap can write when we are gone
            start_new_session=True,
        )
    )
    try:
        try:
            # Shielded, as asyncio would kill bubblewrap, and not what bubblewrap has started.
            process = await asyncio.shield(starting)
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            process.stdin.write(harness())
            if theirs:
                _close(theirs)
                theirs = ()
                async with asyncio.timeout(START_SECONDS):
                    await _readable(ours[0])
                map_users(*ours)
        finally:
            with contextlib.suppress(OSError):
                await starting  # which needs what is closed next
            _close(ours + theirs)  # where its users were not mapped bubblewrap goes on, and the harness ends
        async with asyncio.timeout(START_SECONDS):
            if await _frames(process.stdout, 0) is None:
                words = (await process.stderr.read(2000)).decode(errors="replace").strip()
                raise RunError(f"a sandbox process did not start: {words}")
    except BaseException as error:
        with contextlib.suppress(OSError):
            await end(await starting)
        if isinstance(error, OSError):
            words = str(error) or f"it was not ready after {START_SECONDS:.0f} s"
            raise RunError(f"a sandbox process did not start: {words}") from error
        raise
    return process


async def ask(process: Process, request: dict[str, Any], most: int, seconds: float) -> list[Answer]:
    """Send a request and take the answers, until the process ends or the time is over.

    Args:
        process: from ``start``.
        request: see ``harness.py``.
        most: bytes that one answer may have.
        seconds: for all together.

    Returns:
        The answers until then.
    """
    assert process.stdin is not None and process.stdout is not None
    answers: list[Answer] = []
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            message = marshal.dumps(request)
            process.stdin.write(len(message).to_bytes(4, "big") + message)
            while (frames := await _frames(process.stdout, most)) is not None:
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
            words_of[kind] = printable(frames[start_of:position].decode("utf-8", "replace"))
        if kind in "TFN":
            verdicts.append(Verdict(None, words_of["N"]) if kind == "N" else Verdict(kind == "T"))
    return Answer(verdicts, words_of.get("P"), words_of.get("V"))


def printable(text: str) -> str:
    """The text without what could steer a terminal: the program may have written it."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


async def end(process: Process) -> None:
    """End the harness, if it has not ended, and with it all that is in its sandbox; wait until it has.

    Its standard input is closed, at which it ends at any point of its life; only what does not is killed.
    """
    assert process.stdin is not None
    process.stdin.close()
    ended = asyncio.ensure_future(process.wait())
    try:
        async with asyncio.timeout(END_SECONDS):
            await asyncio.shield(ended)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(ended)


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end."""
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, seen.set)
    try:
        await seen.wait()
    finally:
        loop.remove_reader(descriptor)


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


async def _frames(stream: StreamReader, most: int) -> bytes | None:
    """The next reply, or None at the end."""
    try:
        length = int.from_bytes(await stream.readexactly(4), "big")
        return await stream.readexactly(length) if length <= most else None
    except asyncio.IncompleteReadError:
        return None
