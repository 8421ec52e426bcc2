"""AutoIF's constants: what each step asks for, by profile, where the paper, its code and paper 1 differ.

``autoif-paper`` follows the text of arXiv 2406.13542, ``autoif-code`` the scripts published with it, ``paper1`` the
variant of arXiv 2412.11231 (its §2 and App. A.1), which stops after cross-validation and keeps one answer a query.
``small`` has the paper's thresholds, fewer calls and no judge: models that need to be shown how judge badly.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

from evolvent.errors import InputError

METHOD = "autoif"


class Bound(NamedTuple):
    """A least share or score: above ``value``, or from ``value`` on."""

    value: float
    inclusive: bool

    def passes(self, figure: float) -> bool:
        """Whether a figure is high enough."""
        return figure >= self.value if self.inclusive else figure > self.value

    def __str__(self) -> str:
        return f"{'>=' if self.inclusive else '>'}{self.value:g}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The bound that is written ``>0.5`` or ``>=0.8``.

        Raises:
            ValueError: it is no bound.
        """
        found = re.fullmatch(r"\s*(>=?)\s*(\d+(?:\.\d+)?)\s*", text)
        if found is None:
            raise ValueError(f"{text!r} is no bound such as >0.5 or >=0.8")
        return cls(float(found[2]), found[1] == ">=")


ANY = Bound(0.0, inclusive=False)
MAJORITY = Bound(0.5, inclusive=False)
HALF = Bound(0.5, inclusive=True)
FOUR_FIFTHS = Bound(0.8, inclusive=True)
EIGHT, ABOVE_EIGHT = Bound(8, inclusive=True), Bound(8, inclusive=False)


# More of anything is a slip of the hand.
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What AutoIF's steps ask for.

    Attributes:
        prompts: how many times new instructions are asked for (step 1).
        instructions_per_prompt: how many each of these prompts asks for.
        samples: functions with cases that are drawn for an instruction (step 2).
        least_functions, least_cases: distinct ones that cross-validation (step 3) needs to begin with.
        case_share: share of the functions that have to agree with a case for it to be kept.
        function_share: share of the cases that a function has to agree with to be kept.
        over_kept_cases: whether that share is taken over the cases that were kept, not over all.
        back_translated: how many functions are translated back to instructions (step 4); 0 leaves steps 4 and 5 out.
        queries: queries that an instruction is asked with (step 6).
        query_longer_than, query_shorter_than: bounds of a query's length, in characters, both exclusive.
        responses: answers drawn for an instruction with a query.
        response_share: share of the functions that an answer has to pass (step 7); None keeps every answer.
        quality: the least score by the judge (step 8), 1 to 10; None leaves the step out.
        chosen_share: share of the functions that the better answer of a DPO pair passes; the worse one passes none.
        pair_samples: the most answers of each side that are paired, for one instruction and query.
    """

    prompts: int = 100
    instructions_per_prompt: int = 50
    samples: int = 8
    least_functions: int = 1
    least_cases: int = 1
    case_share: Bound = MAJORITY
    function_share: Bound = MAJORITY
    over_kept_cases: bool = True
    back_translated: int = 3
    queries: int = 16
    query_longer_than: int = 20
    query_shorter_than: int = 300
    responses: int = 8
    response_share: Bound | None = MAJORITY
    quality: Bound | None = EIGHT
    chosen_share: Bound = MAJORITY
    pair_samples: int = 2


PROFILES = {
    "autoif-paper": Rules(),
    "autoif-code": Rules(
        case_share=ANY,
        function_share=FOUR_FIFTHS,
        least_functions=3,
        least_cases=10,
        response_share=ANY,
        quality=ABOVE_EIGHT,
        chosen_share=HALF,
    ),
    "paper1": Rules(
        case_share=ANY, function_share=FOUR_FIFTHS, back_translated=0, responses=1, response_share=None, quality=None
    ),
    "small": Rules(prompts=20, instructions_per_prompt=5, back_translated=1, queries=8, responses=4, quality=None),
}


def changed(rules: Rules, changes: Mapping[str, Any]) -> Rules:
    """A profile's constants with others in the place of some.

    Args:
        rules: the profile's.
        changes: by name; a bound is written ``>0.5`` or ``>=0.8``, ``none`` leaves its step out.

    Raises:
        InputError: an unknown name, or a value that the constant cannot have.
    """
    kinds = {field.name: str(field.type) for field in fields(Rules)}
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in kinds:
            raise InputError(f"AutoIF has no rule {name!r}", fix=f"Rules: {', '.join(kinds)}.")
        try:
            values[name] = _read(value, getattr(rules, name), optional="None" in kinds[name])
        except (TypeError, ValueError) as error:
            raise InputError(f"rule {name} is {value!r}: {error}") from error
    made = replace(rules, **values)
    for name in kinds:
        _check(name, getattr(made, name))
    if made.least_functions > made.samples:
        raise InputError(
            f"least_functions is {made.least_functions} and samples is {made.samples}: each sample brings one function "
            "at the most, so no instruction could come through",
            fix=f"Draw more samples, or set --rule least_functions={made.samples}.",
        )
    return made


def rules_of(
    profile: str, samples: int | None, rule: Mapping[str, Any] | None, *, judge: str | None, nli: str | None
) -> Rules:
    """The constants of a run.

    Args:
        profile: the profile's name.
        samples: functions drawn for an instruction, if not as many as the profile's.
        rule: further changes (see ``changed``).
        judge, nli: models that are named: they must have something to do.

    Raises:
        InputError: a wrong change, or the rules leave out the step of a model that is named.
    """
    if samples is not None and "samples" in (rule or {}):
        raise InputError("--samples and --rule samples=N say the same", fix="Leave one of them out.")
    rules = changed(PROFILES[profile], {**({} if samples is None else {"samples": samples}), **(rule or {})})
    if judge is not None and rules.quality is None:
        raise InputError(
            f"no answer is scored by the rules of {profile}: the judge would be asked nothing",
            fix='Leave --judge out, or score: --rule "quality=>=8".',
        )
    if nli is not None and not rules.back_translated:
        raise InputError(
            f"nothing is translated back by the rules of {profile}: there is nothing for --nli to compare",
            fix="Leave --nli out, or translate back: --rule back_translated=3.",
        )
    return rules


def rules_in(settings: Mapping[str, Any]) -> Rules:
    """The constants that a stage's settings name, as a manifest gives them back; the others are the paper's.

    Raises:
        InputError: one has a value that it cannot have.
    """
    return changed(Rules(), {field.name: settings[field.name] for field in fields(Rules) if field.name in settings})


def _check(name: str, value: int | Bound | None) -> None:
    """Check that a constant is one with which anything can come through.

    Raises:
        InputError: it is not.
    """
    if type(value) is int:
        least = 0 if name in ("prompts", "back_translated", "query_longer_than") else 1
        if not least <= value <= MOST:
            raise InputError(f"rule {name} is {value:,}", fix=f"Give {least} to {MOST:,}.")
    elif isinstance(value, Bound):
        highest = 10 if name == "quality" else 1
        if not value.passes(highest):
            raise InputError(f"rule {name} is {value}: nothing passes it", fix=f"The highest value is {highest}.")


def _read(value: Any, now: Any, *, optional: bool) -> Any:
    """A value as the constant's own kind."""
    text = str(value).strip().lower()
    if text == "none":
        if not optional:
            raise ValueError("this step cannot be left out")
        return None
    if isinstance(now, bool):
        if text not in ("true", "false"):
            raise ValueError("it is true or false")
        return text == "true"
    if not isinstance(now, int):
        return Bound.parse(text)
    if re.fullmatch(r"-?[0-9]{1,99}", text) is None:
        raise ValueError("it is a whole number")
    return int(text)
