"""Balanced mini-batches: every label as often as any other, no sample twice, turns that are fair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.balanced import balanced_order

SKEWED = np.repeat(np.arange(4), [60, 25, 10, 3])


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    batch_size=st.integers(2, 30),
    seed=st.integers(0, 5),
)
def test_every_mini_batch_has_its_size_no_sample_twice_and_even_shares(
    counts: list[int], batch_size: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    batches = balanced_order(labels, batch_size, seed, 0, 0)
    steps = -(-len(labels) // batch_size)
    assert batches.shape == (steps, -(-len(labels) // steps))
    assert batches.dtype == np.int32
    present = np.array([count for count in counts if count])
    for batch in batches:
        assert len(set(batch.tolist())) == len(batch)
        shares = np.bincount(labels[batch], minlength=len(counts))[np.array(counts) > 0]
        short = shares < shares.max() - 1
        assert (shares[short] == present[short]).all(), "only a label that has no more samples has fewer"


def test_the_samples_of_a_label_take_turns() -> None:
    batches = balanced_order(SKEWED, 20, 0, 0, 0)
    visits = np.bincount(batches.ravel(), minlength=len(SKEWED))
    for label in range(4):
        of_label = visits[label == SKEWED]
        assert of_label.max() - of_label.min() <= 1
    assert visits[SKEWED == 3].min() >= 5, "of three samples all come in every mini-batch"


@pytest.mark.parametrize("place", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_the_order_is_a_function_of_seed_run_and_epoch(place: tuple[int, int, int]) -> None:
    first = balanced_order(SKEWED, 20, 0, 0, 0)
    np.testing.assert_array_equal(balanced_order(SKEWED, 20, 0, 0, 0), first)
    assert not np.array_equal(balanced_order(SKEWED, 20, *place), first)


def test_a_large_set_takes_no_longer_than_an_epoch_can_hide() -> None:
    import time

    labels = np.random.default_rng(0).integers(0, 100, 50_000)
    started = time.process_time()
    balanced_order(labels, 128, 0, 0, 0)
    assert time.process_time() - started < 5
