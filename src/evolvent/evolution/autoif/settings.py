"""What an AutoIF run works with (models, constants, templates, sampling), and what it notes of its records.

Both are plain data, the same for its three stages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import InputError
from evolvent.evolution.autoif.demonstrated import Demonstrations
from evolvent.evolution.autoif.rules import METHOD, Bound, Rules
from evolvent.evolution.templates import load_prompt
from evolvent.models.protocols import Sampling
from evolvent.prompts import Prompt
from evolvent.records import Record

# The templates, each with what its slots may hold.
PROMPTS: dict[str, dict[str, object]] = {
    "self_instruct": {"seeds": "- Use no commas", "count": 50},
    "functions": {"instruction": "Use no commas"},
    "back_translation": {"functions": ["def evaluate(response): ..."]},
    "answer": {"instruction": "Use no commas", "query": "What is rain?"},
    "quality": {"instruction": "Use no commas", "query": "What is rain?", "answer": "Water"},
}

# Those in whose place the profile small shows how.
DEMONSTRATED = ("self_instruct", "functions", "back_translation")


@dataclass(frozen=True, slots=True)
class AutoIF:
    """What the steps work with. Models are named by their URIs as records hold them.

    Attributes:
        model: the evolver: it writes instructions and functions, and reads instructions out of functions.
        teacher: the model that answers.
        judge: the model that scores answers, greedily; None where the rules score none.
        nli: the cross-encoder that says whether two instructions contradict each other; None leaves step 5 out.
        profile: whose constants the steps have; it also decides how an instruction and a query are joined, and how a
            score is read.
        rules: the constants.
        prompts: the templates by name.
        sampling: how all replies but the judge's are drawn; in paper 1: temperature 0.7, top_p 0.95.
        seed: the run's seed.
        unsafe: whether functions run without the sandbox's wall.
        demonstrations: what steps 1 to 4 show the evolver instead of the templates; None but in the profile ``small``.
    """

    model: str
    teacher: str
    judge: str | None
    nli: str | None
    profile: str
    rules: Rules
    prompts: Mapping[str, Prompt]
    sampling: Sampling
    seed: int
    unsafe: bool = False
    demonstrations: Demonstrations | None = None

    def settings(self, rules: str, *prompts: str) -> dict[str, Any]:
        """These constants, named one after the other, and the versions of these templates, as a stage's settings."""
        values = {name: getattr(self.rules, name) for name in rules.split()}
        versions = {name: self.prompts[name].version for name in prompts}
        if self.demonstrations:
            versions.update({name: self.demonstrations.version for name in prompts if name in DEMONSTRATED})
        return {
            **{name: str(value) if isinstance(value, Bound) else value for name, value in values.items()},
            "templates": versions,
        }


def load_prompts(folder: Path | None) -> dict[str, Prompt]:
    """AutoIF's templates; a folder of the user's may hold its own, as autoif/NAME.j2.

    Raises:
        InputError: the folder holds none, or one of them cannot be filled in.
    """
    own = folder / METHOD if folder else None
    if own is not None and not any((own / f"{name}.j2").is_file() for name in PROMPTS):
        raise InputError(
            f"--templates {folder} holds no template of AutoIF",
            fix=f"Put one of these into {own}: {', '.join(f'{name}.j2' for name in PROMPTS)}.",
        )
    prompts = {name: load_prompt(f"{METHOD}/{name}", folder) for name in PROMPTS}
    for name, slots in PROMPTS.items():
        prompts[name].render(**slots)  # a wrong slot shows now, not when its stage begins
    return prompts


def noted(record: Record) -> dict[str, Any]:
    """What ``meta["autoif"]`` holds, beside the user's own columns; nothing for a record not worked on."""
    found = orjson.loads(record.meta or "{}").get(METHOD)
    return found if isinstance(found, dict) else {}


def noting(record: Record, **notes: Any) -> str:
    """The record's meta with these notes, and no others of AutoIF's."""
    return orjson.dumps({**orjson.loads(record.meta or "{}"), METHOD: notes}).decode()
