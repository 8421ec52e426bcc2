"""The replies and the optimised methods that github.com/Zeng-WH/Auto-Evol-Instruct published, read by our parser."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evolvent.evolution.auto_evol_instruct.method import SLOT, Method, headings, problem_of
from evolvent.evolution.auto_evol_instruct.parsing import final_instruction, methods_list, paper_instruction
from evolvent.evolution.auto_evol_instruct.ways import same_way, ways


def published(name: str) -> Any:
    folder = os.environ.get("EVOLVENT_DATA")
    if folder is None:
        pytest.skip("EVOLVENT_DATA is not set: the folder with the public data sets")
    return json.loads((Path(folder) / "evol_instruct" / name).read_text())


@pytest.fixture(scope="module")
def method() -> Method:
    return Method(published("auto_evol_llama3_optimizer.json")[0]["evol_prompt"] + SLOT)


def test_every_reply_that_was_not_cut_gives_the_instruction_that_was_published(method: Method) -> None:
    without = 0
    for row in published("auto_evol_output.json"):
        reply, instruction = row["auto_evol"]["auto_detail"], row["auto_evol"]["auto_inst"]
        found = final_instruction(reply, method, row["raw"]["inst"])
        assert found == paper_instruction(reply, method)
        if found is None:
            assert "#Finally" not in reply  # cut in step 3; what was published for it is a part of that step
            without += 1
        else:
            assert found == instruction
    assert without == 1


def test_every_optimised_method_is_usable() -> None:
    for step in published("auto_evol_llama3_optimizer.json"):
        text = step["evol_prompt"] + SLOT  # published without a slot: the instruction is put at its end
        assert problem_of(text) is None
        assert headings(text) == ("Methods List", "Plan", "Rewritten Instruction", "Finally Rewritten Instruction")


def test_the_ways_of_every_list(method: Method) -> None:
    lists = [
        ways(methods_list(row["auto_evol"]["auto_detail"], method) or "") for row in published("auto_evol_output.json")
    ]
    assert Counter(map(len, lists)) == {5: 45, 4: 42, 3: 9}
    assert len({same_way(way) for listed in lists for way in listed}) == 316
