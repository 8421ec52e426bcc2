"""How many come through each step: the funnel, counted from the finished files, and the most that a dry run expects.

A dry run rehearses step 1 alone. The later steps work on replies yet to come: how many instructions are verified, and
how many answers come to the judge, nobody knows before. It says by a formula how many calls there are if all do.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from evolvent.errors import RunError
from evolvent.evolution.autoif.answers import NO_VERDICT
from evolvent.evolution.autoif.back_translation import CONTRADICTION
from evolvent.evolution.autoif.find_functions import NO_BACK_TRANSLATION
from evolvent.evolution.autoif.rules import Rules
from evolvent.evolution.autoif.self_instruct import distinct_rows
from evolvent.evolution.autoif.settings import AutoIF, noted
from evolvent.runs.record_files import read_records
from evolvent.runs.stage import Formula

# What is counted of an instruction, in the order of the steps.
DETAILS = (
    "samples",
    "samples read",
    "functions",
    "functions not loaded",
    "functions stopped",
    "cases",
    "broken cases",
    "cases without true or false",
    "verdicts",
    "no verdict",
    "kept cases",
    "kept functions",
)


# Equal ones count once.
DISTINCT = {"functions": "distinct functions", "cases": "distinct cases"}

# What the number of a step's calls is the product of, each factor with its name.
Factors = Sequence[tuple[int, str]]

# What is assumed of instructions that are yet to be written.
_NOT_YET = "every prompt of step 1 brings as many instructions as it asks for, no two alike"


def of_instructions(path: Path, rules: Rules) -> dict[str, Any]:
    """Step 1, from instructions.parquet."""
    counted = Counter(record.method is not None for record in read_records(path) if record.status == "ok")
    counts = {
        "seed instructions": counted[False],
        "new instructions asked for": rules.prompts * rules.instructions_per_prompt,
        "new instructions": counted[True],
        "distinct instructions": len(distinct_rows(path)),
    }
    return {"funnel": counts}


def of_functions(path: Path, rules: Rules) -> dict[str, Any]:
    """Steps 2 to 6, from evolved.parquet: the counts of all instructions added up, and their fates.

    Raises:
        RunError: there are functions, and no verdict of any.
    """
    counted: Counter[str] = Counter()
    fates: Counter[str] = Counter()
    rows = one_sided = 0
    for record in read_records(path):
        if record.round:
            rows += 1
            continue
        fates[record.reason or "" if record.status == "eliminated" else record.status] += 1
        notes = noted(record)
        counted.update(notes.get("counts", {}))
        one_sided += record.status == "ok" and len({case["output"] for case in notes.get("cases", ())}) == 1
    ordered = [name for name in DETAILS if name in counted]
    for why in sorted(counted.keys() - set(DETAILS), reverse=True):  # each behind what it is a reason of
        ordered.insert(ordered.index(why.partition(":")[0]) + 1, why)
    require_verdicts(path, counted["verdicts"], _reasons(counted, ("no verdict", "functions not loaded")))
    total, verified = fates.total(), fates.pop("ok", 0)
    at_consistency, at_back_translation = fates[CONTRADICTION], fates[NO_BACK_TRANSLATION]
    counts = {
        "instructions": total,
        **{DISTINCT.get(name, name): counted[name] for name in ordered},
        **{f"instructions: {fate}": count for fate, count in sorted(fates.items()) if count},
        "cross-validated instructions": verified + at_consistency + at_back_translation,
        **({"back-translated instructions": verified + at_consistency} if rules.back_translated else {}),
        "verified instructions": verified,
        "of these with cases of one verdict only": one_sided,
        "instructions with a query": rows,
    }
    return {"funnel": counts}


def of_answers(path: Path, rules: Rules) -> dict[str, int]:
    """Steps 7 and 8, from responses.parquet.

    Raises:
        RunError: there are answers, and no verdict on any.
    """
    fates: Counter[str] = Counter()
    scored = judged = 0
    for record in read_records(path):
        fates[record.reason or "" if record.status == "eliminated" else record.status] += 1
        scored += noted(record).get("quality") is not None
        judged += bool(noted(record).get("verdicts"))
    kept = fates.pop("ok", 0)
    require_verdicts(path, judged, _reasons(fates, (NO_VERDICT,)))
    return {
        "answers": kept + sum(fates.values()),
        **{f"answers: {fate}": count for fate, count in sorted(fates.items())},
        **({"answers scored by the judge": scored} if rules.quality else {}),
        "answers kept": kept,
    }


def require_verdicts(path: Path, given: int, missing: Counter[str]) -> None:
    """Check that verification functions said something.

    Args:
        path: the stage's file.
        given: how many verdicts there are.
        missing: how many there are not, by reason.

    Raises:
        RunError: there are none, and some should be.
    """
    if missing and not given:
        [(why, count)] = missing.most_common(1)
        raise RunError(
            f"no verification function gave a verdict, {missing.total():,} times in {path}; most frequent: {why} "
            f"({count:,})",
            fix="Mend the cause and start the same command again with --fresh: the replies are kept.",
        )


def _reasons(counted: Counter[str], kinds: Sequence[str]) -> Counter[str]:
    """What was counted under "KIND: reason", by reason."""
    found: Counter[str] = Counter()
    for name, count in counted.items():
        kind, _, why = name.partition(": ")
        if kind in kinds and why:
            found[why] += count
    return found


def instructions_at_most(seeds: int, rules: Rules) -> int:
    """How many instructions step 1 leaves, if every prompt brings as many as it asks for and no two are alike."""
    return seeds + rules.prompts * rules.instructions_per_prompt


def evolve_formula(how: AutoIF, instructions: int, *, known: bool) -> Formula:
    """The calls of steps 2 and 4.

    Args:
        how: what is called, and how often.
        instructions: how many there are, or the most that there can be.
        known: whether they are there.
    """
    each = (instructions, "instructions")
    steps: dict[str, tuple[str, Factors]] = {"2 functions": (how.model, [each, (how.rules.samples, "samples")])}
    if how.demonstrations:
        steps["2 cases"] = (how.model, [each, (how.rules.samples, "samples")])
    if how.rules.back_translated:
        asked = [(how.rules.back_translated, "functions")] if how.demonstrations else []
        steps["4 back-translation"] = (how.model, [each, *asked])
    return _formula(how, instructions, steps, "" if known else _NOT_YET)


def respond_formula(how: AutoIF, asked: Factors, *, known: bool) -> Formula:
    """The calls of steps 7 and 8.

    Args:
        how: what is called, and how often.
        asked: instructions with their queries, or the most that there can be.
        known: whether they are there.
    """
    answers = [*asked, (how.rules.responses, "answers")]
    steps = {"7 answers": (how.teacher, answers)}
    if how.judge is not None:
        steps["8 quality"] = (how.judge, answers)
    rests = ["every answer passes its functions"] if how.judge is not None else []
    if not known:
        rests = [_NOT_YET, "every instruction is verified", *rests]
    return _formula(how, prod(number for number, _ in asked), steps, ", ".join(rests))


def _formula(how: AutoIF, records: int, steps: Mapping[str, tuple[str, Factors]], rests: str) -> Formula:
    calls: Counter[str] = Counter()
    lines = [f"at most: if {rests}"] if rests else []
    for step, (model, factors) in steps.items():
        count = prod(number for number, _ in factors)
        calls[model] += count
        terms = " x ".join(f"{number:,} {name}" for number, name in factors)
        lines.append(f"step {step}: {terms} = {count:,} calls of {model}")
    return Formula(records, calls, how.sampling.max_tokens, tuple(lines))
