"""The funnel of an AutoIF run: how many came through each step, counted from the finished files."""

from collections import Counter
from pathlib import Path
from typing import Any

from evolvent.evolution.autoif.back_translation import CONTRADICTION
from evolvent.evolution.autoif.find_functions import NO_BACK_TRANSLATION
from evolvent.evolution.autoif.meta import noted
from evolvent.evolution.autoif.rules import Rules
from evolvent.evolution.autoif.self_instruct import distinct_rows
from evolvent.runs.record_files import read_records

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
    """Steps 2 to 6, from evolved.parquet: the counts of all instructions added up, and their fates."""
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
    ordered[1:1] = sorted(counted.keys() - set(DETAILS))  # why samples were of no use
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


def of_answers(path: Path, rules: Rules, *, sft: int, dpo: int) -> dict[str, Any]:
    """Steps 7 to 9 and the pairs, from responses.parquet."""
    fates: Counter[str] = Counter()
    scored = 0
    for record in read_records(path):
        fates[record.reason or "" if record.status == "eliminated" else record.status] += 1
        scored += noted(record).get("quality") is not None
    kept = fates.pop("ok", 0)
    counts = {
        "answers": kept + sum(fates.values()),
        **{f"answers: {fate}": count for fate, count in sorted(fates.items())},
        **({"answers scored by the judge": scored} if rules.quality else {}),
        "answers kept": kept,
        "SFT rows": sft,
        "DPO pairs": dpo,
    }
    return {"funnel": counts}
