import numpy as np

from evolvent.training.order import order, steps_of


def test_each_epoch_sees_each_row_once_in_an_order_of_its_own() -> None:
    seen = order(list(range(10)), 3, 4, seed=1)
    epochs = [seen[start : start + 10] for start in (0, 10, 20)]
    # A step may reach over the border of two epochs: there rows of both are sorted together.
    assert sorted(seen) == sorted(list(range(10)) * 3)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert (
        seen.tolist() == order(list(range(10)), 3, 4, seed=1).tolist() != order(list(range(10)), 3, 4, seed=2).tolist()
    )


def test_a_step_has_the_same_rows_whatever_their_lengths() -> None:
    plain, sorted_ = order([1] * 40, 2, 8, seed=0), order(np.random.default_rng(0).integers(1, 99, 40), 2, 8, seed=0)
    for start in range(0, 80, 8):
        assert set(plain[start : start + 8]) == set(sorted_[start : start + 8])


def test_in_a_step_the_longest_come_first() -> None:
    lengths = np.random.default_rng(0).integers(1, 99, 40)
    for step in order(lengths, 1, 8, seed=0).reshape(-1, 8):
        assert list(lengths[step]) == sorted(lengths[step], reverse=True)


def test_a_part_of_an_epoch() -> None:
    assert len(set(order([1] * 10, 0.5, 2, seed=0).tolist())) == 5
    assert (steps_of(10, 0.5, 2), steps_of(10, 3, 4), steps_of(1, 0.1, 64)) == (3, 8, 1)
