"""ELR+'s step against its transcription over hundreds of random steps, and its ramps, draws and passes."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.reference import elr_plus as transcription
from trainer import ops
from trainer.errors import TrainerError
from trainer.methods.base import AVERAGE_DECAY, Batch
from trainer.methods.elr_plus import TARGETS, ElrPlus

STEPS, SAMPLES, SIZE = 200, 26, 5
PIXELS = (2, 2, 1)


class Linear:
    """A `trainer.methods.base.Network` of a matrix, whose average is another."""

    def __init__(self, matrix: Any, average: Any) -> None:
        self.matrix, self.average = matrix, average

    def __call__(self, images: Any, samples: Any = None) -> Any:
        return ops.matmul(ops.reshape(images, (SIZE, -1)), self.matrix)

    def averaged(self, images: Any) -> Any:
        return ops.stop_gradient(ops.matmul(ops.reshape(images, (SIZE, -1)), self.average))

    score = frozen = evaluate = __call__


def method(**settings: Any) -> ElrPlus:
    return ElrPlus.from_settings(200, settings)


@pytest.mark.parametrize(
    ("num_classes", "settings"),
    [
        (2, {}),
        (10, {"regularisation": 1.0, "target_momentum": 0.9}),
        (10, {"concentration": 4.0, "regularisation_ramp": 30}),
        (20, {"regularisation": 7.0, "target_momentum": 0.9, "weigh_labels": True}),
    ],
)
def test_step_agrees_with_the_transcription_over_hundreds_of_steps(
    num_classes: int, settings: dict[str, Any], tf: Any
) -> None:
    plus = method(**settings)
    expected = transcription.ElrPlus(num_classes, plus.regularisation, plus.target_momentum, plus.weigh_labels)
    memory = plus.memory(SAMPLES, num_classes)
    random = np.random.default_rng(3)
    all_labels = random.integers(0, num_classes, SAMPLES).astype(np.int32)
    clipped = 0

    def step_and_gradients(learner: int, labels: Any, images: Any, draws: Any, rows: Any, schedule: Any, w: Any) -> Any:
        networks = Linear(w[0], w[2]), Linear(w[1], w[3])
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(w)
            batch = Batch(labels, (images,), draws, (learner == 0, learner == 1))
            made = plus.full_step(batch, networks, rows, schedule)
        return made, tape.gradient(made.losses[learner], w)

    compiled = [tf.function(partial(step_and_gradients, learner)) for learner in (0, 1)]
    for step in range(STEPS):
        learner, epoch = step % 2, step // 8
        ids = random.choice(SAMPLES, SIZE, replace=False)
        images = random.normal(size=(SIZE, *PIXELS)).astype(np.float32)
        weights = random.normal(0.0, random.choice([1.0, 3.0]), (4, 4, num_classes)).astype(np.float32)
        draws = plus.draw(random, SIZE)
        schedule = {key: np.float32(value) for key, value in plus.schedule(epoch, SIZE, 0.3).items()}
        rows = {name: memory[name][ids] for name in TARGETS}
        given = (all_labels[ids], images, draws, rows, schedule, list(weights))
        made, gradients = compiled[learner](*tf.nest.map_structure(tf.constant, given))
        # By hand
        share, partner = float(draws["share"]), draws["partner"].tolist()
        flat = images.astype(np.float64).reshape(SIZE, -1)
        mixed = share * flat + (1 - share) * flat[partner]
        outcome = expected.step(
            learner,
            ids.tolist(),
            all_labels[ids].tolist(),
            (mixed @ weights[learner]).tolist(),
            (flat @ weights[2 + 1 - learner]).tolist(),
            share,
            partner,
            transcription.risen(epoch * 10 + 5, plus.regularisation_ramp * 10),
        )
        loss = made.losses[learner]
        assert made.losses[1 - learner] is None
        assert made.logits[1 - learner] is None
        np.testing.assert_allclose(float(loss), outcome.loss, rtol=1e-4, atol=1e-5)
        by_matrix = mixed.T @ np.array(outcome.gradient)
        np.testing.assert_allclose(gradients[learner], by_matrix, rtol=2e-3, atol=1e-4)
        assert [gradient is None for gradient in gradients] == [number != learner for number in range(4)]
        for name, values in made.rows.items():
            memory[name][ids] = values
        clipped += int(np.sum(np.asarray(tf.nn.softmax(made.logits[learner])).min(axis=1) < 1e-4))
        for network, name in enumerate(TARGETS):
            targets = [expected.target(network, sample) for sample in range(SAMPLES)]
            np.testing.assert_allclose(memory[name], targets, rtol=1e-4, atol=1e-6)
    assert clipped > 10
    assert all((memory[name].sum(axis=1) > 0).all() for name in TARGETS)


def test_both_networks_can_learn_from_one_mini_batch(tf: Any) -> None:
    plus, random = method(), np.random.default_rng(0)
    images = random.normal(size=(SIZE, *PIXELS)).astype(np.float32)
    networks = tuple(Linear(*random.normal(size=(2, 4, 3)).astype(np.float32)) for _ in "12")
    rows = {name: np.full((SIZE, 3), 0.25, np.float32) for name in TARGETS}
    labels, draws = np.array([0, 1, 2, 0, 1], np.int32), plus.draw(random, SIZE)
    schedule = plus.schedule(0, SIZE, 0.3)
    learns = (True, True), (True, False), (False, True)
    both, first, second = (
        plus.full_step(Batch(labels, (images,), draws, who), networks, rows, schedule) for who in learns
    )
    assert [float(loss) for loss in both.losses] == [float(first.losses[0]), float(second.losses[1])]
    np.testing.assert_array_equal(first.rows["target_2"], rows["target_2"])
    np.testing.assert_array_equal(both.rows["target_2"], second.rows["target_2"])


def test_ramps_are_the_authors_by_step_within_half_an_epoch_s_rise() -> None:
    # 352 steps an epoch, 40,000 steps to rise
    plus = method(regularisation_ramp=114)
    assert plus.average_ramp == 114
    for epoch in range(200):
        by_step = [transcription.risen(epoch * 352 + step, 40_000) for step in (0, 351)]
        schedule = plus.schedule(epoch, 128, 0.3)
        for key, whole in ((AVERAGE_DECAY, 0.997), ("regularisation", 3.0)):
            assert by_step[0] - 0.01 <= schedule[key] / whole <= by_step[1] + 0.01
    last = method(average_ramp=0).schedule(0, 128, 0.3)
    assert (last[AVERAGE_DECAY], last["regularisation"]) == (0.997, 3.0)


@pytest.mark.parametrize("concentration", [1.0, 4.0])
def test_the_larger_share_is_the_sample_s_own(concentration: float) -> None:
    plus, random = method(concentration=concentration), np.random.default_rng(0)
    draws = [plus.draw(random, 7) for _ in range(4000)]
    shares = np.array([draw["share"] for draw in draws])
    assert shares.dtype == np.float32
    assert ((shares >= 0.5) & (shares <= 1)).all()
    # |share - 1/2| of a symmetric Beta has this second moment
    assert ((shares - 0.5) ** 2).mean() == pytest.approx(1 / (4 * (2 * concentration + 1)), rel=0.1)
    assert all(sorted(draw["partner"].tolist()) == list(range(7)) for draw in draws[:50])


def test_each_network_has_a_pass_of_all_samples_in_an_order_of_its_own() -> None:
    plus = method()
    batches = np.random.default_rng(0).permutation(24).astype(np.int32).reshape(4, 6)
    memory = plus.memory(24, 3)
    first, second = plus.epoch_passes(0, batches, memory, np.random.default_rng(1))
    assert (first.learns, second.learns) == ((True, False), (False, True))
    np.testing.assert_array_equal(first.indices, batches)
    assert sorted(second.indices.ravel()) == list(range(24))
    assert second.indices.dtype == np.int32
    together = {frozenset(row) for row in first.indices.tolist()}
    assert together != {frozenset(row) for row in second.indices.tolist()}
    again = plus.epoch_passes(0, batches, memory, np.random.default_rng(1))[1]
    np.testing.assert_array_equal(again.indices, second.indices)


def test_without_regularisation_and_mixing_it_is_cross_entropy(tf: Any) -> None:
    plus = method(regularisation=0.0)
    network = Linear(np.array([[2.0, 0.0]] * 4, np.float32), np.zeros((4, 2), np.float32))
    draws = {"share": np.float32(1.0), "partner": np.arange(SIZE, dtype=np.int32)}
    images = np.full((SIZE, *PIXELS), 0.25, np.float32)
    batch = Batch(np.ones(SIZE, np.int32), (images,), draws, (True, False))
    step = plus.full_step(batch, (network, network), plus.memory(SIZE, 2), plus.schedule(0, SIZE, 0.3))
    assert float(step.losses[0]) == pytest.approx(math.log1p(math.exp(2.0)), rel=1e-6)


@pytest.mark.parametrize("option", ["average_momentum", "target_momentum"])
def test_an_average_that_would_never_move_is_refused(option: str) -> None:
    with pytest.raises(TrainerError, match=rf"--{option.replace('_', '-')} 1\.0: at least 0 and below 1 is expected"):
        method(**{option: 1.0})
