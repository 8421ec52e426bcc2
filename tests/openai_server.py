"""An OpenAI-compatible server for tests: its reply depends on the request alone, and it counts what was asked twice.

    python tests/openai_server.py PORT [LATENCY_MS]

GET /stats gives {"requests": n, "repeated": n, "in_flight_peak": n}. Port 0 takes a free one; the port is the first
line it prints.
"""

import asyncio
import hashlib
import re
import sys
from collections import Counter

import orjson
from aiohttp import web

WORDS = tuple(
    """
    anchor basket candle drawer engine feather garden hammer island jacket kettle ladder mirror needle orchard pillow
    quarry ribbon saddle tunnel umbrella valley wagon yogurt zipper almond bridge cellar donkey ember fiddle goblet
    harbor inkwell jungle kernel lantern meadow nutmeg oyster pepper quiver raisin sickle thimble urchin violin walnut
    acorn badger cactus dagger eagle falcon gravel helmet igloo jaguar kitten lizard magnet napkin otter parrot quilt
    rocket sailor tailor usher velvet willow yacht beetle carpet dragon elbow forest guitar hornet insect jersey koala
    lemon marble nephew octopus pigeon rabbit salmon turtle unicorn vulture whistle blanket chimney dolphin emerald
    """.split()  # noqa: SIM905
)
SEEN: Counter[str] = Counter()
IN_FLIGHT = {"now": 0, "peak": 0}


def reply_to(prompt: str, seed: object) -> str:
    """The given prompt (the text after a heading), and some words drawn by the request."""
    draw = hashlib.sha256(f"{prompt}|{seed}".encode()).digest()
    evolving = auto_evol_reply(prompt, draw)
    if evolving is not None:
        return evolving
    alone = re.sub(r"#Input#:\n.*?(?=\n\n#|\Z)", "", prompt, flags=re.DOTALL)
    given = [text.strip() for text in re.split(r"#[^#\n]+#:", alone) if text.strip()][-1]
    drawn = dict.fromkeys(WORDS[byte % len(WORDS)] for byte in draw[: 10 + draw[0] % 6])  # enough that is new
    return f"{given} Also name the {' '.join(drawn)}."


def auto_evol_reply(prompt: str, draw: bytes) -> str | None:
    """A reply of Auto Evol-Instruct or its optimiser (the more often mended, the fewer failures); None to others."""
    word = WORDS[draw[2] % len(WORDS)]
    if prompt.startswith("The cases below"):
        return f"Case {1 + draw[0] % 3}: it adds nothing; {word}."
    if prompt.startswith("Feedback:"):
        method = prompt.partition("The method:\n")[2].partition("\n\nKeep {instruction}")[0]
        mended = method.replace("\n", f" Mind {word}.\n", 1)
        lost = mended.replace("{instruction}", "the instruction")
        return f"```Optimized Method\n{lost if draw[0] % 4 == 0 else mended}\n```"
    if "#Finally Rewritten Instruction#" in prompt:
        given = prompt.rpartition("#Instruction#:\n")[2].partition("\n\n#Input#")[0]
        steps = (
            "Step 1 #Methods List#:\n1. Add a reason.\nStep 2 #Plan#:\nDo so.\nStep 3 #Rewritten Instruction#:\nDone."
        )
        more = " and ".join(WORDS[byte % len(WORDS)] for byte in draw[3:8])
        return f"{steps}\nStep 4 #Finally Rewritten Instruction#:\n{given} Say why, and evolve {word}, {more}."
    if ", and evolve " in prompt and draw[0] % 3 == 0:
        return "Please provide the thing."
    return None


async def chat(request: web.Request) -> web.Response:
    body = orjson.loads(await request.read())
    SEEN[hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()] += 1
    IN_FLIGHT["now"] += 1
    IN_FLIGHT["peak"] = max(IN_FLIGHT.values())
    try:
        await asyncio.sleep(request.app["latency_s"])
    finally:
        IN_FLIGHT["now"] -= 1
    prompt = body["messages"][-1]["content"]
    text = reply_to(prompt, body.get("seed"))
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
    content = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    return web.Response(body=orjson.dumps(content), content_type="application/json")


async def stats(_: web.Request) -> web.Response:
    requests = sum(SEEN.values())
    return web.json_response(
        {"requests": requests, "repeated": requests - len(SEEN), "in_flight_peak": IN_FLIGHT["peak"]}
    )


async def serve(port: int, latency_ms: float) -> None:
    app = web.Application(client_max_size=64 << 20)
    app["latency_s"] = latency_ms / 1000
    app.add_routes([web.post("/v1/chat/completions", chat), web.get("/stats", stats)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
