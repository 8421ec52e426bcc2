from evolvent.words import number_of


def test_one_of_a_thing_is_not_several() -> None:
    assert number_of(1, "rows left out") == "1 row left out"
    assert number_of(1, "tokens with loss") == "1 token with loss"
    assert number_of(1, "selected") == "1 selected"
    assert (number_of(0, "steps"), number_of(1204, "rows")) == ("0 steps", "1,204 rows")
