"""Co-teaching's step against its transcription over hundreds of random steps, properties, and small cases by hand."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import co_teaching as transcription
from trainer.errors import TrainerError
from trainer.methods.co_teaching import CoTeaching
from trainer.methods.default import Default

STEPS = 320
DISAGREE = frozenset({"picked by both", "by one", "by none"})
"""What must occur where the networks leave samples out, so that no agreement is for want of a case."""


@dataclass(frozen=True)
class Scenario:
    """`batch_sizes` take turns, as the two sizes of an epoch do; an epoch is STEPS / epochs steps."""

    num_classes: int
    noise_rate: str
    ramp_epochs: int
    ramp: str
    batch_sizes: tuple[int, ...]
    epochs: int = 20
    meets: frozenset[str] = DISAGREE

    def __str__(self) -> str:
        sizes = "-".join(str(size) for size in self.batch_sizes)
        return f"K{self.num_classes}-rate{self.noise_rate}-{self.ramp}{self.ramp_epochs}-batch{sizes}"


SCENARIOS = [
    Scenario(2, "0.4", 15, "linear", (5, 10)),
    Scenario(2, "0.45", 10, "linspace", (16,)),
    Scenario(10, "0", 3, "linear", (7, 6), meets=frozenset({"picked by both"})),
    Scenario(10, "0.2", 1, "linspace", (10, 9)),
    Scenario(10, "0.2", 1, "linear", (10, 9)),
    Scenario(10, "0.37", 20, "linear", (13, 12)),
    Scenario(10, "0.4", 10, "linspace", (20,)),
    Scenario(10, "0.9", 4, "linspace", (6, 5)),
    Scenario(100, "0.45", 2, "linspace", (32, 31)),
    Scenario(200, "0.7", 5, "linear", (9,)),
]


def half_right_logits(random: np.random.Generator, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(B, K) float32 of a network that is rather sure, of the label or of another class."""
    favourites = np.where(random.random(len(labels)) < 0.6, labels, random.integers(0, num_classes, len(labels)))
    logits = random.normal(0.0, 1.0, (len(labels), num_classes))
    logits[np.arange(len(labels)), favourites] += random.uniform(0.0, 6.0, len(labels))
    return logits.astype(np.float32)


class Comparison:
    """Method and transcription side by side: both are given the same steps, and must do the same."""

    def __init__(self, scenario: Scenario, tf: Any) -> None:
        self.scenario, self.tf = scenario, tf
        self.method = CoTeaching(ramp_epochs=scenario.ramp_epochs, ramp=scenario.ramp)
        self.expected = transcription.CoTeaching(
            Fraction(scenario.noise_rate), scenario.ramp_epochs, official=scenario.ramp == "linspace"
        )
        # one trace for all batch sizes
        logits = tf.TensorSpec((None, scenario.num_classes), tf.float32)
        signature = [tf.TensorSpec((None,), tf.int32), logits, logits, tf.TensorSpec((), tf.float32)]
        self.graph = tf.function(self._step_and_gradients, input_signature=signature)
        self.met: Counter[str] = Counter()

    def step(self, labels: np.ndarray, logits: tuple[np.ndarray, np.ndarray], epoch: int) -> None:
        outcome = self.expected.step(labels.tolist(), logits[0].tolist(), logits[1].tolist(), epoch)
        schedule = self.method.schedule(epoch, len(labels), float(self.scenario.noise_rate))
        (loss_of_f, loss_of_g), picks, gradients = self.graph(
            labels.astype(np.int32), *logits, np.float32(schedule["keep_count"])
        )
        assert [set(np.flatnonzero(own)) for own in picks] == [outcome.picked_by_f, outcome.picked_by_g]
        # float32 logits of about 10 are known to 1e-6, and so is a loss near 0
        np.testing.assert_allclose(float(loss_of_f), outcome.loss_of_f, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(float(loss_of_g), outcome.loss_of_g, rtol=1e-5, atol=1e-6)
        (f_by_f, f_by_g), (g_by_f, g_by_g) = ([own.numpy() for own in row] for row in gradients)
        np.testing.assert_allclose(f_by_f, outcome.gradient_of_f, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(g_by_g, outcome.gradient_of_g, rtol=1e-5, atol=1e-6)
        assert not f_by_g.any(), "g's logits pick for f, and move nothing in its loss"
        assert not g_by_f.any()
        assert not f_by_f[sorted(set(range(len(labels))) - outcome.picked_by_g)].any()
        self._note(outcome, len(labels))

    def _step_and_gradients(self, labels: Any, logits_of_f: Any, logits_of_g: Any, keep_count: Any) -> Any:
        both = (logits_of_f, logits_of_g)
        with self.tf.GradientTape(persistent=True) as tape:
            tape.watch(both)
            step = self.method.step(labels, both, {}, {"keep_count": keep_count})
        zero = self.tf.UnconnectedGradients.ZERO
        gradients = [tape.gradient(loss, both, unconnected_gradients=zero) for loss in step.losses]
        return step.losses, step.clean_sets, gradients

    def _note(self, outcome: transcription.Outcome, batch_size: int) -> None:
        for p in range(batch_size):
            by = (p in outcome.picked_by_f) + (p in outcome.picked_by_g)
            self.met[("by none", "by one", "picked by both")[by]] += 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_step_agrees_with_the_transcription_over_hundreds_of_steps(scenario: Scenario, tf: Any) -> None:
    random = np.random.default_rng(5)
    comparison = Comparison(scenario, tf)
    for step in range(STEPS):
        labels = random.integers(0, scenario.num_classes, scenario.batch_sizes[step % len(scenario.batch_sizes)])
        logits = tuple(half_right_logits(random, labels, scenario.num_classes) for _ in range(2))
        comparison.step(labels, (logits[0], logits[1]), step * scenario.epochs // STEPS)
    assert set(comparison.met) == scenario.meets


def mini_batches(num_classes: int = 4) -> st.SearchStrategy[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Labels and both networks' logits; whole numbers, so that equal losses come up."""

    def draw(seed: int, size: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        random = np.random.default_rng(seed)
        labels = random.integers(0, num_classes, size).astype(np.int32)
        both = random.integers(-3, 4, (2, size, num_classes)).astype(np.float32)
        return labels, (both[0], both[1])

    return st.builds(draw, st.integers(0, 2**32 - 1), st.integers(1, 40))


SETTINGS = st.builds(CoTeaching, ramp_epochs=st.integers(1, 12), ramp=st.sampled_from(["linear", "linspace"]))


def take_step(
    method: CoTeaching, labels: np.ndarray, logits: tuple[np.ndarray, np.ndarray], epoch: int, noise_rate: float
) -> Any:
    schedule = {key: np.float32(value) for key, value in method.schedule(epoch, len(labels), noise_rate).items()}
    return method.step(labels, logits, {}, schedule)


@given(method=SETTINGS, batch=mini_batches(), epoch=st.integers(0, 15), hundredths=st.integers(0, 99))
def test_each_network_picks_the_exact_count_and_trains_on_the_other_s_picks(
    tf: Any,
    method: CoTeaching,
    batch: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]],
    epoch: int,
    hundredths: int,
) -> None:
    labels, logits = batch
    step = take_step(method, labels, logits, epoch, hundredths / 100)
    exact = transcription.CoTeaching(Fraction(hundredths, 100), method.ramp_epochs, method.ramp == "linspace")
    picks = [np.asarray(own) for own in step.clean_sets]
    assert [own.sum() for own in picks] == [exact.count(epoch, len(labels))] * 2
    for loss, of_the_other, own in zip(step.losses, reversed(picks), logits, strict=True):
        (alone,) = Default().step(labels[of_the_other], (own[of_the_other],), {}, {}).losses
        assert math.isclose(float(loss), float(alone), rel_tol=1e-5, abs_tol=1e-6)


@given(method=SETTINGS, batch=mini_batches(), epoch=st.integers(0, 15), noise_rate=st.floats(0, 0.99))
def test_swapping_the_networks_swaps_losses_and_picks(
    tf: Any,
    method: CoTeaching,
    batch: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]],
    epoch: int,
    noise_rate: float,
) -> None:
    labels, (first, second) = batch
    step = take_step(method, labels, (first, second), epoch, noise_rate)
    swapped = take_step(method, labels, (second, first), epoch, noise_rate)
    assert [float(loss) for loss in swapped.losses] == [float(loss) for loss in reversed(step.losses)]
    np.testing.assert_array_equal(np.stack(swapped.clean_sets), np.stack(step.clean_sets[::-1]))


@given(method=SETTINGS, batch=mini_batches(), epoch=st.integers(0, 15))
def test_without_noise_it_is_default_twice(
    tf: Any, method: CoTeaching, batch: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]], epoch: int
) -> None:
    labels, logits = batch
    step = take_step(method, labels, logits, epoch, 0.0)
    for loss, picks, own in zip(step.losses, step.clean_sets, logits, strict=True):
        assert np.asarray(picks).all()
        (alone,) = Default().step(labels, (own,), {}, {}).losses
        assert math.isclose(float(loss), float(alone), rel_tol=1e-6, abs_tol=1e-6)


@given(method=SETTINGS, noise_rate=st.floats(0, 0.99), batch_size=st.integers(1, 300))
def test_the_keep_rate_falls_to_1_minus_the_noise_rate_and_stays(
    method: CoTeaching, noise_rate: float, batch_size: int
) -> None:
    rates = [method.keep_rate(epoch, noise_rate) for epoch in range(14)]
    counts = [method.keep_count(epoch, batch_size, noise_rate) for epoch in range(14)]
    assert rates == sorted(rates, reverse=True)
    assert counts == sorted(counts, reverse=True)
    assert all(1 <= count <= batch_size for count in counts)
    assert rates[method.ramp_epochs :] == [1 - noise_rate] * (14 - method.ramp_epochs)
    at_its_end = {"linear": True, "linspace": method.ramp_epochs > 1}[method.ramp]
    assert (rates[method.ramp_epochs - 1] == 1 - noise_rate) == (at_its_end or 1 - noise_rate == 1)


@pytest.mark.parametrize("noise_rate", [0.0, 0.1, 0.2, 0.45, 0.7])
@pytest.mark.parametrize("ramp_epochs", [1, 2, 3, 10, 15])
def test_linspace_is_numpy_s(noise_rate: float, ramp_epochs: int) -> None:
    method = CoTeaching(ramp_epochs, "linspace")
    forget = np.full(20, noise_rate)
    forget[:ramp_epochs] = np.linspace(0, noise_rate, ramp_epochs)
    np.testing.assert_allclose([method.keep_rate(epoch, noise_rate) for epoch in range(20)], 1 - forget, rtol=1e-12)


@pytest.mark.parametrize("ramp", ["linear", "linspace"])
def test_counts_are_exact_where_floats_are_not(ramp: str) -> None:
    # 0.6 x 5 rounded up must not be 4, and (1 - 0.9) x 10 rounded down not 0
    method = CoTeaching(10, ramp)
    for hundredths in range(100):
        exact = transcription.CoTeaching(Fraction(hundredths, 100), 10, official=ramp == "linspace")
        for epoch in (0, 1, 4, 9, 12):
            for batch_size in (1, 5, 10, 100, 127, 128):
                found = method.keep_count(epoch, batch_size, hundredths / 100)
                assert found == exact.count(epoch, batch_size), (hundredths, epoch, batch_size)


def test_a_pick_is_never_empty() -> None:
    assert CoTeaching(1, "linspace").keep_count(5, 4, 0.9) == 1
    assert CoTeaching(1, "linear").keep_count(5, 4, 1 - 1e-12) == 1


def test_of_equal_losses_the_first_in_the_batch_are_picked(tf: Any) -> None:
    logits = np.zeros((5, 3), np.float32)
    step = take_step(CoTeaching(1, "linear"), np.zeros(5, np.int32), (logits, logits), 3, 0.4)
    assert np.stack(step.clean_sets).tolist() == [[True, True, True, False, False]] * 2


def test_a_network_trains_on_what_the_other_finds_easy(tf: Any) -> None:
    labels = np.zeros(2, np.int32)
    sure_of_first = np.array([[6.0, 0.0], [0.0, 6.0]], np.float32)
    sure_of_second = sure_of_first[::-1].copy()
    step = take_step(CoTeaching(1, "linear"), labels, (sure_of_first, sure_of_second), 0, 0.5)
    assert np.stack(step.clean_sets).tolist() == [[True, False], [False, True]]
    hard = math.log1p(math.exp(6.0))
    np.testing.assert_allclose([float(loss) for loss in step.losses], [hard, hard], rtol=1e-6)


@pytest.mark.parametrize(
    ("epochs", "paper", "head", "first"),
    [(1, 1, 1, 1), (2, 1, 2, 2), (8, 1, 8, 8), (10, 2, 10, 10), (40, 6, 15, 10), (100, 15, 15, 10)],
)
def test_the_ramp_s_length_follows_the_epochs_and_the_variant(epochs: int, paper: int, head: int, first: int) -> None:
    assert CoTeaching.from_settings(epochs, {}) == CoTeaching(paper, "linear")
    assert CoTeaching.from_settings(epochs, {}, "official") == CoTeaching(head, "linear")
    assert CoTeaching.from_settings(epochs, {}, "official-2019") == CoTeaching(first, "linear")


def test_an_option_that_is_given_wins_over_the_variant() -> None:
    assert CoTeaching.from_settings(100, {"ramp_epochs": 7}, "official") == CoTeaching(7, "linear")
    assert CoTeaching.from_settings(100, {"ramp": "linspace"}, "official-2019") == CoTeaching(10, "linspace")


def test_a_ramp_longer_than_the_run_is_an_error() -> None:
    with pytest.raises(TrainerError, match="--ramp-epochs 9: longer than the 8 epochs"):
        CoTeaching.from_settings(8, {"ramp_epochs": 9})
