"""METHOD.yaml: an evolving method and how it was found, a file that people read, compare and share.

A file of somebody's own needs nothing but the key ``method``::

    method: |
      You are an Instruction Rewriter. ...
      #Instruction#:
      {instruction}

The optimizer writes the rest beside it, which nothing reads back: what it was run with, and every step's candidates.
"""

import logging
from pathlib import Path

import yaml

from evolvent.errors import InputError
from evolvent.evolution.auto_evol_instruct.method import SLOT, Method, problem_of

log = logging.getLogger(__name__)

FORMAT = 1
FINISHED, UNFINISHED = "finished", "unfinished"

# More is no method file: the history of a hundred steps of five candidates, each as long as a reply may be, is less.
LARGEST = 16 << 20

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
        raise InputError(f"{path} holds no method: its keys are {', '.join(found) or 'none'}"[:500], fix=_HOW)
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

    Read as events: a file of a hundred thousand opening brackets is refused, where a tree of them would end Python.
    """
    found: dict[str, tuple[int, str | None]] = {}
    depth, key, value_comes = 0, None, False
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                if depth == 0 and not isinstance(event, yaml.MappingStartEvent):
                    break
                depth += 1
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
