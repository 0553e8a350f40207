"""DivideMix's steps against their transcription over hundreds of them, and its draws and settings."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.reference import dividemix as transcription
from trainer import ops
from trainer.errors import TrainerError
from trainer.methods.base import Batch
from trainer.methods.dividemix import DIVIDED, WARM_UP, DivideMix

STEPS, HALF, PIXELS = 200, 3, 4
SIZE = 2 * HALF


class Linear:
    """A `trainer.methods.base.Network` of a matrix in training mode, and of another in evaluation mode."""

    def __init__(self, training: Any, evaluation: Any) -> None:
        self.training, self.evaluation = training, evaluation
        self.calls: list[str] = []

    def _logits(self, images: Any, matrix: Any, name: str) -> Any:
        self.calls.append(name)
        return ops.matmul(ops.reshape(images, (images.shape[0], PIXELS)), matrix)

    def __call__(self, images: Any, samples: Any = None) -> Any:
        return self._logits(images, self.training, "gradient")

    def frozen(self, images: Any) -> Any:
        return ops.stop_gradient(self._logits(images, self.training, "frozen"))

    def evaluate(self, images: Any) -> Any:
        return ops.stop_gradient(self._logits(images, self.evaluation, "evaluate"))

    score = averaged = frozen


def method(**settings: Any) -> DivideMix:
    return DivideMix.from_settings(300, settings)


# A step


class Steps:
    """A method's steps and their gradients by the matrices of both networks, compiled."""

    def __init__(self, divide_mix: DivideMix, stage: str, tf: Any) -> None:
        self.method, self.stage, self.tf = divide_mix, stage, tf
        self.compiled = [tf.function(partial(self._take, learner)) for learner in (0, 1)]

    def _take(self, learner: int, labels: Any, views: Any, draws: Any, rows: Any, schedule: Any, w: Any) -> Any:
        networks = Linear(w[0], w[2]), Linear(w[1], w[3])
        with self.tf.GradientTape() as tape:
            tape.watch(w)
            batch = Batch(labels, views, draws, (learner == 0, learner == 1), self.stage)
            step = self.method.full_step(batch, networks, rows, schedule)
        return step, tape.gradient(step.losses[learner], w)

    def __call__(self, learner: int, *given: Any) -> Any:
        step, gradients = self.compiled[learner](*self.tf.nest.map_structure(self.tf.constant, given))
        assert [gradient is None for gradient in gradients] == [number != learner for number in range(4)]
        assert step.losses[1 - learner] is None
        assert step.logits[1 - learner] is None
        return step, gradients[learner]


def random_inputs(random: np.random.Generator, num_classes: int) -> Any:
    """Labels, two views, clean probabilities, and the matrices of both networks in both modes."""
    labels = random.integers(0, num_classes, SIZE).astype(np.int32)
    views = tuple(random.normal(size=(SIZE, 2, 2, 1)).astype(np.float32) for _ in "12")
    clean = random.random((SIZE, 2)).astype(np.float32)
    w = random.normal(0.0, random.choice([0.5, 2.0]), (4, PIXELS, num_classes)).astype(np.float32)
    return labels, views, clean, w


@pytest.mark.parametrize(
    ("num_classes", "settings"),
    [
        (2, {}),
        (4, {"unlabelled_weight": 150.0, "temperature": 1.0}),
        (4, {"unlabelled_weight": 0.0, "temperature": 0.25, "concentration": 0.5}),
        (6, {"clean_threshold": 0.8, "unlabelled_ramp": 1}),
    ],
)
def test_divided_steps_agree_with_the_transcription_over_hundreds_of_steps(
    num_classes: int, settings: dict[str, Any], tf: Any
) -> None:
    divide_mix, random = method(**settings), np.random.default_rng(11)
    steps = Steps(divide_mix, DIVIDED, tf)
    for number in range(STEPS):
        learner, epoch = number % 2, 10 + number // 8
        labels, views, clean, w = random_inputs(random, num_classes)
        draws, schedule = divide_mix.draw(random, SIZE), divide_mix.schedule(epoch, SIZE, 0.3)
        shares = np.array([0.25, 0.75], np.float32)
        rows = {"clean_probability": clean, "labelled_share": shares}
        scalars = {key: np.float32(value) for key, value in schedule.items()}
        step, gradient = steps(learner, labels, views, draws, rows, scalars, list(w))
        # By hand
        flat = [view.astype(np.float64).reshape(SIZE, -1) for view in views]
        logits = [(view @ w[learner]).tolist() for view in flat]
        by_other = [(view @ w[2 + 1 - learner]).tolist() for view in flat]
        both = [rows[HALF:] for rows in (*logits, *by_other)]
        weights, threshold = clean[:, 1 - learner].tolist(), divide_mix.clean_threshold
        expected = transcription.targets(
            labels[:HALF].tolist(), weights[:HALF], [rows[:HALF] for rows in logits], both, divide_mix.temperature
        )
        share, partner = float(draws["share"]), draws["partner"].tolist()
        all_targets = [*expected.refined, *expected.refined, *expected.guessed, *expected.guessed]
        images = np.concatenate([flat[0][:HALF], flat[1][:HALF], flat[0][HALF:], flat[1][HALF:]])
        mixed = np.array(transcription.mixed(images.tolist(), share, partner))
        outcome = transcription.semi_supervised(
            (mixed @ w[learner]).tolist(),
            transcription.mixed(all_targets, share, partner),
            2 * HALF,
            transcription.unlabelled_weight(epoch + 0.5, 10, divide_mix.unlabelled_weight, divide_mix.unlabelled_ramp),
            num_classes,
        )
        np.testing.assert_allclose(float(step.losses[learner]), outcome.loss, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(gradient, mixed.T @ np.array(outcome.gradient), rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(step.logits[learner], logits[0], rtol=1e-4, atol=1e-4)
        chosen = [place < HALF and weight > threshold for place, weight in enumerate(weights)]
        assert step.clean_sets[learner].numpy().tolist() == chosen
        assert not step.clean_sets[1 - learner].numpy().any()
        told = [step.tallies[name].numpy().tolist() for name in ("labelled", "labelled_2")]
        assert told == [[float(shares[k]) * (k == learner)] * SIZE for k in (0, 1)]


@pytest.mark.parametrize("confidence_penalty", [False, True])
def test_warm_up_steps_agree_with_the_transcription(confidence_penalty: bool, tf: Any) -> None:
    divide_mix, random = method(confidence_penalty=confidence_penalty), np.random.default_rng(12)
    steps = Steps(divide_mix, WARM_UP, tf)
    for number in range(STEPS):
        labels, views, clean, w = random_inputs(random, 5)
        rows = {"clean_probability": clean, "labelled_share": np.ones(2, np.float32)}
        given = (labels, views, divide_mix.draw(random, SIZE), rows, {"unlabelled_weight": np.float32(0)}, list(w))
        learner = number % 2
        step, gradient = steps(learner, *given)
        images = views[0].astype(np.float64).reshape(SIZE, -1)
        logits = (images @ w[learner]).tolist()
        outcome = transcription.warm_up(logits, labels.tolist(), confidence_penalty, 5)
        np.testing.assert_allclose(float(step.losses[learner]), outcome.loss, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(gradient, images.T @ np.array(outcome.gradient), rtol=2e-3, atol=2e-4)
        assert not np.stack([*step.clean_sets, *step.tallies.values()]).any()


def test_the_learning_network_is_in_training_mode_and_the_other_is_not(tf: Any) -> None:
    labels, views, clean, w = random_inputs(np.random.default_rng(0), 3)
    networks = Linear(w[0], w[2]), Linear(w[1], w[3])
    divide_mix = method()
    draws = divide_mix.draw(np.random.default_rng(0), SIZE)
    rows = {"clean_probability": clean, "labelled_share": np.ones(2, np.float32)}
    batch = Batch(labels, views, draws, (False, True), DIVIDED)
    divide_mix.full_step(batch, networks, rows, {"unlabelled_weight": 1.0})
    assert networks[1].calls == ["frozen"] * 4 + ["gradient"]
    assert networks[0].calls == ["evaluate"] * 2


def test_the_larger_share_is_the_image_s_own_and_partners_are_of_all_views() -> None:
    divide_mix, random = method(), np.random.default_rng(0)
    draws = [divide_mix.draw(random, 8) for _ in range(4000)]
    shares = np.array([draw["share"] for draw in draws])
    assert ((shares >= 0.5) & (shares <= 1)).all()
    assert ((shares - 0.5) ** 2).mean() == pytest.approx(1 / (4 * 9), rel=0.1)
    assert all(sorted(draw["partner"].tolist()) == list(range(16)) for draw in draws[:50])


def test_the_weight_of_unlabelled_samples_rises_over_16_epochs_as_the_authors_by_step() -> None:
    divide_mix = method()
    for epoch in range(40):
        begins, ends = (transcription.unlabelled_weight(epoch + part, 10, 25.0) for part in (0.0, 1.0))
        assert begins <= divide_mix.schedule(epoch, 8, 0.3)["unlabelled_weight"] <= ends
    assert divide_mix.schedule(26, 8, 0.3)["unlabelled_weight"] == 25.0


# Settings


@pytest.mark.parametrize(("epochs", "warm_up"), [(1, 1), (4, 1), (20, 5), (40, 10), (300, 10)])
def test_the_warm_up_is_of_10_epochs_and_at_most_a_quarter(epochs: int, warm_up: int) -> None:
    assert DivideMix.from_settings(epochs, {}).warm_up == warm_up


def test_a_warm_up_that_is_longer_than_the_run_is_refused() -> None:
    with pytest.raises(TrainerError, match="--warm-up 9: longer than the 8 epochs"):
        DivideMix.from_settings(8, {"warm_up": 9})


def test_one_sample_cannot_be_divided() -> None:
    with pytest.raises(TrainerError, match="1 training sample, which cannot be divided"):
        method().memory(1, 3)
