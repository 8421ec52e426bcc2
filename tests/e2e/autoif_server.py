"""The tests' server with replies for AutoIF's prompts: drawn by the request alone, some of them of no use.

python tests/e2e/autoif_server.py PORT [LATENCY_MS]
"""

import asyncio
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import openai_server

FORMS = {
    "lower case": ("response == response.lower()", [("all low", True), ("Not Low", False)]),
    "no commas": ("',' not in response", [("a b", True), ("a, b", False)]),
    "one line": ("'\\n' not in response", [("a b", True), ("a\nb", False)]),
}


def reply_to(prompt: str, seed: object) -> str:
    """A reply to one of AutoIF's prompts."""
    draw = hashlib.sha256(f"{prompt}|{seed}".encode()).digest()
    if prompt.startswith("You write instructions"):
        return "\n".join(f"- Write {list(FORMS)[byte % 3]}, rule {byte % 20}" for byte in draw[:3])
    if prompt.startswith("Write a Python function"):
        (check, cases) = next(found for form, found in FORMS.items() if form in prompt)
        code = f"def evaluate(response):\n    return {check}  # {draw[1] % 4}"
        content = {"func": code, "cases": [{"input": text, "output": output} for text, output in cases]}
        return f"```json\n{json.dumps(content)}\n```" if draw[0] % 5 else "I would rather not."
    if prompt.startswith("Every Python function"):
        return json.dumps(["It does"] * prompt.count("def evaluate"))
    if prompt.startswith("Answer the query"):
        return ("it is so", "It, is so", "IT IS", "it is\nso")[draw[0] % 4] + " x" * (draw[1] % 3)
    return f"It answers it.\nScore: {6 + draw[0] % 5}"


openai_server.reply_to = reply_to

if __name__ == "__main__":
    asyncio.run(openai_server.serve(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
