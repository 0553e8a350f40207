"""The contract's parts beside one forward pass, on small methods: by hand, in slices, and on the other engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.small_methods import DECAY, HIGH, LOW, RATE, SMALL_METHODS
from tests.support.tiny import batches, run_config, training_data
from trainer.methods.base import Method

ENGINE = os.environ.get("TEST_ENGINE", "tensorflow")
"""The engine of this process; a test runs the others of this file on JAX, in a process of its own."""
ROOT = Path(__file__).parents[3]
COUNT, BATCH, CLASSES = 60, 10, 3
NETWORK = "linear"
Engines = Callable[..., Any]


@pytest.fixture(scope="module")
def engine_of(request: pytest.FixtureRequest) -> Engines:
    """Makes an engine of a small method, at the start of a run."""
    from trainer.engine import make_engine

    def make(name: str, network: str = NETWORK) -> Any:
        config = run_config("default", network, engine=ENGINE, device="cpu", weight_decay=0.0, batch_size=BATCH)
        engine = make_engine(config, SMALL_METHODS[name](), training_data(COUNT, CLASSES))
        engine.reset(0)
        engine.memory = engine.start_memory()
        return engine

    return make


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def inputs_of(engine: Any, rows: np.ndarray) -> np.ndarray:
    """The standardised images of some samples, flat."""
    images = engine.data.train_images[rows].astype(np.float64).reshape(len(rows), -1)
    centred = images - images.mean(axis=1, keepdims=True)
    return np.asarray(centred / centred.std(axis=1, keepdims=True))


def weights_of(engine: Any, kind: str = "network_1") -> list[np.ndarray]:
    """Kernel and bias of a linear network, or of its average."""
    state = engine.state()
    return [state[name] for name in sorted(state) if name.startswith(kind)]


def epoch(engine: Any, number: int = 0, slices: int = 1) -> dict[str, np.ndarray]:
    """Train an epoch, in so many calls; the sums of its steps."""
    engine.begin_epoch(0, number, 0.05)
    indices = batches(engine.data, engine.config, 0, number)
    schedule = engine.method.schedule(number, indices.shape[1], 0.25)
    parts, done = [], 0
    for part in np.array_split(indices, slices):
        parts.append(engine.train(part, schedule, first_step=done))
        done += len(part)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def test_learned_rows_go_down_their_gradient_and_stay_in_range(engine_of: Engines) -> None:
    engine = engine_of("learns-rows")
    rows = np.arange(BATCH, dtype=np.int32) * 3
    kernel, bias = weights_of(engine)
    offset, temperature = engine.memory["offset"].astype(np.float64), float(engine.memory["temperature"][0])
    labels = np.eye(CLASSES)[engine.data.train_labels[rows]]
    engine.begin_epoch(0, 0, 0.05)
    engine.train(rows[None], {"rate": RATE})
    logits = inputs_of(engine, rows) @ kernel + bias
    by_sum = (softmax(logits * temperature + offset[rows]) - labels) / BATCH
    expected = offset.copy()
    expected[rows] = np.clip(offset[rows] - RATE * by_sum, LOW, HIGH)
    np.testing.assert_allclose(engine.memory["offset"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        engine.memory["temperature"], [temperature - RATE * (by_sum * logits).sum()], rtol=1e-4, atol=1e-6
    )
    for number in range(12):
        epoch(engine, number)
    assert engine.memory["offset"].min() >= LOW
    assert engine.memory["offset"].max() <= HIGH


def test_in_a_pass_only_the_networks_that_learn_change(engine_of: Engines) -> None:
    engine = engine_of("takes-turns", "small-cnn")
    rows = np.arange(BATCH, dtype=np.int32)[None]
    for learns in ((True, False), (False, True)):
        before = engine.state()
        engine.begin_epoch(0, 0, 0.05)
        sums = engine.train(rows, {}, learns=learns)
        after = engine.state()
        for number, learning in enumerate(learns, 1):
            names = [n for n in before if n.startswith(f"network_{number}/") and "seed" not in n]
            changed = [not np.array_equal(before[name], after[name]) for name in names]
            assert all(changed) if learning else not any(changed)
        marks = ("", "_2")
        assert [float(sums[f"samples{mark}"][0]) for mark in marks] == [BATCH * learning for learning in learns]
        assert [float(sums[f"loss{mark}"][0]) > 0 for mark in marks] == list(learns)
    assert engine.memory["visited"].tolist() == [2] * BATCH + [0] * (COUNT - BATCH)


@pytest.mark.parametrize("name", ["averages", "decays"])
def test_an_average_follows_the_weights(name: str, engine_of: Engines) -> None:
    engine = engine_of(name)
    average = [values.astype(np.float64) for values in weights_of(engine)]
    for values, start in zip(weights_of(engine, "average_1"), average, strict=True):
        np.testing.assert_array_equal(values, start.astype(np.float32))
    for step in range(4):
        engine.begin_epoch(0, step, 0.05)
        schedule = engine.method.schedule(step, BATCH, 0.25)
        decay = DECAY * (step + 1) / 4 if name == "decays" else DECAY
        engine.train(np.arange(BATCH, dtype=np.int32)[None] + step, schedule)
        average = [decay * old + (1 - decay) * new for old, new in zip(average, weights_of(engine), strict=True)]
    for values, expected in zip(weights_of(engine, "average_1"), average, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)
    kernel, bias = weights_of(engine, "average_1")
    rows = np.arange(BATCH, dtype=np.int32)
    sums = engine.train(rows[None], schedule)
    said = np.argmax(inputs_of(engine, rows) @ kernel + bias, axis=1)
    assert sums["agreeing"][0] == np.sum(said == engine.data.train_labels[rows])


def test_networks_tested_together_are_evaluated_by_the_mean_of_their_logits(engine_of: Engines) -> None:
    engine = engine_of("together")
    epoch(engine)
    flat = engine.data.test_images.astype(np.float64).reshape(len(engine.data.test_labels), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    inputs, labels = centred / centred.std(axis=1, keepdims=True), engine.data.test_labels
    (kernel, bias), (other_kernel, other_bias) = (weights_of(engine, f"network_{number}/") for number in (1, 2))
    logits = [inputs @ kernel + bias, inputs @ other_kernel + other_bias]
    for values, made in zip([sum(logits) / 2, *logits], engine.evaluate(), strict=True):
        confusion = np.zeros((CLASSES, CLASSES), np.int64)
        np.add.at(confusion, (labels, values.argmax(axis=1)), 1)
        np.testing.assert_array_equal(made["confusion"], confusion)
        loss = -np.log(softmax(values)[np.arange(len(labels)), labels]).sum()
        np.testing.assert_allclose(made["loss"], loss, rtol=1e-4)


def test_a_step_sees_the_stage_of_its_pass(engine_of: Engines) -> None:
    rows, losses = np.arange(BATCH, dtype=np.int32)[None], {}
    for stage in ("", "double"):
        engine = engine_of("has-stages")
        engine.prepare(rows, {}, (True,), stage)
        engine.begin_epoch(0, 0, 0.05)
        losses[stage] = float(engine.train(rows, {}, 0, (True,), stage)["loss"][0])
    assert losses["double"] == pytest.approx(2 * losses[""], rel=1e-6)


def test_draws_are_of_the_step_and_not_of_the_call(engine_of: Engines) -> None:
    whole, parts = epoch(engine_of("mixes")), epoch(engine_of("mixes"), slices=3)
    np.testing.assert_array_equal(whole["share"], parts["share"])
    np.testing.assert_allclose(whole["loss"], parts["loss"], rtol=1e-6)
    assert len(set(whole["share"].tolist())) == len(whole["share"])
    again = epoch(engine_of("mixes"), number=1)
    assert not set(again["share"].tolist()) & set(whole["share"].tolist())


def test_images_and_labels_are_mixed_by_the_draws(engine_of: Engines) -> None:
    from datatools.seeding import stream

    engine = engine_of("mixes")
    kernel, bias = weights_of(engine)
    rows = batches(engine.data, engine.config, 0, 0)[0]
    engine.begin_epoch(0, 0, 0.05)
    sums = engine.train(rows[None], {})
    draw = engine.method.draw(np.random.Generator(stream(engine.config.seed, "draws", 0, 0, 0)), len(rows))
    share, partner = float(draw["share"]), draw["partner"]
    inputs, labels = inputs_of(engine, rows), engine.data.train_labels[rows]
    log_p = np.log(softmax((share * inputs + (1 - share) * inputs[partner]) @ kernel + bias))
    places = np.arange(len(rows))
    losses = -share * log_p[places, labels] - (1 - share) * log_p[places, labels[partner]]
    np.testing.assert_allclose(sums["loss"][0] / len(rows), losses.mean(), rtol=1e-5)


def test_predictions_of_the_training_set_are_by_sample(engine_of: Engines) -> None:
    engine = engine_of("looks-back")
    epoch(engine)
    kernel, bias = weights_of(engine)
    expected = softmax(inputs_of(engine, np.arange(COUNT)) @ kernel + bias)
    np.testing.assert_allclose(engine.predict(0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SMALL_METHODS)
def test_however_an_epoch_is_cut_and_resumed_it_ends_the_same(name: str, engine_of: Engines) -> None:
    if name in ("takes-turns", "has-stages"):
        pytest.skip("its epochs are passes, which the loop makes")
    whole, other = engine_of(name, "small-cnn"), engine_of(name, "small-cnn")
    epoch(whole)
    other.begin_epoch(0, 0, 0.05)
    indices = batches(other.data, other.config, 0, 0)
    schedule = other.method.schedule(0, indices.shape[1], 0.25)
    other.train(indices[:2], schedule)
    resumed = engine_of(name, "small-cnn")
    resumed.load_state(other.state())
    resumed.memory = other.memory
    resumed.go_on(0, 0)
    resumed.train(indices[2:], schedule, first_step=2)
    for name_of_value, values in {**whole.state(), **whole.memory}.items():
        found = {**resumed.state(), **resumed.memory}[name_of_value]
        np.testing.assert_array_equal(found, values, err_msg=name_of_value)


@pytest.mark.parametrize("hook", ["full_step", "step"])
def test_a_method_without_a_step_says_so(hook: str) -> None:
    with pytest.raises(NotImplementedError, match="Method"):
        Method().step(None, (), {}, {})


@pytest.mark.skipif(ENGINE == "jax", reason="it is this process")
def test_all_of_it_holds_on_jax() -> None:
    environment = {**os.environ, "TEST_ENGINE": "jax", "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
