"""METHOD.yaml: an evolving method and how it was found, a file that people read, compare and share.

A file of somebody's own needs nothing but the key ``method``::

    method: |
      You are an Instruction Rewriter. ...
      #Instruction#:
      {instruction}

The optimizer writes the rest beside it, which nothing reads back: what it was run with, and every step's candidates.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from evolvent.errors import InputError
from evolvent.evolution.auto_evol_instruct.failure_rate import Evaluation, used_json
from evolvent.evolution.auto_evol_instruct.method import SLOT, Method, problem_of
from evolvent.evolution.auto_evol_instruct.proposal import FAILED
from evolvent.evolution.auto_evol_instruct.search import Found, Step, Tried
from evolvent.files import replacing
from evolvent.records import Record
from evolvent.report.tables import Table
from evolvent.runs.tally import Used

log = logging.getLogger(__name__)

FORMAT = 1
FINISHED, UNFINISHED = "finished", "unfinished"

# More is no method file: the history of a hundred steps of five candidates, each as long as a reply may be, is less.
LARGEST = 16 << 20

WIDTH = 116

# Different reasons that are written of one evaluation; the call store has every one.
REASONS = 10

# Places with failed calls that are named; the file has every one.
NAMED = 5

HEADER = """\
# An evolving method of Auto Evol-Instruct, and how evolvent optimize-method found it. It is applied with:
#   evolvent evolve SEEDS --method auto-evol-instruct --method-file THIS_FILE --model URI --out RUN
# Only the key method is read back.
"""

# Line ends to YAML 1.1 that come back as they were in double quotes only.
OTHER_LINE_ENDS = "\x85\u2028\u2029"

# Nesting; the history has 6. Parsing takes the square of it.
DEEPEST = 100

_HOW = f"A method file has a line 'method: |' and below it, indented, a prompt with the slot {SLOT}."
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
    found = _top_level(path, _text(path))
    if "method" not in found:
        keys = ", ".join(map(repr, found)) or "none"  # a file may come from anywhere: no key may steer a terminal
        raise InputError(f"{path} holds no method: its keys are {keys}"[:500], fix=_HOW)
    version_line, version = found.get("format", (0, str(FORMAT)))
    if version != str(FORMAT):
        raise InputError(
            f"{path}, line {version_line}: this is format {version!r}, and {FORMAT} was expected",
            fix="Read it with the version of evolvent that wrote it.",
        )
    line, text = found["method"]
    if text is None:
        raise InputError(f"{path}, line {line}: method is no text", fix=_HOW)
    text = text.strip()
    problem = problem_of(text)
    if problem is not None:
        raise InputError(f"{path}, line {line}: the method cannot be used: {problem}", fix=_HOW)
    if found.get("state", (0, ""))[1] == UNFINISHED:
        log.warning("warning: %s is of a search that has not ended; its method is the best so far", path)
    return Method(text)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise InputError(f"there is no method file {path}", fix="Make one: evolvent optimize-method SEEDS …")
        size = path.stat().st_size
        if size > LARGEST:
            raise InputError(f"{path} is no method file: it has {size:,} bytes, and {LARGEST:,} at most were expected")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _top_level(path: Path, text: str) -> dict[str, tuple[int, str | None]]:
    """The keys of a YAML mapping: the line of each, and its value if that is a text (or a number, as it is written).

    Read as events: of a hundred thousand opening brackets a tree would end Python.
    """
    found: dict[str, tuple[int, str | None]] = {}
    depth, key, value_comes = 0, None, False
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                if depth == 0 and not isinstance(event, yaml.MappingStartEvent):
                    break
                depth += 1
                if depth > DEEPEST:
                    raise InputError(f"{path} is no method file: it is nested more than {DEEPEST} deep", fix=_HOW)
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif not isinstance(event, yaml.NodeEvent):
                continue
            if depth == 0:
                break
            if depth > 1:
                continue
            said = event.value if isinstance(event, yaml.ScalarEvent) else None
            if value_comes and key is not None:
                found[key] = found[key][0], said
            elif said is not None and not value_comes:
                found[said] = event.start_mark.line + 1 if event.start_mark else 0, None
            key, value_comes = (None, False) if value_comes else (said, True)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: this is not YAML: {error.problem}", fix=_HOW) from error
    except yaml.reader.ReaderError as error:
        line = f", line {text.count(chr(10), 0, error.position) + 1}"
        raise InputError(f"{path}{line}: this is not YAML: {error.reason}", fix=_HOW) from error
    return found


class _Line(dict[str, Any]):
    """A mapping that is written on one line."""


class _Row(list[Any]):
    """A list that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines or of more than one as blocks, as far as YAML can show them so."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text or len(text) > WIDTH else None
    if any(char in text for char in OTHER_LINE_ENDS):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)
_Dumper.add_representer(_Line, lambda dumper, row: dumper.represent_mapping("tag:yaml.org,2002:map", row.items(), True))
_Dumper.add_representer(_Row, lambda dumper, row: dumper.represent_sequence("tag:yaml.org,2002:seq", row, True))


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
    content = described(found, how)
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH + 4)


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
        "used": _used(found.used()),
        "initial": {
            "method": found.initial.text,
            "version": found.initial.version,
            **_evaluated(found.initial_evaluation),
            "used": _used(found.initial_used),
        },
        "steps": [_step(step) for step in found.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "batch": rows_of(step.batch),
        "evolutions": _Line(sorted(step.fates.items())),
        "used": _used(step.used),
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
    return content | {"used": _used(candidate.used)}


def _rate(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "failure_rate": round(evaluation.rate, 4),
        "interval": _Row(round(bound, 4) for bound in evaluation.interval()),
    }


def _evaluated(evaluation: Evaluation) -> dict[str, Any]:
    content: dict[str, Any] = {
        **_rate(evaluation),
        "failures": _Line(evaluation.failures),
        "apart": _Line(evaluation.apart),
    }
    if evaluation.calls_failed:
        content["rows_with_a_failed_call"] = evaluation.calls_failed
    if evaluation.reasons:
        content["without_answer"] = [
            {"rows": rows, "reason": reason} for reason, rows in evaluation.reasons.most_common(REASONS)
        ]
    return content


def _used(used: Mapping[str, Used]) -> dict[str, Any]:
    return {uri: _Line(one) for uri, one in used_json(used).items()}


def rows_of(records: Iterable[Record]) -> list[int]:
    """The positions of rows in the seeds."""
    return _Row(record.seed_index for record in records)


@contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Explain what is met where a file is read that the search did not write."""
    fix = "If it is in a run folder: remove it, and start the same command with --fresh; it pays no call twice."
    try:
        yield
    except InputError as error:
        raise InputError(error.message, fix=fix) from error
    except (KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path} holds no history of a search: {error!r}", fix=fix) from error


def _history(path: Path) -> Any:
    text = _text(path)
    _top_level(path, text)  # refuses what is nested so deep that a tree of it would be long in the making
    return yaml.load(text, Loader=_Loader)


def noted_in(path: Path) -> int:
    """How often a search wrote down how it stands: for the initial method, and for each step. 0 if there is no file.

    Args:
        path: the run folder's own copy of METHOD.yaml.

    Raises:
        InputError: it is not as the search wrote it.
    """
    if not path.is_file():
        return 0
    with _as_written(path):
        return 1 + len(_history(path)["steps"])


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


def steps_table(path: str | Path) -> Table:
    """The steps of a search as a table: failure rates with their intervals, and what was chosen.

    Args:
        path: METHOD.yaml.

    Raises:
        InputError: it is not one that ``evolvent optimize-method`` wrote.
    """
    path = Path(path)
    with _as_written(path):
        content = _history(path)
        method = _rate_words(content["initial"])
        rows = [("0", "", "", "", method, "the initial method")]
        for step in content["steps"]:
            # One that came to no answer has a rate, too (0 in the paper's profile), and is invalid.
            tried = [one for one in step["candidates"] if "failure_rate" in one and "invalid" not in one]
            best = min(tried, key=lambda one: one["failure_rate"], default=None)
            invalid = sum("invalid" in one for one in step["candidates"])
            rows.append(
                (
                    str(step["step"]),
                    str(len(step["candidates"])),
                    str(invalid),
                    str(sum("same_as" in one for one in step["candidates"])),
                    _rate_words(best) if best else "",
                    step["chosen"],
                )
            )
        notes = (
            f"stopped: {content['stopped'] or 'not yet'}",
            f"method: version {content['version']}, by {content['found_by']}, failure rate {_rate_words(content)}",
        )
    columns = ("step", "candidates", "invalid", "equal", "lowest failure rate (95 %)", "chosen")
    return Table("optimize-method: the steps", columns, rows, notes)


def failed_calls(path: Path) -> str | None:
    """Where calls of a search failed for good, in words; None if none did.

    Args:
        path: as for ``noted_in``.

    Raises:
        InputError: it is not as the search wrote it.
    """
    rows, places = 0, []
    with _as_written(path):
        content = _history(path)
        tried = [("the initial method", content["initial"])]
        for step in content["steps"]:
            tried += [(f"step {step['step']}, candidate {one['candidate']}", one) for one in step["candidates"]]
        for name, one in tried:
            failed = one.get("rows_with_a_failed_call", 0)
            if failed:
                rows += failed
                places.append(f"{name} ({failed:,} of the dev set's rows)")
            elif str(one.get("invalid", "")).startswith(FAILED):
                places.append(f"{name} (it was not proposed)")
    if not places:
        return None
    named = ", ".join(places[:NAMED]) + (f" and {len(places) - NAMED:,} more" if len(places) > NAMED else "")
    return f"calls failed for good, {rows:,} rows of evaluations lack one: {named}"


def _rate_words(content: Mapping[str, Any]) -> str:
    low, high = content["interval"]
    return f"{content['failure_rate']:.3f} ({low:.3f} to {high:.3f})"
