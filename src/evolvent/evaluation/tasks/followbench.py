"""FollowBench: does a reply satisfy every constraint that was added to an instruction, by level: rules, or a judge.

As the published code does, items that have one right reply are compared with it; the others go to a judge, who sees the
instruction with each constraint added. The published code also has rules of its own for seven single chains of items
(five summaries, two formats): these go to the judge here.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.evaluation.task import Document, Measure, NoVerdict, Task, Tools
from evolvent.records import Column, Score, conversation

if TYPE_CHECKING:
    from datasets import Dataset

LEVELS = range(1, 6)

# A line of a judge's reply that holds verdicts and nothing else, such as a Python list of them.
VERDICTS = re.compile(r"\W*(YES|NO)(\W+(YES|NO))*\W*")

PROMPT = """An instruction was made harder step by step; each step added one constraint.

[Instruction]
{first}

{steps}

[Answer to the last one]
{answer}

Name each of the {level} added constraints and say whether the answer satisfies it.
End with one line that holds only {level} times YES or NO, in the order of the constraints, with commas between."""


def documents(data_files: Mapping[str, str], **_: Any) -> "dict[str, Dataset]":
    """The items of level 1 and above, each with the steps that lead to it."""
    from datasets import Dataset

    rows = []
    for file in sorted(Path(data_files["test"]).glob("*_constraints.json")):
        kind = file.stem.removesuffix("_constraints")
        steps: list[str] = []
        for row in json.loads(file.read_text(encoding="utf-8")):
            steps = [] if row["level"] == 0 or kind == "example" else steps
            steps.append(row["instruction"])
            if row["level"] in LEVELS:
                key = f"{kind}/{row['example_id']}/{row['level']}"
                own = {name: row[name] for name in ("source", "level", "target")}
                rows.append({"key": key, "kind": kind, **own, "steps": list(steps), "last": row["instruction"]})
    return {"test": Dataset.from_list(rows)}


def _last(pattern: str) -> Callable[[str, str], bool]:
    """Whether the last match in a reply is the right answer."""
    return lambda reply, target: re.findall(pattern, reply)[-1:] == [target]


RULES: dict[str, Callable[[str, str], bool]] = {
    "E2E": lambda reply, target: reply == target,
    "text_editing": lambda reply, target: reply == target,
    "WIKIEVENTS": lambda reply, target: set(reply.split("\n")) <= set(target.split("\n")),
    "CONLL2003": lambda reply, target: reply in ast.literal_eval(target),
    "BBH_logical": _last(r"\([A-Z]\)"),
    "BBH_time": _last(r"\d{2}/\d{2}/\d{4}"),
    "self_made_space": lambda reply, target: target in reply,
    "gsm_8k": _last(r"\$\d+"),
}


def of_template(reply: str, target: str) -> bool:
    """Whether a reply has the form that the examples in its prompt have."""
    form = target.replace("{instruction}\n", "").replace("{{", "{").replace("}}", "}")
    return re.fullmatch(".*".join(map(re.escape, form.split("{answer}"))), reply) is not None


async def judge(document: Document, reply: str, tools: Tools) -> dict[str, Score]:
    """How many of its item's constraints a reply satisfies, and whether all."""
    level = document["level"]
    followed = await satisfied(document, reply, tools) if reply.strip() else 0
    found = float(followed == level)
    return {
        "satisfied": found,
        f"satisfied_{level}": found,
        "share_satisfied": followed / level,
        "followed": followed,
        "constraints": level,
        "kind": document["kind"],
        "chain": document["key"].rpartition("/")[0],
    }


async def satisfied(document: Document, reply: str, tools: Tools) -> int:
    """How many constraints a reply that holds text satisfies: by a rule, all or none.

    Raises:
        NoVerdict: the judge does not say so of each.
    """
    level: int = document["level"]
    if document["kind"] == "example":
        return level * of_template(reply, document["target"])
    if document["source"] in RULES:
        return level * RULES[document["source"]](reply, document["target"])
    first, *steps = document["steps"]
    added = (f"[With {n} constraint{'s' * (n > 1)}]\n{step}" for n, step in enumerate(steps, 1))
    prompt = PROMPT.format(first=first, steps="\n\n".join(added), answer=reply, level=len(steps))
    assert tools.judge is not None
    said = await tools.judge(conversation(prompt))
    lines = [line for line in said.text.splitlines() if VERDICTS.fullmatch(line)]
    verdicts = re.findall("YES|NO", lines[-1]) if lines else []
    if len(verdicts) != len(steps):
        raise NoVerdict("the judge's reply has no last line of one YES or NO for each constraint")
    return verdicts.count("YES")


def _measure(name: str, column: str) -> Measure:
    """The mean of the kinds' means; the levels of an instruction stand or fall together."""
    return Measure(name, column, groups="kind", cluster="chain")


FOLLOWBENCH = Task(
    "followbench",
    "share of replies that satisfy all constraints (HSR) and of constraints (SSR), the mean over kinds of constraints; "
    "zero-shot",
    (
        *(_measure(f"HSR level {level}", f"satisfied_{level}") for level in LEVELS),
        _measure("HSR", "satisfied"),
        _measure("SSR", "share_satisfied"),
    ),
    judge,
    (Column("followed", "int64"), Column("constraints", "int64"), Column("kind", "string"), Column("chain", "string")),
    judged=1,
)
