"""Chat templates by name or file."""

from pathlib import Path

import pytest
from jinja2 import Environment

from evolvent.errors import InputError
from evolvent.models.chat_template import read_template

TURNS = [{"role": "user", "content": "What is 2 + 3?"}, {"role": "assistant", "content": "5"}]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("alpaca", "### Instruction:\nWhat is 2 + 3?\n\n### Response:\n5</s>"),
        ("chatml", "<|im_start|>user\nWhat is 2 + 3?<|im_end|>\n<|im_start|>assistant\n5<|im_end|>\n"),
    ],
)
def test_ours_have_names(name: str, written: str) -> None:
    template = Environment().from_string(read_template(name, "hf:tiny"))
    assert template.render(messages=TURNS, bos_token="", eos_token="</s>") == written


def test_any_other_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert read_template(str(tmp_path / "own.jinja"), "hf:tiny") == "{{ messages }}"
    with pytest.raises(InputError, match=r"hf:tiny: cannot read the chat template chatlm.*\n.*alpaca, chatml"):
        read_template("chatlm", "hf:tiny")
