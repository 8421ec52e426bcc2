"""Seeds and a scripted evolver that a pilot can be tried with: ``small`` does better with it than ``default``."""

import json
import re
from pathlib import Path

from evolvent.models.protocols import Sampling

EVOLVER = "openai:evolver?base_url=http://host:1/v1"


def replies(prompt: str, _: Sampling) -> str:
    """To ``small`` the sentence that it asks for; to ``default`` an evolution of every second seed."""
    lead = re.search(r"Begin with: (.*)", prompt)
    if lead is not None:
        return f"{lead.group(1).rstrip(' .…')} the wool of sheep from the far north matters in a cold winter."
    parent = prompt.split("Prompt#:\n", 1)[1].split("\n", 1)[0]
    odd = int(re.findall(r"\d+", parent)[0]) % 2
    return f"{parent} with a needle of bone, and say \x1b[31mwhy" if odd else parent


def write_seeds(folder: Path, number: int) -> Path:
    path = folder / "seeds.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"Mend the sock number {n}"}) + "\n" for n in range(number)))
    return path
