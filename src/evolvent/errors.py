"""What can go wrong, in the words of the person who meets it: what was wrong, where, and what to do about it."""

import unicodedata
from importlib.util import find_spec


class EvolventError(Exception):
    """A problem that is explained without a traceback; the command line ends with ``exit_status``.

    Args:
        message: what was wrong and where (file, line, row, model).
        fix: what to do about it, as a sentence.
    """

    exit_status = 1

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n{self.fix}" if self.fix else self.message


class InputError(EvolventError):
    """The user's input, options, files or model names are wrong; nothing was lost."""

    exit_status = 2


class RunError(EvolventError):
    """The run could not finish (a full disk, a folder that went away, every record failed)."""

    exit_status = 1


class BudgetReachedError(EvolventError):
    """The budget is spent: no further call begins. The same command goes on with a higher one."""

    exit_status = 3


class ModelUnavailableError(InputError):
    """A model cannot be used at all (no such model, no key, no such server), so the run stops."""


class CallError(EvolventError):
    """One model call failed for good, after every retry that could help. Its record fails with these words.

    Args:
        raw: the beginning of what the server sent, its key cut out, when that could not be read as a completion.
    """

    def __init__(self, message: str, *, fix: str = "", raw: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.raw = raw


def require_extra(module: str, extra: str) -> None:
    """Check that an optional dependency is there before it is imported.

    Raises:
        InputError: it is not installed; the message holds the exact install line.
    """
    if find_spec(module) is None:
        raise InputError(f"{module} is not installed", fix=f"Install it with: pip install 'evolvent[{extra}]'")


def printable(text: str) -> str:
    """A text that steers no terminal, whoever wrote it: what is neither printable, a blank nor a line end is escaped.

    Errors quote servers' replies, keys of files and names of files.
    """
    return "".join(
        character
        if character.isprintable() or character == "\n" or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in text.replace("\r\n", "\n")
    )
