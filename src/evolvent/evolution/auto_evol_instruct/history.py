"""METHOD.yaml: an evolving method and how it was found, a file that people read, compare and share.

A file of somebody's own needs nothing but the key ``method``::

    method: |
      You are an Instruction Rewriter. ...
      #Instruction#:
      {instruction}

The optimizer writes the rest beside it: what it was run with, and every step's candidates.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from evolvent.errors import InputError
from evolvent.evolution.auto_evol_instruct.failure_rate import Evaluation, used_json
from evolvent.evolution.auto_evol_instruct.method import SLOT, Method, problem_of
from evolvent.evolution.auto_evol_instruct.search import Found, Step, Tried
from evolvent.files import replacing
from evolvent.parse_errors import yaml_error
from evolvent.records import Record

log = logging.getLogger(__name__)

FORMAT = 1
FINISHED, UNFINISHED = "finished", "unfinished"

# More is no method file: the history of a hundred steps of five candidates, each as long as a reply may be, is less.
LARGEST = 16 << 20

# Nesting; the history has 6. A tree is made by recursion: of a hundred thousand brackets it would end Python.
DEEPEST = 100

WIDTH = 120

# Different reasons that are written of one evaluation; the call store has every one.
REASONS = 10

HEADER = """\
# An evolving method of Auto Evol-Instruct, and how evolvent optimize-method found it. It is applied with:
#   evolvent evolve SEEDS --method auto-evol-instruct --method-file THIS_FILE --model URI --out RUN
# Only the key method is read back.
"""

# Line ends to YAML 1.1 that come back as they were in double quotes only.
OTHER_LINE_ENDS = "\x85\u2028\u2029"

_HOW = f"A method file has a line 'method: |' and below it, indented, a prompt with the slot {SLOT}."
_DAMAGED = "If it is in a run folder: remove it, and start the same command with --fresh; it pays no call twice."
# The C parser reads a megabyte in a tenth of a second, the other in ten seconds.
_Loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def read_method(path: str | Path) -> Method:
    """The method of a file that ``evolvent optimize-method`` wrote, or that was written by hand.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read, is no such file, or holds a text that is no method; the message names the line.
    """
    path = Path(path)
    root = _parsed(path, _HOW)
    keys = root.value if isinstance(root, yaml.MappingNode) else []
    found = {key.value: (key.start_mark.line + 1, value) for key, value in keys if isinstance(key, yaml.ScalarNode)}
    if "method" not in found:
        names = ", ".join(map(repr, found)) or "none"  # a file may come from anywhere: no key may steer a terminal
        raise InputError(f"{path} holds no method: its keys are {names}"[:500], fix=_HOW)
    line, version = found.get("format", (0, None))
    if version is not None and version.value != str(FORMAT):
        raise InputError(
            f"{path}, line {line}: this is format {version.value!r}, and {FORMAT} was expected"[:500],
            fix="Read it with the version of evolvent that wrote it.",
        )
    line, value = found["method"]
    if not isinstance(value, yaml.ScalarNode):
        raise InputError(f"{path}, line {line}: method is no text", fix=_HOW)
    text = value.value.strip()
    problem = problem_of(text)
    if problem is not None:
        raise InputError(f"{path}, line {line}: the method cannot be used: {problem}", fix=_HOW)
    if "state" in found and found["state"][1].value == UNFINISHED:
        log.warning("warning: %s is of a search that has not ended; its method is the best so far", path)
    return Method(text)


def read_history(path: Path) -> dict[str, Any]:
    """What a search wrote down (see ``described``).

    Args:
        path: METHOD.yaml; of a search that goes on or has ended, the run folder's own copy, which nobody edits.

    Raises:
        InputError: no search wrote it.
    """
    root = _parsed(path, _DAMAGED)
    try:
        content = yaml.constructor.SafeConstructor().construct_document(root) if root else None
    except (yaml.YAMLError, ValueError):  # a tag that nobody knows, a date that does not exist
        content = None
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("initial"), dict)
        or not isinstance(content.get("steps"), list)
    ):
        raise InputError(f"{path} holds no history of a search", fix=_DAMAGED)
    return content


def noted_in(path: Path) -> int:
    """How often a search wrote down how it stands: for the initial method, and for each step. 0 if there is no file.

    Args:
        path: the run folder's own copy of METHOD.yaml.

    Raises:
        InputError: it is not as the search wrote it.
    """
    return 1 + len(read_history(path)["steps"]) if path.is_file() else 0


def _parsed(path: Path, fix: str) -> yaml.Node | None:
    """The tree of a YAML file; None if it is empty."""
    text = ""
    try:
        if not path.is_file():
            raise InputError(f"there is no method file {path}", fix="Make one: evolvent optimize-method SEEDS …")
        size = path.stat().st_size
        if size > LARGEST:
            raise InputError(f"{path} is no method file: it has {size:,} bytes, and {LARGEST:,} at most were expected")
        text, depth = path.read_bytes().decode("utf-8-sig"), 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise InputError(f"{path} is no method file: it is nested more than {DEEPEST} deep", fix=fix)
        return yaml.compose(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {yaml_error(error, text)}", fix=fix) from error


class _Dumper(yaml.SafeDumper):
    """Texts of several lines, or of more than one, as blocks: people read and edit the prompt."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text or len(text) > WIDTH else None
    if any(char in text for char in OTHER_LINE_ENDS):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def write_history(found: Found, how: Mapping[str, Any], *paths: Path) -> None:
    """Write how a search stands, or ended: each file appears whole. The same search gives the same file.

    Args:
        found: the search.
        how: what it was run with.
        paths: the files.

    Raises:
        InputError, RunError: a file cannot be written.
    """
    text = history_text(found, how).encode()
    for path in paths:
        with replacing(path, of_run=True) as file:
            file.write(text)


def history_text(found: Found, how: Mapping[str, Any]) -> str:
    """A search as the text of METHOD.yaml."""
    # None: what holds neither a list, nor a mapping, nor a block stands on one line.
    style: dict[str, Any] = {"default_flow_style": None, "sort_keys": False, "allow_unicode": True, "width": WIDTH}
    return f"{HEADER}{yaml.dump(described(found, how), Dumper=_Dumper, **style)}"


def described(found: Found, how: Mapping[str, Any]) -> dict[str, Any]:
    """A search as METHOD.yaml holds it."""
    by = next((f"step {step.number}, candidate {step.chosen}" for step in reversed(found.steps) if step.chosen), None)
    return {
        "format": FORMAT,
        "state": FINISHED if found.stopped else UNFINISHED,
        "stopped": found.stopped,
        "method": found.method.text,
        "version": found.method.version,
        "found_by": by or "the initial method",
        **_rate(found.evaluation),
        "how": dict(how),
        "used": used_json(found.used()),
        "initial": {
            "method": found.initial.text,
            "version": found.initial.version,
            **_evaluated(found.initial_evaluation),
            "used": used_json(found.initial_used),
        },
        "steps": [_step(step) for step in found.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "batch": rows_of(step.batch),
        "evolutions": dict(sorted(step.fates.items())),
        "used": used_json(step.used),
        "candidates": [_tried(tried) for tried in step.tried],
        "chosen": f"candidate {step.chosen}" if step.chosen else "the method before this step",
    }


def _tried(tried: Tried) -> dict[str, Any]:
    candidate = tried.candidate
    content: dict[str, Any] = {"candidate": candidate.number, "feedback": candidate.feedback}
    if candidate.method is None:
        content |= {"invalid": candidate.problem, "reply": candidate.text}
    else:
        content |= {"method": candidate.text, "version": candidate.method.version}
    if tried.same_as:
        content["same_as"] = tried.same_as
    if tried.evaluation is not None:
        content |= {"invalid": candidate.problem} if candidate.problem else {}
        content |= _evaluated(tried.evaluation)
    return content | {"used": used_json(candidate.used)}


def _rate(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "failure_rate": round(evaluation.rate, 4),
        "interval": [round(bound, 4) for bound in evaluation.interval()],
    }


def _evaluated(evaluation: Evaluation) -> dict[str, Any]:
    content: dict[str, Any] = {
        **_rate(evaluation),
        "failures": evaluation.failures,
        "apart": evaluation.apart,
    }
    if evaluation.calls_failed:
        content["rows_with_a_failed_call"] = evaluation.calls_failed
    if evaluation.reasons:
        content["without_answer"] = [
            {"rows": rows, "reason": reason} for reason, rows in evaluation.reasons.most_common(REASONS)
        ]
    return content


def rows_of(records: Iterable[Record]) -> list[int]:
    """The positions of rows in the seeds."""
    return [record.seed_index for record in records]


def counts_of(found: Found) -> dict[str, int]:
    """What a search counts, as the manifest holds it."""
    every = [tried for step in found.steps for tried in step.tried]
    evaluations = [found.initial_evaluation, *(tried.evaluation for tried in every if tried.evaluation)]
    return {
        "steps": len(found.steps),
        "candidates": len(every),
        "invalid candidates": sum(tried.candidate.problem is not None for tried in every),
        "equal candidates": sum(tried.same_as is not None for tried in every),
        "failures at first": found.initial_evaluation.failed,
        "failures at last": found.evaluation.failed,
        "dev rows": found.evaluation.rows,
        "rows of evaluations with a failed call": sum(evaluation.calls_failed for evaluation in evaluations),
    }
