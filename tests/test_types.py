"""Every public function says which argument is of a wrong type, and what it takes."""

from pathlib import Path
from typing import Any

import pytest

import evolvent
from evolvent.options import Function

FUNCTIONS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "calls": (("run",), {}),
    "compare": (("run",), {}),
    "convert": (("in.jsonl", "out.jsonl"), {"to": "alpaca"}),
    "doctor": ((), {}),
    "evaluate": (("embedded",), {"tasks": "gsm8k", "out": "run"}),
    "evolve": (("seeds.jsonl",), {"model": "embedded", "out": "run"}),
    "export": (("run",), {"trainer": "trl", "base_model": "embedded-base", "out": "d"}),
    "keywords": (("run",), {"model": "embedded"}),
    "load": (("in.jsonl",), {}),
    "merge": (("run",), {}),
    "optimize_method": (("seeds.jsonl",), {"evolver": "embedded", "optimizer": "embedded", "out": "m.yaml"}),
    "pilot": (("seeds.jsonl",), {"model": "embedded", "out": "run"}),
    "push": (("run",), {"repo": "me/data"}),
    "rank_data": (({"a": "a.jsonl", "b": "b.jsonl"},), {"base_model": ["embedded-base"], "out": "run"}),
    "rank_evolvers": (
        ("seeds.jsonl",),
        {"model": ["embedded"], "teacher": "embedded", "base_model": ["embedded-base"], "out": "run"},
    ),
    "rank_teachers": (("in.jsonl",), {"teacher": ["embedded"], "base_model": ["embedded-base"], "out": "run"}),
    "rank_validate": (("stronger_models",), {}),
    "respond": (("run",), {"teacher": "embedded", "out": "run"}),
    "run": (("recipe.yaml",), {}),
    "score": (("run",), {"base_model": "embedded-base", "out": "run"}),
    "select": (("run",), {"by": "ifd", "top": "25%", "out": "train.jsonl"}),
    "show": (("run",), {}),
    "slurm": (("recipe.yaml",), {"shards": 2}),
    "train": (("run",), {"base_model": "embedded-base", "out": "student"}),
    "verify": (("run",), {"functions": "f.jsonl", "out": "v.jsonl"}),
    "write_card": (("run",), {}),
    "write_report": (("run",), {}),
}


class Odd:
    """A value that nothing takes."""

    def __repr__(self) -> str:
        return "<odd>"


def test_every_public_function_is_tried() -> None:
    public = {name for name in evolvent.__all__ if name[0].islower()}
    assert public == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_value_of_a_wrong_type_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    function: Function[Any] = getattr(evolvent, name)
    arguments, options = FUNCTIONS[name]
    for place, argument in enumerate(function.interface.arguments):
        wrong = [*arguments[:place], Odd(), *arguments[place + 1 :]]
        with pytest.raises(TypeError, match=f"{argument} is <odd>\nIt is "):
            function(*wrong, **options)
    for option in function.interface.options(function.interface.method({})):
        with pytest.raises(TypeError, match=f"{option} (is )?<odd>\n(It is|Known are)"):
            function(*arguments, **{**options, option: Odd()})
    with pytest.raises(TypeError, match="has no option 'zzzz'"):
        function(*arguments, **options, zzzz=1)
    assert not list(tmp_path.iterdir())
