"""What comes back from the sandbox."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification function said of one response: a bool, or nothing (None) and why."""

    value: bool | None
    reason: str | None = (
        None  # "NameError: ...", "time limit", "memory limit", "returned str, not a bool", "killed by ..."
    )


def kind_of(reason: str) -> str:
    """A reason without its particulars, to be counted under: "KeyError" for "KeyError: 'x'"."""
    return reason.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One verification function over every response, in their order.

    Attributes:
        verdicts: one a response.
        problem: why the function could not be loaded at all; every verdict is then None.
        violation: what it was stopped at, when the sandbox had to stop it.
    """

    verdicts: tuple[Verdict, ...]
    problem: str | None = None
    violation: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a whole program ran to its end without an exception, and else why not."""

    passed: bool
    reason: str | None
