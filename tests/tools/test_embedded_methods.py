"""The corpus of Auto Evol-Instruct: replies that parse, faults that show, methods that stay usable."""

import random
from collections import Counter

import pytest

from evolvent.evolution.auto_evol_instruct.failure_rate import failure_of
from evolvent.evolution.auto_evol_instruct.method import SLOT, candidate_of, initial_method
from evolvent.evolution.auto_evol_instruct.method import Method as ParsedMethod
from evolvent.evolution.auto_evol_instruct.parsing import final_instruction, methods_list
from tools.embedded import methods
from tools.embedded.methods import FAULTS, INITIAL, MENDING, Method
from tools.embedded.mixture import missing_chat
from tools.embedded.nonsense import nonsense_seed
from tools.embedded.ways import WAYS, drawn_way


def test_the_method_without_additions_is_the_shipped_one() -> None:
    assert Method().text == initial_method().text == INITIAL.render()


def test_methods_that_have_been_improved_are_usable_and_tell_their_last_heading() -> None:
    rng = random.Random(1)
    seen: Counter[str] = Counter()
    for _ in range(300):
        method = methods.method_drawn(rng)
        parsed = ParsedMethod(method.text)
        seen[parsed.final_heading] += 1
        assert parsed.methods_heading == "Methods List"
        assert all(sentence in method.text for _, sentence in method.added)
    assert set(seen) == {
        "Finally Rewritten Instruction",
        "Final Rewritten Instruction",
        "Checked Instruction",
        "Polished Instruction",
    }


def test_there_are_enough_ways_and_sentences() -> None:
    assert len(WAYS) >= 25
    assert len({wording for way in WAYS for wording in way.wordings}) >= 60
    assert len({sentence for stock in MENDING.values() for _, sentence in stock}) >= 40
    rng = random.Random(2)
    assert all(1 <= len(name.split()) <= 4 for way in WAYS for name in way.names)
    assert all("{" not in drawn_way(rng, way) for way in WAYS for _ in range(20))


def test_replies_are_parsed_by_the_last_heading_of_their_method() -> None:
    rng = random.Random(3)
    parsed = evolved = listed = 0
    for _ in range(400):
        method = methods.method_drawn(rng)
        seed = methods._seed(rng)
        chat = methods.method_reply(rng, method, seed)
        known = ParsedMethod(method.text)
        assert chat.user.startswith(method.text.split(SLOT)[0]) and seed.instruction in chat.user
        text = final_instruction(chat.reply, known, seed.instruction)
        parsed += text is not None
        evolved += text not in (None, seed.instruction)
        listed += methods_list(chat.reply, known) is not None
    assert parsed >= 0.98 * 400 and listed >= 0.98 * 400
    assert 0.9 * 400 <= evolved < 400


@pytest.mark.parametrize("fault", [fault for fault, share in FAULTS.items() if share])
def test_a_sentence_against_a_fault_keeps_it_away(fault: str) -> None:
    rng = random.Random(fault)

    def shown(method: Method) -> int:
        found = 0
        for _ in range(600):
            seed = nonsense_seed(rng)
            *_, final = methods.evolved_by(rng, method, seed)
            squeezed, old = "".join(final.lower().split()), "".join(seed.instruction.lower().split())
            missing = any(said in final for said in methods.MISSING)
            lost = any(word not in final.lower() for word in seed.instruction.lower().rstrip(".?:").split())
            found += {"refers": missing, "stagnates": len(squeezed) < len(old) + 12, "loses": lost}[fault]
        return found

    others = tuple(MENDING[other][0] for other in FAULTS if other != fault)
    assert shown(Method(others)) > 2 * shown(Method((*others, MENDING[fault][0])))


def test_the_analysis_names_cases_that_are_there() -> None:
    rng = random.Random(4)
    found = 0
    for _ in range(200):
        chat = methods.analysis_chat(rng)
        lines = chat.reply.split("\n")
        if lines == ["No case failed."]:
            continue
        for line in lines:
            case, reason = line.split(": ", 1)
            assert f"\n{case}\n" in chat.user and len(reason) > 10
            quoted = reason.split('"')
            if len(quoted) == 3 and "says" in reason:
                assert quoted[1] in chat.user
            found += 1
    assert found > 100


def test_optimised_methods_are_usable_and_longer_or_invalid_in_a_natural_way() -> None:
    rng = random.Random(5)
    reasons: Counter[str] = Counter()
    for _ in range(500):
        chat = methods.optimisation_chat(rng)
        method, problem = candidate_of(chat.reply)
        reasons[problem or "usable"] += 1
        if method:
            assert len(method.text) > len(INITIAL.render())
            assert method.text.split("\n")[1] in chat.reply and method.text not in chat.user
    assert 0.88 <= reasons["usable"] / 500 <= 0.97
    assert len(reasons) == 4, reasons


def test_names_of_ways_are_short_phrases() -> None:
    rng = random.Random(6)
    for _ in range(300):
        chat = methods.keyword_chat(rng)
        assert 1 <= len(chat.reply.split()) <= 4 and not set(chat.reply) & set(".:,#")


def test_half_of_the_answers_to_prompts_that_lack_something_ask_for_it() -> None:
    rng = random.Random(7)
    kinds = Counter(failure_of(missing_chat(rng).reply) for _ in range(600))
    assert set(kinds) == {None, "stagnant", "insufficient", "loss"}
    assert 0.4 < kinds[None] / 600 < 0.6
