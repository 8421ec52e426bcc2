import subprocess
import sys

import pytest

from evolvent.datasets.language import language, languages


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "Write a short poem about autumn."),
        ("en", "Write a Python function that sorts `nombres`:\n```python\ndef trier(nombres): ...\n```"),
        ("en", r"Find all $x$ with $x^2 + 3x = 4$ and explain each of your steps."),
        ("de", "Schreibe ein kurzes Gedicht über den Herbst."),
        ("zh", "将以下罗马数字转换为阿拉伯数字。"),  # taken for Wu otherwise
        ("zh", "列出五个欧洲国家。"),
        ("ja", "オーストラリアの首都はどこですか？"),
        ("ko", "호주의 수도는 어디입니까?"),
        ("th", "เมืองหลวงของออสเตรเลียคืออะไร"),
    ],
)
def test_a_text_is_in_a_language(code: str, text: str) -> None:
    assert language(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris",
        "3a2b3c4d",
        "42, 17, 5.5",
        "for (String word : words) {\n    word = word.toLowerCase();\n}",
        "squares = [num * num for num in range(0, 51) if num % 2 == 0]",
        "```\ndef celsius_to_fahrenheit(celsius):\n    fahrenheit = celsius * 9 / 5 + 32\n    return fahrenheit\n```",
        r"$\sum_{i=1}^n \frac{i}{2}$",
        "https://example.org/ein/langer/weg/zu/einer/seite",
        "\ud800",
    ],
)
def test_where_there_is_none_to_tell_none_is_told(text: str) -> None:
    assert language(text) is None


def test_the_codes_are_those_that_people_use() -> None:
    assert {"en", "de", "zh", "ja", "ar", "hi"} <= set(languages())
    assert all(len(code) == 2 for code in languages())


def test_the_library_is_loaded_when_it_is_first_used() -> None:
    script = "import sys, evolvent.datasets.language; sys.exit('py3langid' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
