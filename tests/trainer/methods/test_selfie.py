"""SELFIE's step against the transcription of Algorithm 1 over hundreds of random steps."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.reference import selfie as transcription
from trainer.methods.selfie import Selfie

STEPS_PER_RUN = 160
RUNS = 2
ONCE_MORE = {"certain", "relabelled", "remembered, not certain", "clean and remembered", "warm-up on remembered"}
"""What every scenario has to come across, so that no agreement is for want of a case."""
WITH_NOISE = {"left out", "certain, not clean"}
"""What happens only where the noise rate is above 0."""


@dataclass(frozen=True)
class Scenario:
    """A noisy training set in miniature; `meets`: what must occur in it beside ONCE_MORE."""

    num_classes: int
    history_length: int
    warm_up: int
    noise_rate: str
    batch_size: int
    threshold: float
    num_samples: int = 26
    refurbish: str = "remembered"
    history_start: str = "empty"
    warm_up_labels: str = "remembered"
    restart_noise_rate: str = "lowered"
    meets: frozenset[str] = frozenset(WITH_NOISE)

    def __str__(self) -> str:
        return (
            f"K{self.num_classes}-q{self.history_length}-warm{self.warm_up}-rate{self.noise_rate}"
            f"-batch{self.batch_size}-eps{self.threshold}-{self.refurbish}-{self.history_start}"
            f"-{self.warm_up_labels}-{self.restart_noise_rate}"
        )


# With a warm-up shorter than q epochs, samples with too short a history come up after it.
SHORT = frozenset({*WITH_NOISE, "short history"})
SCENARIOS = [
    replace(scenario, refurbish=refurbish)
    for scenario in (
        Scenario(2, 5, 8, "0.4", 5, 0.05),
        Scenario(2, 4, 1, "0.2", 8, 0.3, meets=SHORT),
        Scenario(2, 3, 5, "0", 7, 0.0, meets=frozenset()),
        Scenario(10, 5, 2, "0.4", 5, 0.0, meets=SHORT),
        Scenario(10, 15, 12, "0.4", 10, 0.3, meets=SHORT),
        Scenario(10, 15, 20, "0.37", 13, 0.05),
        Scenario(10, 1, 0, "0.7", 6, 0.05),
        Scenario(10, 4, 3, "0.45", 26, 0.05),
        Scenario(200, 15, 18, "0.1", 10, 0.05),
        Scenario(200, 6, 2, "0.4", 5, 0.3, meets=SHORT),
        Scenario(200, 15, 4, "0.2", 9, 0.0, meets=SHORT),
    )
    for refurbish in ("remembered", "certain")
]
# the official code's head, and its first release
SCENARIOS += [
    Scenario(10, 5, 2, "0.4", 5, 0.0, history_start="zeros"),
    Scenario(200, 15, 4, "0.2", 9, 0.05, history_start="zeros"),
    Scenario(
        10,
        4,
        3,
        "0.45",
        13,
        0.05,
        history_start="zeros",
        warm_up_labels="given",
        restart_noise_rate="kept",
        meets=frozenset({*WITH_NOISE, "warm-up on given"}),
    ),
]


class Classifier:
    """Stands in for a network: it has a favourite class for each sample, and changes its mind now and then."""

    def __init__(self, scenario: Scenario, random: np.random.Generator) -> None:
        self.num_classes, self.random = scenario.num_classes, random
        self.labels = random.integers(0, scenario.num_classes, scenario.num_samples)
        wrong = random.random(scenario.num_samples) < 0.4
        self.favourites = np.where(wrong, self._any(scenario.num_samples), self.labels)
        # Most stay with their favourite for long, as a trained network does; some never settle.
        self.restlessness = random.choice([0.01, 0.06, 0.2, 0.9], scenario.num_samples)

    def _any(self, count: int) -> np.ndarray:
        return self.random.integers(0, self.num_classes, count)

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """(B, K) float32."""
        changes = self.random.random(len(ids)) < self.restlessness[ids]
        self.favourites[ids] = np.where(changes, self._any(len(ids)), self.favourites[ids])
        logits = self.random.normal(0.0, 1.0, (len(ids), self.num_classes))
        logits[np.arange(len(ids)), self.favourites[ids]] += self.random.uniform(3.0, 8.0, len(ids))
        return logits.astype(np.float32)


class Comparison:
    """Method and transcription side by side: both are given the same steps, and must do the same."""

    def __init__(self, scenario: Scenario, tf: Any) -> None:
        self.scenario, self.tf = scenario, tf
        self.method = Selfie(
            warm_up=scenario.warm_up,
            history_length=scenario.history_length,
            uncertainty_threshold=scenario.threshold,
            restarts=RUNS - 1,
            refurbish=scenario.refurbish,
            history_start=scenario.history_start,
            warm_up_labels=scenario.warm_up_labels,
            restart_noise_rate=scenario.restart_noise_rate,
        )
        self.graph = tf.function(self._step_and_gradient)
        self.expected = transcription.Selfie(
            num_samples=scenario.num_samples,
            num_classes=scenario.num_classes,
            noise_rate=Fraction(scenario.noise_rate),
            warm_up=scenario.warm_up,
            history_length=scenario.history_length,
            threshold=scenario.threshold,
            keep_remembered=scenario.refurbish == "remembered",
            history_of_zeros=scenario.history_start == "zeros",
            remembered_in_warm_up=scenario.warm_up_labels == "remembered",
            lower_noise_rate=scenario.restart_noise_rate == "lowered",
        )
        self.noise_rate = float(scenario.noise_rate)
        self.memory = self.method.memory(scenario.num_samples, scenario.num_classes)
        self.draws = [0] * scenario.num_samples
        self.uncertainty = np.full(scenario.num_samples, np.nan)
        self.met: Counter[str] = Counter()

    def step(self, ids: np.ndarray, labels: np.ndarray, logits: np.ndarray, epoch: int) -> None:
        remembered_before = [int(sample) in self.expected.remembered for sample in ids]
        outcome = self.expected.step(ids.tolist(), labels.tolist(), logits.tolist(), epoch)
        step, gradient = self._method_step(ids, labels, logits, epoch)
        for key, rows in step.rows.items():
            self.memory[key][ids] = np.asarray(rows)
        for position, sample in enumerate(ids):
            self.draws[sample] += 1
            self.uncertainty[sample] = outcome.uncertainty.get(position, math.inf)
        self._compare_choice(step, outcome, epoch)
        # float32 logits of about 10 are known to 1e-6, and so is a loss near 0
        np.testing.assert_allclose(float(step.losses[0]), outcome.loss, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient, outcome.gradient, rtol=1e-5, atol=1e-6)
        assert not gradient[[p for p in range(len(ids)) if p not in outcome.targets]].any()
        self.compare_memory()
        self._note(outcome, ids, labels, epoch, remembered_before)

    def _method_step(self, ids: np.ndarray, labels: np.ndarray, logits: np.ndarray, epoch: int) -> tuple[Any, Any]:
        tf = self.tf
        rows = {key: tf.constant(values[ids]) for key, values in self.memory.items()}
        schedule = self.method.schedule(epoch, len(ids), self.noise_rate)
        scalars = {key: tf.constant(value, tf.float32) for key, value in schedule.items()}
        step, gradient = self.graph(tf.constant(labels, tf.int32), tf.constant(logits), rows, scalars)
        return step, gradient.numpy()

    def _step_and_gradient(self, labels: Any, logits: Any, rows: Any, schedule: Any) -> tuple[Any, Any]:
        with self.tf.GradientTape() as tape:
            tape.watch(logits)
            step = self.method.step(labels, (logits,), rows, schedule)
        return step, tape.gradient(step.losses[0], logits)

    def _compare_choice(self, step: Any, outcome: transcription.Outcome, epoch: int) -> None:
        # in the warm-up there is no choice of clean samples, and the method says so by an empty one
        chosen = set() if epoch < self.scenario.warm_up else outcome.clean
        (clean_set,) = step.clean_sets
        assert set(np.flatnonzero(clean_set)) == chosen
        assert set(np.flatnonzero(step.tallies["refurbishable"])) == outcome.certain
        found = np.asarray(step.labels["refurbished"])
        assert {p: found[p] for p in np.flatnonzero(found != -1)} == outcome.refurbished

    def compare_memory(self) -> None:
        samples = range(self.scenario.num_samples)
        assert self.memory["seen"].tolist() == self.draws
        assert self.memory["history"].tolist() == [self._ring(sample) for sample in samples]
        assert self.memory["refurbished_label"].tolist() == [self.expected.remembered.get(s, -1) for s in samples]
        np.testing.assert_allclose(self.memory["uncertainty"], self.uncertainty, rtol=1e-5, atol=1e-6)

    def _ring(self, sample: int) -> list[int]:
        """The sample's history as a ring lies in memory: prediction number n in slot n mod q."""
        length = self.scenario.history_length
        ring = [-1] * length
        history = self.expected.history(sample)
        for number, label in enumerate(history, self.draws[sample] - len(history)):
            ring[number % length] = label
        return ring

    def _note(
        self, outcome: transcription.Outcome, ids: np.ndarray, labels: np.ndarray, epoch: int, remembered: list[bool]
    ) -> None:
        in_warm_up = epoch < self.scenario.warm_up
        for p in range(len(ids)):
            certain, clean = p in outcome.certain, p in outcome.clean
            facts = {
                "certain": certain,
                "relabelled": certain and outcome.targets[p] != labels[p],
                "certain, not clean": certain and not clean,
                "remembered, not certain": not in_warm_up and remembered[p] and not certain,
                "clean and remembered": not in_warm_up and clean and remembered[p] and not certain,
                "left out": p not in outcome.targets,
                "short history": not in_warm_up and p not in outcome.uncertainty,
                "warm-up on remembered": in_warm_up and remembered[p] and p in outcome.refurbished,
                "warm-up on given": in_warm_up and remembered[p] and p not in outcome.refurbished,
            }
            self.met.update(name for name, holds in facts.items() if holds)

    def restart(self) -> None:
        self.memory, self.noise_rate = self.method.restart(self.memory, self.noise_rate)
        self.expected.restart()
        self.draws = [0] * self.scenario.num_samples
        self.uncertainty[:] = np.nan
        assert math.isclose(self.noise_rate, self.expected.noise_rate, abs_tol=1e-12)
        self.compare_memory()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_step_agrees_with_the_transcription_over_hundreds_of_steps_and_a_restart(scenario: Scenario, tf: Any) -> None:
    random = np.random.default_rng(7)
    classifier = Classifier(scenario, random)
    comparison = Comparison(scenario, tf)
    steps_per_epoch = -(-scenario.num_samples // scenario.batch_size)
    for run in range(RUNS):
        if run:
            comparison.restart()
        for step in range(STEPS_PER_RUN):
            # drawn from all samples each time, as the official code does: histories fill unevenly
            ids = random.choice(scenario.num_samples, scenario.batch_size, replace=False)
            comparison.step(ids, classifier.labels[ids], classifier.logits(ids), step // steps_per_epoch)
    possible = scenario.warm_up and scenario.warm_up_labels == "remembered"
    impossible = set() if possible else {"warm-up on remembered"}
    assert (ONCE_MORE | scenario.meets) - impossible - set(comparison.met) == set()
