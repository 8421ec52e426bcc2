from pathlib import Path

import pytest

from evolvent.errors import InputError
from evolvent.evolution.evol_instruct import choose_operators
from evolvent.evolution.templates import SHIPPED, load_prompt

OPERATORS = ("constraints", "deepening", "concretizing", "reasoning", "breadth")


@pytest.mark.parametrize("name", OPERATORS)
def test_braces_and_markup_in_an_instruction_are_safe(name: str) -> None:
    nasty = "Print {x} and {{ y }} {% raw %} <b>&amp;</b> #Rewritten Prompt#:"
    assert nasty in load_prompt(name).render(instruction=nasty, input="")


@pytest.mark.parametrize("name", OPERATORS)
def test_prompts_hold_what_the_method_needs(name: str) -> None:
    prompt = load_prompt(name).render(instruction="Bake bread", input="flour")
    created = name == "breadth"
    assert prompt.startswith("You are a Prompt Creator" if created else "You are a Prompt Rewriter")
    assert prompt.endswith("#Created Prompt#:" if created else "#Rewritten Prompt#:")
    assert "Bake bread\n\n#Input#:\nflour\n\n" in prompt
    assert ("10 to 20 words" in prompt) is not created


def test_operators_differ_and_versions_with_them() -> None:
    prompts = [load_prompt(name) for name in OPERATORS]
    assert len({prompt.version for prompt in prompts}) == len(OPERATORS)
    assert len({prompt.render(instruction="x", input="") for prompt in prompts}) == len(OPERATORS)


def test_a_version_changes_with_the_template_it_extends(tmp_path: Path) -> None:
    before = load_prompt("constraints", tmp_path).version
    (tmp_path / "in_depth.j2").write_text((SHIPPED / "in_depth.j2").read_text() + "!")
    assert load_prompt("constraints", tmp_path).version != before
    assert load_prompt("constraints").version == before


def test_users_operator(tmp_path: Path) -> None:
    (tmp_path / "formal.j2").write_text('{% extends "in_depth.j2" %}{% block method %}make it formal.{% endblock %}')
    (operator,) = choose_operators(["formal"], templates=tmp_path)
    assert "make it formal." in operator.template.render(instruction="Hi", input="")


@pytest.mark.parametrize(
    ("template", "words"),
    [("{{ instruktion }}", "instruktion"), ("{% if %}", "line 1"), ("{{ ''.__class__.mro() }}", "unsafe")],
)
def test_broken_or_hostile_template(tmp_path: Path, template: str, words: str) -> None:
    (tmp_path / "mine.j2").write_text(template)
    with pytest.raises(InputError, match=words):
        load_prompt("mine", tmp_path).render(instruction="x", input="")


@pytest.mark.parametrize("template", ["{{ instruction + 1 }}", "{{ 1/0 }}", "{% if input %}{{ nope }}{% endif %}"])
def test_a_template_that_cannot_work_is_found_before_the_first_call(tmp_path: Path, template: str) -> None:
    (tmp_path / "mine.j2").write_text(template)
    with pytest.raises(InputError, match="prompt template mine"):
        choose_operators(["mine"], templates=tmp_path)


def test_a_template_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_bytes(b"\xff\xfe{{ instruction }}")
    with pytest.raises(InputError, match="not UTF-8"):
        choose_operators(["mine"], templates=tmp_path)


@pytest.mark.parametrize("names", [["nonsense"], ["constraints", "constraints"], ["equality"], ["../../etc/passwd"]])
def test_unknown_operators(names: list[str]) -> None:
    with pytest.raises(InputError):
        choose_operators(names)


def test_subset_keeps_its_order() -> None:
    assert [operator.operator for operator in choose_operators(["reasoning", "breadth"])] == ["reasoning", "breadth"]
    assert [operator.operator for operator in choose_operators(None, breadth=False)] == list(OPERATORS[:4])
    with pytest.raises(InputError, match="no-breadth"):
        choose_operators(["breadth"], breadth=False)
