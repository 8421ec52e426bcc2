"""Read from vLLM's source what of its API the ``vllm:`` back end uses: python -m tools.vllm_api [SOURCE]

SOURCE is an unpacked source distribution; left out, pip brings that of the release below (47 MB). Nothing of vLLM is
imported or installed: its modules are parsed. The result, tests/models/vllm_api.json, is what the back end is tested
against. Run it again for each release that pyproject.toml allows.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from evolvent.models.vllm import ENVIRONMENT

RELEASE = "0.33.0"
RESULT = Path(__file__).parents[1] / "tests" / "models" / "vllm_api.json"

# Where each class that the back end meets is defined; base classes only as far as they bring what is used.
CLASSES = {
    "AsyncLLM": "vllm/v1/engine/async_llm.py",
    "AsyncEngineArgs": "vllm/engine/arg_utils.py",
    "EngineArgs": "vllm/engine/arg_utils.py",
    "SamplingParams": "vllm/sampling_params.py",
    "RequestOutputKind": "vllm/sampling_params.py",
    "RequestOutput": "vllm/outputs.py",
    "CompletionOutput": "vllm/outputs.py",
    "Logprob": "vllm/logprobs.py",
    "TokenizerLike": "vllm/tokenizers/protocol.py",
    "EngineDeadError": "vllm/v1/engine/exceptions.py",
    "VllmConfig": "vllm/config/vllm.py",
    "ModelConfig": "vllm/config/model.py",
    "SchedulerConfig": "vllm/config/scheduler.py",
}
# Those whose methods are called; of the others fields and attributes are read.
CALLED = ("AsyncLLM", "TokenizerLike")
FUNCTIONS = {"tokens_input": "vllm/inputs/engine.py"}
MODULES = [
    "vllm/engine/arg_utils.py",
    "vllm/inputs/__init__.py",
    "vllm/sampling_params.py",
    "vllm/v1/engine/async_llm.py",
    "vllm/v1/engine/exceptions.py",
]


def api(source: Path) -> dict[str, Any]:
    """The part of vLLM's API that the back end uses, from the source distribution in a folder."""
    parsed = {
        file: ast.parse((source / file).read_text()) for file in {*CLASSES.values(), *FUNCTIONS.values(), *MODULES}
    }
    version = next(line for line in (source / "PKG-INFO").read_text().splitlines() if line.startswith("Version: "))
    environment = ast.parse((source / "vllm/envs.py").read_text())
    return {
        "release": version.removeprefix("Version: "),
        "modules": {_module(file): _names(parsed[file]) for file in MODULES},
        "functions": {name: _parameters(_find(parsed[file], name)) for name, file in FUNCTIONS.items()},
        "classes": {name: _class(_find(parsed[file], name)) for name, file in CLASSES.items()},
        "finish_reasons": _strings(source / "vllm/v1/engine/__init__.py", "FINISH_REASON_STRINGS"),
        "environment": sorted(
            node.target.id
            for node in ast.walk(environment)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in ENVIRONMENT
        ),
    }


def written(read: dict[str, Any]) -> str:
    """The JSON text of what was read, an entry a line."""
    lines = []
    for part, content in read.items():
        entries = content.items() if isinstance(content, dict) else None
        inside = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(about)}" for name, about in entries or ())
        lines.append(f" {json.dumps(part)}: " + (f"{{\n  {inside}\n }}" if entries else json.dumps(content)))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def fetch(release: str, folder: Path) -> Path:
    """Bring a release's source distribution with pip.

    pip wants its metadata too, which takes a CUDA build environment, and ends with an error without one; by then the
    source is unpacked, and ``--no-clean`` keeps it.

    Raises:
        FileNotFoundError: pip did not bring it; its own words are on the terminal.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation", "--no-clean"]
    command += ["--no-binary", "vllm", "--dest", str(folder), f"vllm=={release}"]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True)
    for file in folder.glob("pip-download-*/vllm_*/PKG-INFO"):
        return file.parent
    raise FileNotFoundError(f"pip did not bring the source of vLLM {release}: {done.stderr[-2000:]}")


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _names(module: ast.Module) -> list[str]:
    """The classes and functions that can be imported from a module."""
    names = set()
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and node.level:
            names.update(alias.asname or alias.name for alias in node.names)
    return sorted(names)


def _find(module: ast.Module, name: str) -> Any:
    return next(node for node in module.body if getattr(node, "name", None) == name)


def _class(node: ast.ClassDef) -> dict[str, Any]:
    targets = [target for member in node.body for target in _targets(member)]  # fields, members of an enumeration
    targets += [target for inside in ast.walk(node) for target in _targets(inside) if isinstance(target, ast.Attribute)]
    attributes = {ast.unparse(target).removeprefix("self.") for target in targets}
    methods = {
        member.name: {"kind": _kind(member), **_parameters(member)}
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in CALLED
    }
    return {
        "bases": [ast.unparse(base) for base in node.bases],
        "attributes": sorted(name for name in attributes if name.isidentifier() and not name.startswith("_")),
        "methods": {name: about for name, about in methods.items() if not name.startswith("_")},
    }


def _targets(statement: ast.AST) -> list[ast.expr]:
    if isinstance(statement, ast.AnnAssign):
        return [statement.target]
    return statement.targets if isinstance(statement, ast.Assign) else []


def _kind(method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """What a call of it gives: a value, something to await, or an asynchronous generator."""
    if isinstance(method, ast.FunctionDef):
        return "property" if any(ast.unparse(one) == "property" for one in method.decorator_list) else "function"
    yields = any(isinstance(inside, ast.Yield) for inside in ast.walk(method))
    return "async generator" if yields else "coroutine"


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, Any]:
    arguments = function.args
    positional = [
        argument.arg for argument in (*arguments.posonlyargs, *arguments.args) if argument.arg not in ("self", "cls")
    ]
    required = positional[: len(positional) - len(arguments.defaults)]
    keyword = [argument.arg for argument in arguments.kwonlyargs]
    required += [name for name, default in zip(keyword, arguments.kw_defaults, strict=True) if default is None]
    return {"positional": positional, "keyword": keyword, "required": required, "any": arguments.kwarg is not None}


def _strings(file: Path, name: str) -> list[str]:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return [str(value) for value in ast.literal_eval(node.value)]
    raise KeyError(name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        where = Path(sys.argv[1]) if len(sys.argv) > 1 else fetch(RELEASE, Path(scratch))
        RESULT.write_text(written(api(where)))
    print(f"written: {RESULT}")
