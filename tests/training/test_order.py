import numpy as np

from evolvent.training.order import Order, order, steps_of


def test_each_epoch_sees_each_row_once_in_an_order_of_its_own() -> None:
    epochs = [order(range(10), 4, seed=1, epoch=epoch).tolist() for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert epochs[0] == order(range(10), 4, seed=1, epoch=0).tolist() != order(range(10), 4, seed=2, epoch=0).tolist()


def test_a_step_has_the_same_rows_whatever_their_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 99, 42).tolist()
    plain, by_length = order([1] * 42, 8, seed=0, epoch=1), order(lengths, 8, seed=0, epoch=1)
    for start in range(0, 42, 8):
        assert set(plain[start : start + 8]) == set(by_length[start : start + 8])


def test_in_a_step_the_longest_come_first() -> None:
    lengths = np.random.default_rng(0).integers(1, 99, 40)
    for step in order(lengths.tolist(), 8, seed=0, epoch=0).reshape(-1, 8):
        assert list(lengths[step]) == sorted(lengths[step], reverse=True)


def test_steps_are_cut_inside_each_epoch() -> None:
    assert (steps_of(20, 3, 64), steps_of(10, 3, 4), steps_of(1000, 2, 32)) == (3, 9, 64)
    assert (steps_of(10, 0.5, 2), steps_of(10, 1.5, 5), steps_of(1, 0.1, 64)) == (3, 3, 1)


def test_the_sampler_gives_the_epoch_that_is_due() -> None:
    done = [0]
    sampler = Order(range(10), 4, 1, lambda: done[0])  # 3 steps an epoch
    for done[0], epoch in ((0, 0), (2, 0), (3, 1), (8, 2)):
        assert list(sampler) == order(range(10), 4, seed=1, epoch=epoch).tolist()
    assert len(sampler) == 10
