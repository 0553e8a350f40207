"""The numbers that augmentations take: functions of (seed, run, epoch, step, view), and uniform."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.augmentation import AUGMENTATIONS, Augmentation, draw

CUTOUT = AUGMENTATIONS["cutout"]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_a_draw_has_the_numbers_an_augmentation_takes(augmentation: Augmentation) -> None:
    numbers = draw(augmentation, seed=0, run=0, epoch=0, steps=3, batch_size=5)
    assert numbers.shape == (3, 5, augmentation.numbers)
    assert numbers.dtype == np.float32


@pytest.mark.parametrize(("first_step", "steps"), [(0, 7), (0, 3), (3, 4), (6, 1), (5, 0)])
def test_a_step_has_its_numbers_however_many_are_drawn(first_step: int, steps: int) -> None:
    whole = draw(CUTOUT, seed=3, run=1, epoch=2, steps=7, batch_size=6)
    part = draw(CUTOUT, seed=3, run=1, epoch=2, steps=steps, batch_size=6, first_step=first_step)
    assert np.array_equal(part, whole[first_step : first_step + steps])


def test_another_seed_run_epoch_step_or_view_has_other_numbers() -> None:
    base = {"seed": 0, "run": 0, "epoch": 0, "first_step": 0, "view": 0}
    drawn = [draw(CUTOUT, steps=1, batch_size=4, **{**base, key: 1}) for key in base]
    drawn.append(draw(CUTOUT, steps=1, batch_size=4, **base))
    assert len(np.unique(np.concatenate(drawn).ravel())) == len(drawn) * 4 * CUTOUT.numbers


def test_the_numbers_stay_what_they_are_in_every_version() -> None:
    numbers = draw(AUGMENTATIONS["crop-flip"], seed=0, run=0, epoch=0, steps=1, batch_size=1)
    assert (numbers * 2**24).astype(int).tolist() == [[[5_503_171, 13_927_928, 3_533_920]]]


def test_numbers_are_uniform_and_below_1() -> None:
    numbers = draw(CUTOUT, seed=5, run=0, epoch=0, steps=100, batch_size=64)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    even = (np.arange(6400) + 0.5) / 6400
    for column in range(CUTOUT.numbers):
        # Kolmogorov and Smirnov's statistic; larger once in a thousand times
        assert np.abs(np.sort(numbers[..., column].ravel()) - even).max() < 1.95 / 6400**0.5
    assert np.abs(np.corrcoef(numbers.reshape(-1, CUTOUT.numbers).T) - np.eye(CUTOUT.numbers)).max() < 0.05


def test_the_largest_number_chooses_the_last_of_any_count() -> None:
    largest = np.float32(1 - 2.0**-24)
    counts = np.arange(1, 5000, dtype=np.float32)
    assert np.array_equal(np.floor(largest * counts), counts - 1)
