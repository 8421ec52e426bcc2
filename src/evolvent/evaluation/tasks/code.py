"""Code that a reply holds, and what comes of it in the sandbox."""

import ast
import re
import textwrap
import warnings
from collections.abc import Collection

from evolvent.evaluation.task import Measure, Tools
from evolvent.records import Column, Score
from evolvent.sandbox.limits import Limits

# Of a whole program; HumanEval's own limit is 3 s, on a machine that does nothing else.
LIMITS = Limits(seconds=10)

FENCED = re.compile(r"^([ \t]*)```[ \t]*([^\s`]*)[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
LANGUAGES = {"", "python", "python3", "py"}

MEASURES = (Measure("pass@1", "passed"),)
COLUMNS = (Column("why_not", "string"),)
NO_CODE = "no code"


def defines(name: str, code: str) -> bool:
    """Whether code defines a function, a class or a variable of this name at its top level."""
    name = re.escape(name)
    return re.search(rf"^((async def|def|class) +{name}\b|{name} *(:[^=\n]*)?=(?!=))", code, re.MULTILINE) is not None


def code_in(reply: str, names: Collection[str] = ()) -> str:
    """The code of a reply: its fenced block that defines most of some names, else its first; the whole if it has none.

    Blocks of Python come before those of another language. A block loses the indentation of its fence, and its own
    where it defines a name. A block that is not closed ends with the reply: it was cut.
    """

    def block(indent: str, body: str) -> str:
        code = textwrap.dedent(body)
        return code if any(defines(name, code) for name in names) else re.sub(f"(?m)^{indent}", "", body)

    blocks = [(block(indent, body), language.lower() in LANGUAGES) for indent, language, body in FENCED.findall(reply)]
    code, _ = max(blocks, key=lambda one: (sum(defines(name, one[0]) for name in names), one[1]), default=(reply, True))
    return code


def definitions(code: str) -> str:
    """Code whose examples of its own use, where they fail or shadow what it defines, do not keep it from being tested.

    Left out are assertions, prints, what runs in a script only (``if __name__ …``), and a function's result under the
    function's own name. What else follows the last definition, such as a table that it needs, may fail. Imports from
    ``__future__`` come first. Code that cannot be read stays as it is.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes in the model's strings
            body = [one for one in ast.parse(code).body if not _is_example(one)]
        body.sort(key=lambda one: not (isinstance(one, ast.ImportFrom) and one.module == "__future__"))
        definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        end = max((n for n, one in enumerate(body, 1) if isinstance(one, definition)), default=0)
        passed_over = [ast.ExceptHandler(ast.Name("BaseException"), None, [ast.Pass()])]
        after = [
            one if isinstance(one, ast.Import | ast.ImportFrom) else ast.Try([one], passed_over, [], [])
            for one in body[end:]
        ]
        return ast.unparse(ast.Module([*body[:end], *after], []))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code


def _is_example(one: ast.stmt) -> bool:
    """Whether a statement at the top level can be nothing but an example of use."""
    match one:
        case ast.Assert() | ast.Expr(ast.Call(ast.Name("print"))):
            return True
        case ast.If(test):
            return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))
        case ast.Assign([ast.Name(name)], value):
            called = [node.func for node in ast.walk(value) if isinstance(node, ast.Call)]
            return any(isinstance(function, ast.Name) and function.id == name for function in called)
    return False


async def passes(code: str, program: str, tools: Tools) -> dict[str, Score]:
    """Whether a program runs to its end, and else why not; without code of the model there is nothing to run."""
    if not code.strip():
        return {"passed": 0.0, "why_not": NO_CODE}
    assert tools.sandbox is not None
    outcome = await tools.sandbox.run(program)
    return {"passed": float(outcome.passed), "why_not": outcome.reason}
