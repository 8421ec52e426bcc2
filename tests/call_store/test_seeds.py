from hypothesis import given
from hypothesis import strategies as st

from evolvent.call_store.key import call_seed


@given(st.integers(), st.text(max_size=20), st.text(max_size=5), st.integers(0, 9), st.integers(0, 9))
def test_a_seed_is_31_bits_and_depends_on_all_of_it(
    run: int, record: str, stage: str, sample: int, attempt: int
) -> None:
    seed = call_seed(run, record, stage, sample=sample, attempt=attempt)
    assert 0 <= seed < 2**31
    assert seed == call_seed(run, record, stage, sample=sample, attempt=attempt)
    others = {
        call_seed(run + 1, record, stage, sample=sample, attempt=attempt),
        call_seed(run, record + "x", stage, sample=sample, attempt=attempt),
        call_seed(run, record, stage + "x", sample=sample, attempt=attempt),
        call_seed(run, record, stage, sample=sample + 1, attempt=attempt),
        call_seed(run, record, stage, sample=sample, attempt=attempt + 1),
    }
    assert seed not in others


def test_the_seeds_of_a_release_stay() -> None:
    """Golden: another value would change every sampled run."""
    assert call_seed(0, "abc/r1", "evolve") == 1544311091
