"""Co-teaching+'s step against its transcription over hundreds of random steps, and small cases by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.reference import co_teaching_plus as transcription
from tests.trainer.methods.test_co_teaching import half_right_logits
from trainer.errors import TrainerError
from trainer.methods.co_teaching import CoTeaching
from trainer.methods.co_teaching_plus import CoTeachingPlus

STEPS, EPOCHS = 320, 20
MET = frozenset(
    {"disagree on all", "disagree on some", "disagree on none", "picked by one", "disagreed on, not picked"}
)
"""What every scenario has to come across after its warm-up, so that no agreement is for want of a case."""


@dataclass(frozen=True)
class Scenario:
    num_classes: int
    noise_rate: str
    ramp_epochs: int
    ramp: str
    warm_up: int
    batch_size: int
    no_disagreement: str = "nothing"


SCENARIOS = [
    Scenario(3, "0.4", 15, "linear", 5, 5),
    Scenario(2, "0.45", 10, "linspace", 0, 6, "all"),
    Scenario(3, "0.2", 1, "linspace", 2, 7, "all"),
    Scenario(4, "0.37", 7, "linear", 0, 4),
    Scenario(4, "0.9", 4, "linspace", 3, 5),
]


class Comparison:
    """Method and transcription side by side: both are given the same steps, and must do the same."""

    def __init__(self, scenario: Scenario, tf: Any) -> None:
        self.scenario, self.tf = scenario, tf
        self.method = CoTeachingPlus(
            ramp_epochs=scenario.ramp_epochs,
            ramp=scenario.ramp,
            warm_up=scenario.warm_up,
            no_disagreement=scenario.no_disagreement,
        )
        self.expected = transcription.CoTeachingPlus(
            Fraction(scenario.noise_rate),
            scenario.ramp_epochs,
            official=scenario.ramp == "linspace",
            warm_up=scenario.warm_up,
            all_where_none_disagree=scenario.no_disagreement == "all",
        )
        self.graph = tf.function(self._step_and_gradients)
        self.met: Counter[str] = Counter()

    def step(self, labels: np.ndarray, f: np.ndarray, g: np.ndarray, epoch: int) -> None:
        outcome = self.expected.step(labels.tolist(), f.tolist(), g.tolist(), epoch)
        schedule = self.method.schedule(epoch, len(labels), float(self.scenario.noise_rate))
        scalars = {key: self.tf.constant(value, self.tf.float32) for key, value in schedule.items()}
        step, gradients = self.graph(self.tf.constant(labels, self.tf.int32), f, g, scalars)
        assert [set(np.flatnonzero(own)) for own in step.clean_sets] == [outcome.picked_by_f, outcome.picked_by_g]
        disagreeing = self.expected.disagreeing(f.tolist(), g.tolist())
        assert set(np.flatnonzero(step.tallies["disagreeing"])) == disagreeing
        losses = [float(loss) for loss in step.losses]
        np.testing.assert_allclose(losses, [outcome.loss_of_f, outcome.loss_of_g], rtol=1e-5, atol=1e-6)
        (f_by_f, f_by_g), (g_by_f, g_by_g) = ([own.numpy() for own in row] for row in gradients)
        np.testing.assert_allclose(f_by_f, outcome.gradient_of_f, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(g_by_g, outcome.gradient_of_g, rtol=1e-5, atol=1e-6)
        assert not f_by_g.any(), "g's logits pick for f, and move nothing in its loss"
        assert not g_by_f.any()
        if epoch >= self.scenario.warm_up:
            self._note(disagreeing, outcome, len(labels))

    def _step_and_gradients(self, labels: Any, f: Any, g: Any, schedule: Any) -> Any:
        with self.tf.GradientTape(persistent=True) as tape:
            tape.watch((f, g))
            step = self.method.step(labels, (f, g), {}, schedule)
        zero = self.tf.UnconnectedGradients.ZERO
        return step, [tape.gradient(loss, (f, g), unconnected_gradients=zero) for loss in step.losses]

    def _note(self, disagreeing: set[int], outcome: Any, batch_size: int) -> None:
        share = "none" if not disagreeing else "all" if len(disagreeing) == batch_size else "some"
        self.met[f"disagree on {share}"] += 1
        by_both, by_any = outcome.picked_by_f & outcome.picked_by_g, outcome.picked_by_f | outcome.picked_by_g
        self.met["picked by one"] += len(by_any - by_both)
        self.met["disagreed on, not picked"] += len(disagreeing - by_any)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_step_agrees_with_the_transcription_over_hundreds_of_steps(scenario: Scenario, tf: Any) -> None:
    random = np.random.default_rng(5)
    comparison = Comparison(scenario, tf)
    for step in range(STEPS):
        labels = random.integers(0, scenario.num_classes, scenario.batch_size)
        f = half_right_logits(random, labels, scenario.num_classes)
        # from step to step the networks agree on more or on less
        alike = random.random(len(labels))[:, None] < random.choice([0.0, 0.7, 1.0])
        g = np.where(alike, 0.9 * f, half_right_logits(random, labels, scenario.num_classes)).astype(np.float32)
        if step % 40 == 0:
            g = np.roll(f, 1, axis=1)
        comparison.step(labels, f, g, step * EPOCHS // STEPS)
    assert MET - {name for name, count in comparison.met.items() if count} == set()


def method(**settings: Any) -> CoTeachingPlus:
    """Co-teaching+ after its warm-up, at its full noise rate."""
    return CoTeachingPlus(
        **{"ramp_epochs": 1, "ramp": "linear", "warm_up": 0, "no_disagreement": "nothing", **settings}
    )


def take_step(method: CoTeaching, labels: np.ndarray, logits: tuple[np.ndarray, ...], noise_rate: float) -> Any:
    schedule = {key: np.float32(value) for key, value in method.schedule(3, len(labels), noise_rate).items()}
    return method.step(labels, logits, {}, schedule)


@pytest.fixture
def batch(tf: Any) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 20).astype(np.int32)
    return labels, (half_right_logits(random, labels, 3), half_right_logits(random, labels, 3))


@pytest.mark.parametrize("ramp", ["linear", "linspace"])
def test_the_warm_up_is_co_teaching(batch: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]], ramp: str) -> None:
    plus = take_step(method(warm_up=4, ramp=ramp), *batch, 0.37)
    plain = take_step(CoTeaching(1, ramp), *batch, 0.37)
    np.testing.assert_array_equal(np.stack(plus.clean_sets), np.stack(plain.clean_sets))
    assert [float(loss) for loss in plus.losses] == [float(loss) for loss in plain.losses]


def test_where_all_predictions_agree_nothing_is_picked(
    batch: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]],
) -> None:
    labels, (first, _) = batch
    plain = take_step(CoTeaching(1, "linear"), labels, (first, first), 0.0)
    for no_disagreement, losses in (("nothing", [0.0, 0.0]), ("all", [float(loss) for loss in plain.losses])):
        step = take_step(method(no_disagreement=no_disagreement), labels, (first, first), 0.4)
        assert not np.stack(step.clean_sets).any()
        assert [float(loss) for loss in step.losses] == losses


@pytest.mark.parametrize("ramp", ["linear", "linspace"])
def test_of_any_number_of_disagreements_the_exact_count_is_picked(tf: Any, ramp: str) -> None:
    # in float32 0.6 x 25 is a little above 15, and 0.84 x 75 a little below 63
    plus, size = method(ramp=ramp), 250
    for hundredths in range(0, 100, 4):
        exact = transcription.CoTeachingPlus(Fraction(hundredths, 100), 1, official=ramp == "linspace")
        rate = np.float32(plus.schedule(3, size, hundredths / 100)["keep_rate"])
        for candidates in (1, 2, 3, 5, 10, 25, 64, 75, 127, 128, 150, size):
            assert float(plus._count(rate, np.float32(candidates))) == exact.count(3, candidates)
        assert float(plus._count(rate, np.float32(0))) == 0.0


@pytest.mark.parametrize(("epochs", "warm_up"), [(1, 1), (3, 1), (20, 2), (200, 20)])
def test_the_warm_up_is_a_tenth_of_the_epochs(epochs: int, warm_up: int) -> None:
    assert CoTeachingPlus.from_settings(epochs, {}).warm_up == warm_up


@pytest.mark.parametrize("option", ["warm_up", "ramp_epochs"])
def test_what_is_longer_than_the_run_is_an_error(option: str) -> None:
    with pytest.raises(TrainerError, match=f"--{option.replace('_', '-')} 9: longer than the 8 epochs"):
        CoTeachingPlus.from_settings(8, {option: 9})
