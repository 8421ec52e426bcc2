"""The names and parameters of vLLM's that the back end uses, compared with vLLM's source. vLLM is never imported.

vllm_api.json is what ``python -m tools.vllm_api`` read from the source of the release that pyproject.toml names.
"""

import ast
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evolvent.models import vllm
from evolvent.models.vllm import ENVIRONMENT
from tools.vllm_api import RELEASE, api, written

STORED = Path(__file__).with_name("vllm_api.json")
API: dict[str, Any] = json.loads(STORED.read_text())
MODULE = ast.parse(Path(str(vllm.__file__)).read_text())

# What the back end's names hold, and what the attributes lead to.
HOLDS = {
    "engine": "AsyncLLM",
    "self._engine": "AsyncLLM",
    "self._tokenizer": "TokenizerLike",
    "config": "ModelConfig",
    "last": "RequestOutput",
    "completion": "CompletionOutput",
    "chosen": "Logprob",
    "logprob": "Logprob",
    "RequestOutputKind": "RequestOutputKind",
    "AsyncLLM": "AsyncLLM",
}
LEADS = {
    ("AsyncLLM", "vllm_config"): "VllmConfig",
    ("AsyncLLM", "model_config"): "ModelConfig",
    ("VllmConfig", "scheduler_config"): "SchedulerConfig",
}


def held(node: ast.expr) -> str | None:
    """The class of vLLM's that an expression in the back end holds, if any."""
    if ast.unparse(node) in HOLDS:
        return HOLDS[ast.unparse(node)]
    if isinstance(node, ast.Attribute) and (owner := held(node.value)):
        return LEADS.get((owner, node.attr))
    return None


def attributes(name: str) -> set[str]:
    about = API["classes"][name]
    return set(about["attributes"]).union(*(attributes(base) for base in about["bases"] if base in API["classes"]))


def check_call(call: ast.Call, parameters: dict[str, Any]) -> None:
    given = [keyword.arg for keyword in call.keywords if keyword.arg]
    assert len(call.args) <= len(parameters["positional"])
    known = {*parameters["positional"][len(call.args) :], *parameters["keyword"]}
    if not parameters["any"]:
        assert set(given) <= known
    assert set(parameters["required"]) <= {*parameters["positional"][: len(call.args)], *given}


IMPORTS = [
    (node.module, alias.name)
    for node in ast.walk(MODULE)
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "vllm"
    for alias in node.names
]
ATTRIBUTES = sorted(
    {(owner, node.attr) for node in ast.walk(MODULE) if isinstance(node, ast.Attribute) and (owner := held(node.value))}
)
CALLS = [node for node in ast.walk(MODULE) if isinstance(node, ast.Call)]


def test_the_source_is_that_of_the_release_in_pyproject() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["vllm"] == ["vllm>=0.33,<0.34"]
    assert API["release"] == RELEASE
    assert RELEASE.startswith("0.33.")


def test_this_test_sees_what_the_back_end_uses() -> None:
    assert len(IMPORTS) == 6
    assert {owner for owner, _ in ATTRIBUTES} == {*HOLDS.values(), *LEADS.values()}


@pytest.mark.parametrize(("module", "name"), IMPORTS)
def test_what_is_imported_is_there(module: str, name: str) -> None:
    assert name in API["modules"][module]


@pytest.mark.parametrize(("owner", "name"), ATTRIBUTES)
def test_every_attribute_is_there(owner: str, name: str) -> None:
    assert name in attributes(owner) | set(API["classes"][owner]["methods"])


@pytest.mark.parametrize("name", ["AsyncEngineArgs", "SamplingParams"])
def test_settings_have_these_fields(name: str) -> None:
    [call] = [call for call in CALLS if ast.unparse(call.func) == name]
    given = {keyword.arg for keyword in call.keywords if keyword.arg}
    assert not call.args
    assert len(given) >= 5
    assert given <= attributes(name)


def test_functions_and_methods_take_these_arguments() -> None:
    checked = set()
    for call in CALLS:
        name = ast.unparse(call.func)
        if name in API["functions"]:
            check_call(call, API["functions"][name])
            checked.add(name)
        elif isinstance(call.func, ast.Attribute) and (owner := held(call.func.value)):
            check_call(call, API["classes"][owner]["methods"][call.func.attr])
            checked.add(call.func.attr)
    assert checked == {
        "tokens_input",
        "generate",
        "from_engine_args",
        "get_tokenizer",
        "shutdown",
        "apply_chat_template",
        "decode",
    }


def test_what_a_call_gives() -> None:
    methods = API["classes"]["AsyncLLM"]["methods"]
    kinds = {name: methods[name]["kind"] for name in ("generate", "from_engine_args", "get_tokenizer", "shutdown")}
    assert kinds == {
        "generate": "async generator",
        "from_engine_args": "function",
        "get_tokenizer": "function",
        "shutdown": "function",
    }


def test_reasons_to_end_and_variables_of_the_environment() -> None:
    assert "abort" in API["finish_reasons"]
    assert {"stop", "length"} <= set(API["finish_reasons"])
    assert set(ENVIRONMENT) == set(API["environment"])


@pytest.mark.skipif("VLLM_SOURCE" not in os.environ, reason="VLLM_SOURCE names no unpacked source of vLLM")
def test_the_stored_api_is_what_the_source_says() -> None:
    assert written(api(Path(os.environ["VLLM_SOURCE"]))) == STORED.read_text()
