"""Active Bias' step against its transcription over hundreds of random steps, properties, and small cases by hand."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import active_bias as transcription
from trainer.errors import TrainerError
from trainer.methods.active_bias import ActiveBias

STEPS = 400
ALWAYS = {"plain", "heavy", "light"}
"""What every scenario has to come across, so that no agreement is for want of a case."""
FRESH = frozenset({"no record", "one record"})
"""What comes up after a warm-up that is too short for two records of each sample."""


@dataclass(frozen=True)
class Scenario:
    """A training set in miniature; `meets`: what must occur in it beside ALWAYS."""

    num_classes: int
    warm_up: int
    smoothing: float
    batch_size: int
    num_samples: int = 26
    meets: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"K{self.num_classes}-warm{self.warm_up}-smoothing{self.smoothing:g}-batch{self.batch_size}"


SCENARIOS = [
    Scenario(2, 0, 0.2, 8, meets=FRESH),
    Scenario(2, 6, 0.05, 5),
    Scenario(10, 0, 0.0, 5, meets=FRESH),
    Scenario(10, 1, 0.2, 13, meets=FRESH),
    Scenario(10, 2, 0.2, 1, num_samples=5, meets=frozenset({"one record"})),
    Scenario(10, 10, 0.2, 26),
    Scenario(100, 4, 1.0, 9),
    Scenario(200, 20, 0.01, 10),
]


class Classifier:
    """Stands in for a network: of some samples it is always as sure, of others now more and now less."""

    def __init__(self, scenario: Scenario, random: np.random.Generator) -> None:
        self.num_classes, self.random = scenario.num_classes, random
        self.labels = random.integers(0, scenario.num_classes, scenario.num_samples)
        self.confidence = random.uniform(-4.0, 8.0, scenario.num_samples)
        self.spread = random.choice([0.0, 0.1, 1.0, 4.0], scenario.num_samples)

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """(B, K) float32."""
        logits = self.random.normal(0.0, 1.0, (len(ids), self.num_classes)) * np.minimum(self.spread[ids], 1.0)[:, None]
        logits[np.arange(len(ids)), self.labels[ids]] += self.confidence[ids]
        logits[np.arange(len(ids)), self.labels[ids]] += self.spread[ids] * self.random.normal(size=len(ids))
        return logits.astype(np.float32)


class Comparison:
    """Method and transcription side by side: both are given the same steps, and must do the same."""

    def __init__(self, scenario: Scenario, tf: Any) -> None:
        self.scenario, self.tf = scenario, tf
        self.method = ActiveBias(scenario.warm_up, scenario.smoothing)
        self.expected = transcription.ActiveBias(scenario.warm_up, scenario.smoothing)
        self.memory = self.method.memory(scenario.num_samples, scenario.num_classes)
        self.graph = tf.function(self._step_and_gradient)
        self.met: Counter[str] = Counter()

    def step(self, ids: np.ndarray, labels: np.ndarray, logits: np.ndarray, epoch: int) -> None:
        records_before = [len(self.expected.history(int(sample))) for sample in ids]
        outcome = self.expected.step(ids.tolist(), labels.tolist(), logits.tolist(), epoch)
        step, gradient = self._method_step(ids, labels, logits, epoch)
        for key, rows in step.rows.items():
            self.memory[key][ids] = np.asarray(rows)
        assert step.clean_sets == ()
        assert not step.labels
        (loss,) = step.losses
        # float32 logits of about 10 are known to 1e-6, and so is a loss near 0
        np.testing.assert_allclose(float(loss), outcome.loss, rtol=1e-5, atol=1e-6)
        # without smoothing, a weight is as little known as a deviation near 0
        atol = 1e-6 if self.scenario.smoothing else 1e-5
        np.testing.assert_allclose(gradient, outcome.gradient, rtol=1e-5, atol=atol)
        self._note(outcome.weights, records_before, epoch)

    def _method_step(self, ids: np.ndarray, labels: np.ndarray, logits: np.ndarray, epoch: int) -> tuple[Any, Any]:
        tf = self.tf
        rows = {key: tf.constant(values[ids]) for key, values in self.memory.items()}
        schedule = self.method.schedule(epoch, len(ids), 0.4)
        scalars = {key: tf.constant(value, tf.float32) for key, value in schedule.items()}
        step, gradient = self.graph(tf.constant(labels, tf.int32), tf.constant(logits), rows, scalars)
        return step, gradient.numpy()

    def _step_and_gradient(self, labels: Any, logits: Any, rows: Any, schedule: Any) -> tuple[Any, Any]:
        with self.tf.GradientTape() as tape:
            tape.watch(logits)
            step = self.method.step(labels, (logits,), rows, schedule)
        return step, tape.gradient(step.losses[0], logits)

    def compare_memory(self) -> None:
        for sample in range(self.scenario.num_samples):
            count = len(self.expected.history(sample))
            assert self.memory["count"][sample] == count
            if count:
                assert math.isclose(self.memory["mean"][sample], self.expected.mean(sample), rel_tol=1e-5, abs_tol=1e-6)
                variance = self.memory["m2"][sample] / count
                assert math.isclose(variance, self.expected.variance(sample), rel_tol=1e-5, abs_tol=1e-9)

    def _note(self, weights: list[float], records_before: list[int], epoch: int) -> None:
        for weight, records in zip(weights, records_before, strict=True):
            after = epoch >= self.scenario.warm_up
            facts = {
                "plain": weight == 1,
                "heavy": weight > 1.05,
                "light": weight < 0.95,
                "no record": after and records == 0,
                "one record": after and records == 1,
            }
            self.met.update(name for name, holds in facts.items() if holds)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_step_agrees_with_the_transcription_over_hundreds_of_steps(scenario: Scenario, tf: Any) -> None:
    random = np.random.default_rng(11)
    classifier = Classifier(scenario, random)
    comparison = Comparison(scenario, tf)
    steps_per_epoch = -(-scenario.num_samples // scenario.batch_size)
    for step in range(STEPS):
        # drawn from all samples each time, as the official code does: histories grow unevenly
        ids = random.choice(scenario.num_samples, scenario.batch_size, replace=False)
        comparison.step(ids, classifier.labels[ids], classifier.logits(ids), step // steps_per_epoch)
        if step % 40 == 0:
            comparison.compare_memory()
    comparison.compare_memory()
    # alone in its mini-batch a sample always weighs 1
    impossible = {"heavy", "light"} if scenario.batch_size == 1 else set()
    assert (ALWAYS | scenario.meets) - impossible - set(comparison.met) == set()


RECORDS = 5_000


def long_histories() -> np.ndarray:
    """(RECORDS, 7) logits whose probabilities take the courses that a sum in float32 finds hard."""
    random = np.random.default_rng(3)
    time = np.arange(RECORDS)
    return np.stack(
        [
            random.normal(0.0, 2.0, RECORDS),  # all over [0, 1]
            np.where(time % 2, 0.7, -0.4),  # the same two differences for ever, rounded the same way
            np.where(time % 2, 12.0, -12.0),  # 0 and 1 in turn
            np.linspace(-6.0, 9.0, RECORDS),  # learned, slowly
            np.where(time < RECORDS // 2, 8.0, -8.0),  # known, then forgotten
            random.normal(9.0, 0.1, RECORDS),  # sure, and the more so
            np.full(RECORDS, 1.3),  # never varies
        ],
        axis=1,
    ).astype(np.float32)


@pytest.mark.parametrize("compile", [False, True], ids=["graph", "xla"])
def test_thousands_of_records_keep_mean_and_deviation_right_to_1e_5(tf: Any, compile: bool) -> None:
    method, logits = ActiveBias(0, 0.2), long_histories()
    histories = 1 / (1 + np.exp(-logits.astype(np.float64)))
    count = logits.shape[1]
    labels, schedule = tf.ones(count, tf.int32), {"warm_up": tf.constant(0.0)}
    both = tf.stack([tf.zeros_like(logits), tf.constant(logits)], axis=2)
    start = {key: tf.constant(values) for key, values in method.memory(count, 2).items()}

    def all_steps(all_logits: Any) -> Any:
        return tf.scan(lambda rows, own: method.step(labels, (own,), rows, schedule).rows, all_logits, start)

    rows = {key: values.numpy() for key, values in tf.function(all_steps, jit_compile=compile)(both).items()}
    for records in (2, 10, 100, 1_000, RECORDS):
        variance = rows["m2"][records - 1] / records
        assert rows["count"][records - 1].tolist() == [records] * count
        np.testing.assert_allclose(rows["mean"][records - 1], histories[:records].mean(axis=0), atol=1e-5, rtol=0)
        np.testing.assert_allclose(np.sqrt(variance), histories[:records].std(axis=0), atol=1e-5, rtol=0)
        assert (variance >= 0).all()


def active_bias(**settings: Any) -> ActiveBias:
    """Active Bias after its warm-up."""
    return ActiveBias(**{"warm_up": 0, "smoothing": 0.2, **settings})


def rows_of(histories: list[list[float]]) -> dict[str, np.ndarray]:
    """Memory rows of samples that have had these probabilities."""
    means = [statistics.fmean(history) if history else 0.0 for history in histories]
    squares = [math.fsum((p - mean) ** 2 for p in history) for history, mean in zip(histories, means, strict=True)]
    return {
        "count": np.array([len(history) for history in histories], np.int32),
        "mean": np.array(means, np.float32),
        "m2": np.array(squares, np.float32),
    }


def weights_of(method: ActiveBias, histories: list[list[float]]) -> np.ndarray:
    return np.asarray(method.weights(rows_of(histories)))


HISTORIES = st.lists(st.lists(st.floats(0, 1, width=32), max_size=8), min_size=1, max_size=12)


@given(histories=HISTORIES, smoothing=st.floats(0, 10))
def test_weights_average_1_and_are_never_negative(tf: Any, histories: list[list[float]], smoothing: float) -> None:
    weights = weights_of(active_bias(smoothing=smoothing), histories)
    assert (weights >= 0).all()
    assert math.isclose(weights.mean(), 1, abs_tol=1e-5)


@given(histories=HISTORIES)
def test_a_weight_tells_neither_place_nor_order_nor_level_of_the_history(tf: Any, histories: list[list[float]]) -> None:
    weights = weights_of(active_bias(), histories)
    np.testing.assert_allclose(weights_of(active_bias(), histories[::-1]), weights[::-1], rtol=1e-5)
    mirrored = [[1 - p for p in reversed(history)] for history in histories]
    np.testing.assert_allclose(weights_of(active_bias(), mirrored), weights, rtol=1e-4)


def test_a_weight_is_the_deviation_plus_smoothing_over_the_mean_of_these(tf: Any) -> None:
    # variances 0.25 and 0.01; with one record less than the count under the square
    raw = [math.sqrt(0.25 + 0.25**2 / 1) + 0.2, math.sqrt(0.01 + 0.01**2 / 3) + 0.2]
    expected = [own / statistics.fmean(raw) for own in raw]
    np.testing.assert_allclose(weights_of(active_bias(), [[0.0, 1.0], [0.4, 0.6, 0.4, 0.6]]), expected, rtol=1e-6)


def test_a_sample_of_fewer_than_2_records_weighs_1_and_leaves_the_others_weights_alone(tf: Any) -> None:
    known = [[0.1, 0.9], [0.5, 0.6, 0.4]]
    alone = weights_of(active_bias(), known)
    weights = weights_of(active_bias(), [[], known[0], [0.3], known[1]])
    np.testing.assert_allclose(weights, [1, alone[0], 1, alone[1]], rtol=1e-6)
    assert weights_of(active_bias(), [[], [0.7]]).tolist() == [1, 1]


def test_without_smoothing_samples_that_never_vary_are_left_out_unless_all_are_such(tf: Any) -> None:
    method = active_bias(smoothing=0.0)
    assert weights_of(method, [[0.5, 0.5], [0.1, 0.9], [1.0, 1.0]]).tolist() == [0, 3, 0]
    assert weights_of(method, [[0.5, 0.5], [0.25, 0.25, 0.25]]).tolist() == [1, 1]


def test_the_history_before_the_step_weighs_and_then_takes_up_its_probability(tf: Any) -> None:
    method, rows = active_bias(), rows_of([[0.5, 0.5], [0.5, 0.5]])
    logits = np.array([[-3.0, 3.0], [0.0, 0.0]], np.float32)
    labels = np.array([0, 0], np.int32)
    step = method.step(labels, (logits,), rows, {"warm_up": np.float32(0)})
    losses = [math.log1p(math.exp(6.0)), math.log(2)]
    assert math.isclose(float(step.losses[0]), statistics.fmean(losses), rel_tol=1e-5), "both weigh the same as yet"
    assert np.asarray(step.rows["count"]).tolist() == [3, 3]
    weights = np.asarray(method.weights(step.rows))
    assert weights[0] > 1 > weights[1]


def test_in_the_warm_up_it_is_plain_training_that_records(tf: Any) -> None:
    method = active_bias(warm_up=3)
    rows = rows_of([[0.0, 1.0], [0.5, 0.5]])
    logits, labels = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([0, 0], np.int32)
    schedule = {key: np.float32(value) for key, value in method.schedule(2, 2, 0.4).items()}
    step = method.step(labels, (logits,), rows, schedule)
    expected = statistics.fmean([math.log1p(math.exp(-1.0)), math.log1p(math.exp(2.0))])
    assert math.isclose(float(step.losses[0]), expected, rel_tol=1e-6)
    assert np.asarray(step.rows["count"]).tolist() == [3, 3]
    assert [method.schedule(epoch, 2, 0.4)["warm_up"] for epoch in range(5)] == [1, 1, 1, 0, 0]


def test_no_gradient_goes_through_the_weights(tf: Any) -> None:
    method = active_bias()
    rows = {key: tf.constant(values) for key, values in rows_of([[0.1, 0.9], [0.4, 0.5]]).items()}
    with tf.GradientTape() as tape:
        tape.watch((rows["mean"], rows["m2"]))
        step = method.step(tf.constant([0, 1]), (tf.constant([[1.0, 0.0], [0.5, 0.0]]),), rows, {"warm_up": 0.0})
    assert tape.gradient(step.losses[0], (rows["mean"], rows["m2"])) == (None, None)


def test_the_defaults_are_those_of_the_comparison_in_the_selfie_paper() -> None:
    for variant, smoothing in (("paper", 0.2), ("official", 0.2), ("official-2019", 0.02)):
        assert ActiveBias.from_settings(100, {}, variant) == ActiveBias(warm_up=25, smoothing=smoothing)
    assert ActiveBias.from_settings(8, {"smoothing": 1}) == ActiveBias(warm_up=2, smoothing=1.0)


def test_a_warm_up_longer_than_the_run_is_an_error() -> None:
    with pytest.raises(TrainerError, match="--warm-up 9: longer than the 8 epochs"):
        ActiveBias.from_settings(8, {"warm_up": 9})
