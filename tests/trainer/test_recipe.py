"""Learning-rate schedules against a few lines of their own, and the presets that use them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.format.dataset import Dataset
from tests.support.tiny import metadata
from trainer.config import RunConfig, resolve
from trainer.errors import TrainerError
from trainer.presets import PRESETS
from trainer.recipe import SCHEDULES, warm_up_factors

NOISY = Dataset(Path("data/tiny"), metadata(labels="noisy", realised=0.25))


def config(**settings: Any) -> RunConfig:
    return resolve("default", NOISY, **settings)


def rates(**settings: Any) -> list[float]:
    made = config(**settings)
    return [made.learning_rate_at(epoch) for epoch in range(made.epochs)]


def test_step_falls_at_each_drop() -> None:
    found = rates(epochs=6, learning_rate=0.5, drop_epochs=(2, 5), drop_factor=0.1)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.05, 0.05, 0.05, 0.005])


def test_cosine_is_half_a_cosine_over_all_epochs() -> None:
    found = rates(epochs=4, learning_rate=1.0, schedule="cosine", final_learning_rate=0.2)
    np.testing.assert_allclose(found, [0.2 + 0.4 * (1 + math.cos(math.pi * e / 4)) for e in range(4)])


def test_warm_restarts_begin_again_each_period() -> None:
    found = rates(epochs=7, learning_rate=0.02, schedule="warm-restarts", restart_period=3, final_learning_rate=0.001)
    period = [0.001 + 0.019 * (1 + math.cos(math.pi * e / 3)) / 2 for e in range(3)]
    np.testing.assert_allclose(found, [*period, *period, period[0]])


def test_linear_goes_straight_to_0_from_where_it_begins() -> None:
    found = rates(epochs=10, learning_rate=1.0, schedule="linear", decay_from=6)
    np.testing.assert_allclose(found, [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_constant_stays() -> None:
    assert rates(epochs=3, learning_rate=0.3, schedule="constant") == [0.3] * 3


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2, 13])
def test_no_schedule_rises_above_the_first_rate_or_falls_below_0(schedule: str, epochs: int) -> None:
    found = rates(epochs=epochs, learning_rate=0.1, schedule=schedule)
    assert found[0] == pytest.approx(0.1)
    assert all(0 < rate <= 0.1 + 1e-12 for rate in found)


def test_a_warm_up_rises_in_a_straight_line() -> None:
    made = config(epochs=8, learning_rate_warm_up=6)
    found = np.concatenate([warm_up_factors(made, 4 * part, 4) for part in range(3)])
    np.testing.assert_allclose(found, [min(1.0, (step + 1) / 6) for step in range(12)])
    assert warm_up_factors(config(epochs=8), 0, 5).tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("preset", "drops", "rates_at"),
    [
        ("paper", (50, 75), {0: 0.1, 50: 0.02, 75: 0.004}),
        ("elr-2020", (40, 80), {39: 0.02, 40: 2e-4, 80: 2e-6}),
        ("dividemix-2020", (150,), {149: 0.02, 150: 0.002, 299: 0.002}),
        ("cifar-n-2022", (60,), {59: 0.1, 60: 0.01}),
    ],
)
def test_a_preset_drops_where_its_protocol_does(
    preset: str, drops: tuple[int, ...], rates_at: dict[int, float]
) -> None:
    made = config(preset=preset)
    assert made.drop_epochs == drops
    for epoch, rate in rates_at.items():
        assert made.learning_rate_at(epoch) == pytest.approx(rate)


def test_co_teaching_s_preset_is_its_code_s_plan() -> None:
    made = config(preset="co-teaching-2018")
    assert (made.optimizer, made.learning_rate, made.weight_decay, made.augmentation) == ("adam", 1e-3, 0.0, "none")
    for epoch in range(200):
        plan = 1e-3 if epoch < 80 else (200 - epoch) / (200 - 80) * 1e-3
        assert made.learning_rate_at(epoch) == pytest.approx(plan)
        assert made.momentum_at(epoch) == (0.9 if epoch < 80 else 0.1)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_departs_from_its_preset_where_settings_say_so(preset: str) -> None:
    features = {"features": "made.npy"} if preset == "features" else {}
    assert config(preset=preset, **features).departures() == {}
    changed = config(preset=preset, epochs=30, batch_size=32, optimizer="adamw", **features)
    assert changed.departures() == {"epochs": 30, "batch_size": 32, "optimizer": "adamw"}


def test_the_velocity_is_rescaled_for_sgd_s_accumulator_alone() -> None:
    sgd = config(epochs=4, momentum_form="accumulator", drop_epochs=(2,), drop_factor=0.1)
    assert [sgd.velocity_factor_at(epoch) for epoch in range(4)] == pytest.approx([1, 1, 0.1, 1])
    adam = config(epochs=4, momentum_form="accumulator", drop_epochs=(2,), optimizer="adam")
    assert [adam.velocity_factor_at(epoch) for epoch in range(4)] == [1] * 4


def test_late_momentum_is_adam_s() -> None:
    assert config(preset="co-teaching-2018", optimizer="sgd").late_momentum is None
    with pytest.raises(TrainerError, match="--late-momentum"):
        config(optimizer="sgd", late_momentum=0.1)
