"""The operators of the profile small: what they show, what they make of a reply."""

import asyncio
from pathlib import Path

import pytest

from evolvent.errors import InputError
from evolvent.evolution.demonstrated import SHOWN, added, demonstrated_operator
from evolvent.evolution.demonstrations import load_demonstrations
from evolvent.evolution.evol_instruct import IN_DEPTH, choose_operators
from evolvent.evolution.templates import SHIPPED
from evolvent.evolution.trajectory import Evolution, trajectory
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Record
from tests.scripted import Scripted

SEED = Record("s0", "s0", 0, "Name three birds that swim", input="Antarctica")
KINDS = ("text", "math", "code")


@pytest.mark.parametrize("operator", [*IN_DEPTH, "breadth"])
def test_each_operator_has_at_least_eight_demonstrations_and_several_beginnings(operator: str) -> None:
    shipped = load_demonstrations(operator)
    assert sum(len(shipped.of_kind[kind]) for kind in KINDS) >= 8
    for kind in KINDS:
        assert all(one.reply.startswith(one.lead) and one.reply != one.lead for one in shipped.of_kind[kind])
        assert len(shipped.leads(kind)) >= (1 if operator == "breadth" else 2)


def test_a_record_draws_its_demonstrations_and_each_draw_others() -> None:
    operator = demonstrated_operator("deepening")
    turns = operator.turns(SEED, "small", 1)
    assert [turn["role"] for turn in turns] == ["system", *["user", "assistant"] * SHOWN, "user"]
    lead = turns[-1]["content"].rsplit("Begin with: ", 1)[1]
    assert not any(turn["content"].startswith(lead) for turn in turns if turn["role"] == "assistant")
    assert turns[-1]["content"].startswith("Task: Name three birds that swim\nInput: Antarctica\n\nBegin with: ")
    assert turns == operator.turns(SEED, "small", 1)
    assert len({str(operator.turns(SEED, "small", seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize(
    ("reply", "evolved"),
    [
        ("Also explain how they keep warm.", "Name three birds that swim. Also explain how they keep warm."),
        (" also explain how they dive ", "Name three birds that swim. also explain how they dive"),
        # larger models repeat the task before they add to it
        ("Name three birds that swim. Say how deep.", "Name three birds that swim. Say how deep."),
        ("Name three birds that swimmingly dive.", None),
        ("Task: Also explain why they moult.", "Name three birds that swim. Also explain why they moult."),
        ("The penguin, the cormorant and the coot.", None),
        ("", ""),
    ],
)
def test_in_depth_a_sentence_is_added(reply: str, evolved: str | None) -> None:
    assert demonstrated_operator("deepening").read(Reply(reply, "stop"), SEED, "small") == evolved


def test_breadth_is_a_new_task_without_the_input() -> None:
    operator = demonstrated_operator("breadth")
    assert operator.read(Reply("Task: Draw a map.", "stop"), SEED, "small") == "Draw a map."
    assert operator.input_after(SEED, "small") == ""
    assert operator.own("Draw a map.", SEED) is None


@pytest.mark.parametrize(
    ("instruction", "joined"),
    [
        ("Bake bread", "Bake bread. Now."),
        ("Bake bread?  ", "Bake bread? Now."),
        ("Bake this:", "Bake this. Now."),
        ("Bake:\nrye", "Bake:\nrye\nNow."),
        ('Say "bread."', 'Say "bread." Now.'),
        ("Say it without “bread”", "Say it without “bread”. Now."),
        ("Bake (rye)", "Bake (rye). Now."),
        ("烤面包。", "烤面包。 Now."),
    ],
)
def test_the_sentence_stands_apart(instruction: str, joined: str) -> None:
    assert added(instruction, "Now.") == joined


def test_what_the_evolver_made_up_is_the_sentence_without_its_beginning() -> None:
    operator = demonstrated_operator("deepening")
    for instruction in ("Name three birds that swim", "Name birds:", "Name birds\nthat swim?", " Name:\nbirds:"):
        parent = Record("s", "s", 0, instruction)
        evolved = operator.read(Reply("Also explain how they dive.", "stop"), parent, "small")
        assert evolved is not None
        assert operator.own(evolved, parent) == "they dive."


def run(evolver: Scripted, **options: object) -> list[Record]:
    chosen = {"rewritings": choose_operators(None, profile="small"), "rounds": 1, "profile": "small"}
    how = Evolution(evolver.uri, sampling=Sampling(0.7, 0.95, 2048), seed=0, **{**chosen, **options})  # type: ignore[arg-type]
    return asyncio.run(trajectory(SEED, how, evolver))


def led(prompt: str) -> str:
    return prompt.rsplit("Begin with: ", 1)[1]


def test_a_reply_ends_with_its_line_and_is_short() -> None:
    evolver = Scripted(lambda prompt, _: f"{led(prompt)} penguins and their chicks.")
    row = run(evolver)[1]
    assert (row.status, row.reason, row.input) == ("ok", None, "Antarctica")
    assert {(one.stop, one.max_tokens, one.temperature) for _, one in evolver.asked} == {(("\n",), 160, 0.4)}
    assert row.prompt_version == demonstrated_operator("constraints").version


def test_an_eliminated_evolution_is_drawn_again_with_other_demonstrations() -> None:
    replies = iter(["three birds that swim.", "birds that swim.", "krill and small squid."])
    evolver = Scripted(lambda prompt, _: f"{led(prompt)} {next(replies)}")
    rows = run(evolver, retries=2)
    assert [row.id for row in rows] == ["s0", "s0/r1"]
    assert (rows[1].status, len(evolver.asked)) == ("ok", 3)
    assert len({str(turns) for turns in evolver.conversations}) == 3
    assert len({sampling.seed for _, sampling in evolver.asked}) == 3

    evolver = Scripted(lambda prompt, _: f"{led(prompt)} three birds that swim.")
    assert (run(evolver, retries=1)[1].reason, len(evolver.asked)) == ("paraphrase", 2)


def test_a_system_prompt_of_the_users_own_takes_the_place_of_the_operators() -> None:
    evolver = Scripted(lambda prompt, _: f"{led(prompt)} penguins and their chicks.")
    run(evolver, system="Be terse.")
    [turns] = evolver.conversations
    assert [turn["content"] for turn in turns if turn["role"] == "system"] == ["Be terse."]


def test_demonstrations_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    own = tmp_path / "small" / "demonstrations.yaml"
    one = "[{instruction: Mend it, deepening: 'And say | why.'}]"
    own.write_text(f"text: {one}\nmath: {one}\ncode: {one}\n")
    operator = demonstrated_operator("deepening", tmp_path)
    assert operator.turns(SEED, "small", 0)[-1]["content"].endswith("Begin with: And say")
    assert operator.version != demonstrated_operator("deepening").version
    with pytest.raises(InputError, match=r"cannot be used for constraints: 'constraints' is missing"):
        demonstrated_operator("constraints", tmp_path)
    for broken in ("text: []\nmath: []\ncode: []", "text: [", "text: 3\nmath: 3\ncode: 3", "[]", "text: []"):
        own.write_text(broken)
        with pytest.raises(
            InputError, match=r"demonstrations\.yaml (cannot be used for deepening|holds no demonstration)"
        ):
            demonstrated_operator("deepening", tmp_path)


def test_shipped_demonstrations_are_named_by_no_operator_of_the_default_profile() -> None:
    assert (SHIPPED / "small" / "demonstrations.yaml").is_file()
    with pytest.raises(InputError, match="no prompt template named 'small'"):
        choose_operators(["small"])
