"""AutoIF, step 3: cases and functions that agree with one another.

All functions judge the inputs of all cases. A case is kept if enough functions give its output; a function is kept if
it gives the outputs of enough of those cases. How many are enough, the rules say (``rules.py``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evolvent.evolution.autoif.functions import Case, Sample
from evolvent.evolution.autoif.rules import Bound, Rules
from evolvent.sandbox.sandbox import Sandbox
from evolvent.sandbox.verdicts import Evaluation, Verdict, kind_of


@dataclass(frozen=True, slots=True)
class Validated:
    """What came through cross-validation.

    Attributes:
        functions: the kept functions, each with the share of the cases it agrees with, in the order of samples.
        cases: the kept cases.
        counts: what there was of functions, cases and verdicts, for the funnel.
        reason: why nothing came through: "too few functions", "too few cases", "no case agreed", "no function agreed".
    """

    functions: tuple[tuple[str, float], ...]
    cases: tuple[Case, ...]
    counts: dict[str, int]
    reason: str | None = None


async def cross_validate(samples: Sequence[Sample], rules: Rules, sandbox: Sandbox) -> Validated:
    """Run every function on every case, and keep what agrees.

    Functions and cases count once however often they were drawn. The cases of a function that cannot be loaded are
    left out with it.
    """
    codes = list(dict.fromkeys(sample.code for sample in samples))
    inputs = list(dict.fromkeys(case.input for sample in samples for case in sample.cases))
    evaluations = dict(zip(codes, await sandbox.evaluate(codes, inputs), strict=True)) if codes else {}
    functions = [code for code in codes if evaluations[code].problem is None]
    loaded = set(functions)
    cases = list(dict.fromkeys(case for sample in samples if sample.code in loaded for case in sample.cases))
    table = _table([evaluations[code] for code in functions], inputs, cases)
    verdicts = [[verdict.value for verdict in row] for row in table]
    missing = Counter(kind_of(verdict.reason or "") for row in table for verdict in row if verdict.value is None)
    unloaded = Counter(kind_of(found.problem) for found in evaluations.values() if found.problem is not None)
    counts = {
        "functions": len(functions),
        "functions not loaded": unloaded.total(),
        "functions stopped": sum(evaluation.violation is not None for evaluation in evaluations.values()),
        "cases": len(cases),
        "cases without true or false": sum(isinstance(case.output, str) for case in cases),
        "verdicts": sum(verdict is not None for row in verdicts for verdict in row),
        "no verdict": missing.total(),
        **{f"functions not loaded: {why}": count for why, count in sorted(unloaded.items())},
        **{f"no verdict: {why}": count for why, count in sorted(missing.items())},
    }
    if len(functions) < rules.least_functions:
        return Validated((), (), counts, "too few functions")
    if len(cases) < rules.least_cases:
        return Validated((), (), counts, "too few cases")
    agreed = agreement(verdicts, [case.output for case in cases])
    kept = kept_cases(agreed, rules.case_share)
    counts["kept cases"] = len(kept)
    if not kept:
        return Validated((), (), counts, "no case agreed")
    shares = zip(functions, agreed_shares(agreed, kept if rules.over_kept_cases else range(len(cases))), strict=True)
    surviving = tuple((code, share) for code, share in shares if rules.function_share.passes(share))
    counts["kept functions"] = len(surviving)
    if not surviving:
        return Validated((), (), counts, "no function agreed")
    return Validated(surviving, tuple(cases[index] for index in kept), counts)


def agreement(verdicts: Sequence[Sequence[bool | None]], outputs: Sequence[bool | str]) -> list[list[bool]]:
    """Which function (row) agrees with which case (column); no verdict agrees with nothing."""
    return [[verdict == output for verdict, output in zip(row, outputs, strict=True)] for row in verdicts]


def kept_cases(agreed: Sequence[Sequence[bool]], share: Bound) -> list[int]:
    """The columns with which enough rows agree."""
    return [case for case, column in enumerate(zip(*agreed, strict=True)) if share.passes(sum(column) / len(column))]


def agreed_shares(agreed: Sequence[Sequence[bool]], cases: Sequence[int]) -> list[float]:
    """For each row the share of the given columns, at least one, that it agrees with, in [0, 1]."""
    return [sum(row[case] for case in cases) / len(cases) for row in agreed]


def _table(evaluations: Sequence[Evaluation], inputs: list[str], cases: list[Case]) -> list[list[Verdict]]:
    """Verdicts of functions (rows) on cases (columns)."""
    place = {text: index for index, text in enumerate(inputs)}
    return [[evaluation.verdicts[place[case.input]] for case in cases] for evaluation in evaluations]
