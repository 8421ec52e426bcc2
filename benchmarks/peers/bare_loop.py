"""The floor: asyncio and aiohttp, one append-only file, no store, no methods. A retry for 429 and null replies.

It goes on after a kill: rows whose line is whole in the file are not asked for again.
"""

import asyncio
import os

import aiohttp
import orjson
from evolution import MAX_TOKENS, MODEL, Arguments, arguments, prompt

try:
    from uvloop import run
except ImportError:
    from asyncio import run


def done(path: str) -> set[str]:
    """The instructions that the file holds; a line that was cut is cut off."""
    try:
        with open(path, "rb+") as file:  # noqa: PTH123 (this is the floor: nothing that can be left out)
            whole = file.read()
            file.truncate(whole.rfind(b"\n") + 1)
    except FileNotFoundError:
        return set()
    return {orjson.loads(line)["instruction"] for line in whole[: whole.rfind(b"\n") + 1].splitlines()}


async def ask(session: aiohttp.ClientSession, url: str, instruction: str) -> str:
    """One evolution, asked for until there is one."""
    messages = [{"role": "user", "content": prompt(instruction)}]
    body = orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": MAX_TOKENS})
    while True:
        async with session.post(url, data=body) as response:
            if response.status == 200:
                text: str | None = orjson.loads(await response.read())["choices"][0]["message"]["content"]
                if text:
                    return text
                continue
            if response.status != 429:
                response.raise_for_status()
            await response.read()
            wait_s = float(response.headers.get("Retry-After", 1))
        await asyncio.sleep(wait_s)


async def main(given: Arguments) -> None:
    path = str(given.out / "rows.jsonl")
    found = done(path)
    left = iter([seed for seed in given.seeds if seed not in found])
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    url = f"{given.base_url}/chat/completions"

    async def worker() -> None:
        for instruction in left:
            evolved = await ask(session, url, instruction)
            os.write(file, orjson.dumps({"instruction": instruction, "evolved": evolved}) + b"\n")

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"}) as session:
        await asyncio.gather(*(worker() for _ in range(given.concurrency)))
    os.close(file)


if __name__ == "__main__":
    run(main(arguments()))
