"""Code that a reply holds, and what comes of it in the sandbox."""

import ast
import re
import warnings

from evolvent.evaluation.task import Measure, Tools
from evolvent.records import Column, Score
from evolvent.sandbox.limits import Limits

# Of a whole program; HumanEval's own limit is 3 s, on a machine that does nothing else.
LIMITS = Limits(seconds=10)

FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)

MEASURES = (Measure("pass@1", "passed"),)
COLUMNS = (Column("why_not", "string"),)
NO_CODE = "no code"


def defines(name: str, code: str) -> bool:
    """Whether code defines a function or class of this name at its top level."""
    return re.search(rf"^(?:async def|def|class) +{re.escape(name)}\b", code, re.MULTILINE) is not None


def code_in(reply: str, *, name: str | None = None) -> str:
    """The code of a reply: its first fenced block, by preference one that defines a name; the whole if it has none.

    A block that is not closed ends with the reply: it was cut.
    """
    blocks = FENCED.findall(reply)
    return next((block for block in blocks if name and defines(name, block)), blocks[0] if blocks else reply)


def definitions(code: str) -> str:
    """Code without what it does with its own definitions: examples of their use, that may print, fail or shadow them.

    Imports, functions and classes stay, and what stands before the last of them and is no bare expression or assertion.
    Code without definitions, or that cannot be read, stays as it is.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes in the model's strings
            body = ast.parse(code).body
        defined = [
            n for n, one in enumerate(body) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        ]
        if not defined:
            return code
        kept = [
            one
            for n, one in enumerate(body)
            if isinstance(one, ast.Import | ast.ImportFrom)
            or (n <= defined[-1] and not isinstance(one, ast.Expr | ast.Assert))
        ]
        return ast.unparse(ast.Module(kept, []))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code


async def passes(code: str, program: str, tools: Tools) -> dict[str, Score]:
    """Whether a program runs to its end, and else why not; without code of the model there is nothing to run."""
    if not code.strip():
        return {"passed": 0.0, "why_not": NO_CODE}
    assert tools.sandbox is not None
    outcome = await tools.sandbox.run(program)
    return {"passed": float(outcome.passed), "why_not": outcome.reason}
