"""Runs of words, and of characters where a script puts no blanks between words."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.contamination import Contained, contaminated, items_within, load_ngrams, ngrams
from evolvent.errors import InputError
from evolvent.records import Record

THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"


def test_thirteen_words_in_a_row_contaminate(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": f"Count: {THIRTEEN} fourteen."}) + "\n")
    tests = load_ngrams([tmp_path / "test.jsonl"])

    def found(instruction: str, output: str = "") -> bool:
        return contaminated(Record("a", "a", 0, instruction, output=output), tests)

    assert found(f"Say {THIRTEEN.upper()}!")
    assert found("Say it", output=THIRTEEN.replace(" ", ", "))
    assert not found(THIRTEEN.replace("seven", "7"))
    assert not found(" ".join(THIRTEEN.split()[1:]))


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=300))
def test_ngrams_are_as_many_as_there_are_runs(text: str) -> None:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    assert len(list(ngrams(text))) == max(0, len(words) - 12)


@given(st.integers(0, 30), st.integers(0, 50), st.integers(0, 90))
def test_a_mixed_run_is_as_long_as_its_parts(words: int, characters: int, letters: int) -> None:
    text = "w " * words + "".join(chr(0x4E00 + n) for n in range(characters)) + "กขค" * 30
    text = text[: len(text) - 90 + letters]
    enough = 3 * words + 2 * characters + letters >= 39
    assert bool(list(ngrams(text))) is enough


CHINESE = "小明有五个苹果，他又买了三个苹果，然后送给小红两个苹果。请问小明现在一共有多少个苹果？"
JAPANESE = "太郎さんはりんごを五個持っています。さらに三個買い、花子さんに二個あげました。今、何個ありますか。"
THAI = "สมชายมีแอปเปิลห้าผล เขาซื้อเพิ่มอีกสามผล แล้วให้สมหญิงไปสองผล ตอนนี้สมชายมีแอปเปิลทั้งหมดกี่ผล"
KHMER = "សុខមានផ្លែប៉ោមប្រាំផ្លែ គាត់ទិញបន្ថែមបីផ្លែទៀត ហើយឲ្យទៅមិត្តពីរផ្លែ តើសុខមានប៉ោមប៉ុន្មានផ្លែ"
LAO = "ສົມໄຊມີໝາກໂປມຫ້າໜ່ວຍ ລາວຊື້ຕື່ມອີກສາມໜ່ວຍ ແລ້ວໃຫ້ໝູ່ໄປສອງໜ່ວຍ ດຽວນີ້ສົມໄຊມີໝາກໂປມຈັກໜ່ວຍ"
MYANMAR = "မောင်မောင်မှာ ပန်းသီးငါးလုံးရှိသည် သူသည် နောက်ထပ်သုံးလုံးဝယ်ပြီး သူငယ်ချင်းကို နှစ်လုံးပေးလိုက်သည် ယခု ဘယ်နှစ်လုံးရှိသနည်း"
MIXED = "请用Python写一个函数add_all，返回列表numbers中所有偶数的平方和，并用unittest测试它"


@pytest.mark.parametrize(
    ("test", "leaked", "clean"),
    [
        (CHINESE, f"题目：{CHINESE}答：6个。", "小明有四个苹果，他又买了两个苹果，后来吃了一个。小红有几个苹果？"),
        (CHINESE, "小红两个苹果请问小明现在一共有多少个苹果", "请问小明现在一共有多少个苹果？"),
        (JAPANESE, f"次の問題を解いてください。{JAPANESE}", "花子さんは柿を三個持っています。今、何個ありますか。"),
        (JAPANESE, JAPANESE.replace("、", " ").replace("。", "\n"), "今、何個ありますか。"),
        (THAI, f"โจทย์: {THAI}?", "สมหญิงมีส้มสามผล เธอกินไปหนึ่งผล ตอนนี้เหลือส้มกี่ผล และสมชายมีส้มกี่ผล"),
        (THAI, THAI.replace(" ", ""), "ตอนนี้สมชายมีแอปเปิลทั้งหมดกี่ผล"),
        (KHMER, KHMER.replace(" ", ""), KHMER[:30]),
        (LAO, LAO.replace(" ", ""), LAO[:30]),
        (MYANMAR, MYANMAR.replace(" ", ""), MYANMAR[:30]),
        (MIXED, f"任务：{MIXED}。", "请用Python写一个函数add_all，返回列表numbers的长度"),
        (MIXED, MIXED.replace("Python", "ＰＹＴＨＯＮ").upper(), "用Python写一个函数"),
    ],
)  # fmt: skip
def test_scripts_without_blanks(test: str, leaked: str, clean: str) -> None:
    tests = set(ngrams(test))
    assert tests
    assert contaminated(Record("a", "a", 0, leaked), tests)
    assert contaminated(Record("a", "a", 0, "?", messages=[{"role": "user", "content": leaked}]), tests)
    assert not contaminated(Record("a", "a", 0, clean), tests)


def test_signs_do_not_cut_the_words_of_spaced_scripts() -> None:
    hindi = "कृपया हिन्दी में लिखो कि यह किताब किसकी है"
    assert len(hindi.split()) == 9 and not list(ngrams(hindi))
    assert len(list(ngrams(" ".join([hindi, "और", "वह", "कहाँ", "है"])))) == 1
    decomposed = unicodedata.normalize("NFD", THIRTEEN.replace("e", "é"))
    assert list(ngrams(decomposed)) == list(ngrams(THIRTEEN.replace("e", "é")))


def test_a_test_file_without_thirteen_words_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("too short\n")
    with pytest.raises(InputError, match="no text of 13 words"):
        load_ngrams([tmp_path / "test.txt"])


def test_rows_that_are_too_short_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"question": "中国的首都是哪里？", "answer": "北京"}, {"question": CHINESE, "answer": "6"}]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    assert load_ngrams([tmp_path / "test.json"]) == set(ngrams(CHINESE))
    assert "1 of 2 rows hold no text of 13 words, 20 Chinese" in caplog.text
    (tmp_path / "short.json").write_text(json.dumps(rows[:1]))
    with pytest.raises(InputError, match="holds no text of 13 words, 20 Chinese or Japanese characters or 39 letters"):
        load_ngrams([tmp_path / "short.json"])


def test_items_of_a_test_are_found_in_a_training_set() -> None:
    items = [[f"Count: {THIRTEEN}."], ["too short"], ["not there " * 13], ["?", f"{THIRTEEN} or more", CHINESE]]
    turns = [{"role": "system", "content": "x"}, {"role": "user", "content": f"题目：{CHINESE}"}]
    training = [
        Record("a", "a", 0, "Count", output=THIRTEEN.upper()),
        Record("b", "b", 1, "too short", output="not there"),
        Record("c", "c", 2, "x", messages=turns),
        Record("d", "d", 3, "one two three four five six", input="seven eight nine ten eleven twelve thirteen"),
    ]
    assert items_within(items, iter(training)) == Contained(items=(0, 3), short=(1,), rows=3, rows_read=4)
    assert items_within(items[:3], training[1:3]) == Contained((), (1,), 0, 2)


def test_both_directions_agree() -> None:
    tests = [THIRTEEN, CHINESE, THAI, MIXED, "one two"]
    rows = [Record(str(n), str(n), n, text) for n, text in enumerate([f"a {THAI}", "b", f"{CHINESE} c", THIRTEEN[4:]])]
    found = items_within([[text] for text in tests], rows)
    grams = {gram for text in tests for gram in ngrams(text)}
    assert found.rows == sum(contaminated(row, grams) for row in rows) == 2
    assert found.items == (1, 2)
