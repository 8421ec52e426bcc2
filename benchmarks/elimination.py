"""What the elimination rules say of replies that people have labelled: what passes, and what good is lost.

    python -m benchmarks.elimination LABELLED.jsonl [--demonstrations FILE] [--show] [--half a|b] [--without RULE,RULE]

A line holds a seed (``seed_instruction``, ``seed_input``), the ``operator``, the ``model`` and the ``style`` that it
was asked in, its ``reply`` and ``finish_reason``, and a ``label``; ``good`` is what is to be kept. ``asked``, the turns
that were sent, and ``project_rule``, what earlier rules said, may be there.

A half is drawn by a hash of the seed, so that all replies to a seed are in one: rules are written on half a and
measured on half b.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evolvent.evolution.elimination import eliminate
from evolvent.evolution.evol_instruct import choose_operators
from evolvent.evolution.salvage import salvage
from evolvent.models.protocols import Reply
from evolvent.records import Message, Record

GOOD = "good"


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled reply, what is left of it, and the rule that eliminates it, if any."""

    row: dict[str, Any]
    text: str
    rule: str | None

    @property
    def good(self) -> bool:
        return bool(self.row["label"] == GOOD)

    @property
    def passed_before(self) -> bool:
        return bool(self.row.get("project_rule", "ok") == "ok")


def read(
    path: Path, half: str | None, without: Sequence[str], demonstrated: Mapping[str, list[Message]]
) -> Iterator[Judged]:
    """The replies of a file, judged by the rules."""
    operators = {operator.operator: operator for operator in choose_operators(None)}
    for line in path.read_bytes().splitlines():
        row = orjson.loads(line)
        if half is not None and half != half_of(row):
            continue
        parent = Record("s", "s", 0, row["seed_instruction"], input=row.get("seed_input") or "")
        breadth = row["operator"] == "breadth"
        shown = demonstrated.get(row["operator"]) if row["style"] == "shots" else None
        asked = row.get("asked") or shown or operators[row["operator"]].turns(parent, "default", 0)
        text = salvage(row["reply"], parent, breadth=breadth)
        reply = Reply(row["reply"], row["finish_reason"])
        yield Judged(row, text, eliminate(parent, text, reply, asked, breadth=breadth, without=without))


def demonstrations(path: Path | None) -> dict[str, list[Message]]:
    """The turns that replies of the style ``shots`` were shown, by operator."""
    tried = orjson.loads(path.read_bytes())["demonstrations"] if path else {}
    return {
        operator: [Message(role="assistant", content=one["evolved"]) for one in shown]
        for operator, shown in tried.items()
    }


def half_of(row: dict[str, Any]) -> str:
    """The half that a seed's replies are in."""
    return "ab"[hashlib.sha256(row["seed_instruction"].encode()).digest()[0] % 2]


def table(judged: Sequence[Judged]) -> Iterator[str]:
    """The figures as lines of text."""
    yield f"{'model, style':<40}{'replies':>8}{'good':>6}{'once passed':>13}{'pass':>6}{'of them good':>14}{'lost':>6}"
    groups = sorted({(one.row["model"], one.row["style"]) for one in judged})
    for model, style in [*groups, ("all", "")]:
        of_group = [one for one in judged if model == "all" or (one.row["model"], one.row["style"]) == (model, style)]
        good = sum(one.good for one in of_group)
        passed = [one for one in of_group if one.rule is None]
        kept = sum(one.good for one in passed)
        before = sum(one.passed_before for one in of_group)
        name = f"{model}, {style}".rstrip(", ")
        yield f"{name:<40}{len(of_group):>8}{good:>6}{before:>13}{len(passed):>6}{kept:>14}{good - kept:>6}"
    bad = [one for one in judged if not one.good and one.passed_before]
    caught = sum(one.rule is not None for one in bad)
    yield f"\nnot good, and passed before: {len(bad)}; eliminated now: {caught} ({caught / max(1, len(bad)):.0%})"
    yield f"\n{'rule':<16}{'eliminates':>11}{'not good':>10}{'precision':>11}{'recall':>8}"
    wrong = Counter(one.rule for one in judged if not one.good)
    for rule, count in Counter(one.rule for one in judged if one.rule).most_common():
        yield f"{rule:<16}{count:>11}{wrong[rule]:>10}{wrong[rule] / count:>11.0%}{wrong[rule] / wrong.total():>8.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--half", choices=("a", "b"), help="only the replies to this half of the seeds")
    parser.add_argument("--without", default="", help="rules that are switched off")
    parser.add_argument("--show", action="store_true", help="show the replies on which label and rules differ")
    parser.add_argument("--demonstrations", type=Path, help="what the style shots showed: demonstrations_tried.json")
    given = parser.parse_args()
    without = [rule for rule in given.without.split(",") if rule]
    judged = list(read(given.labelled, given.half, without, demonstrations(given.demonstrations)))
    print(*table(judged), sep="\n")
    for one in judged if given.show else ():
        if one.good != (one.rule is None):
            print(f"\n{one.row['label']}, {one.rule or 'ok'} ({one.row['operator']}, {one.row['style']})")
            print(f"  {one.row['seed_instruction']!r} + {one.row.get('seed_input')!r}\n  {one.text!r}")


if __name__ == "__main__":
    main()
