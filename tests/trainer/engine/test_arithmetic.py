"""What only a GPU would stumble over, or do in other numbers, as far as a CPU can tell; TensorFlow's half of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.tiny import batches, run_config, tensorflow_engine, training_data
from trainer.config import PRECISIONS, RunConfig
from trainer.methods import METHODS
from trainer.networks.layers import batch_norm_over
from trainer.settings import VARIANTS

METHOD_VARIANTS = [(method, variant) for method in METHODS for variant in VARIANTS]
LAYOUTS = {"resident": None, "streamed": 1}
"""Where the images are, and the MiB they may take on the device for it."""
HISTORY = {"warm_up": 2, "history_length": 2}


def device_kernels(operation: str) -> set[Any]:
    """The dtypes for which TensorFlow has a kernel of `operation` on a device other than the CPU."""
    import tensorflow as tf
    from tensorflow.python.framework import kernels

    return {
        tf.as_dtype(number)
        for kernel in kernels.get_registered_kernels_for_op(operation).kernel
        if kernel.device_type in ("GPU", "DEFAULT")
        for constraint in kernel.constraint
        if constraint.name == "dtype"
        for number in constraint.allowed_values.list.type
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("method", "variant"), METHOD_VARIANTS)
def test_every_variable_can_live_on_a_gpu(method: str, variant: str, layout: str, tf: Any) -> None:
    data = training_data(400, size=32, depth=3)
    base = run_config(method, network="densenet-10-12", device_memory=LAYOUTS[layout])
    made = METHODS[method].from_settings(100, {}, variant)
    engine = tensorflow_engine(base, data, made)
    assert engine.streams == (layout == "streamed")
    keras_variables = [v for part in (*engine.networks, *engine.optimizers) for v in part.variables]
    variables = [*(variable.value for variable in keras_variables), *engine._memory.values()]
    assert len(variables) > 20
    known = device_kernels("VarHandleOp")
    assert {tf.float32, tf.int64} <= known, "the registry is read"
    assert tf.int32 not in known, "else this test could not fail"
    assert {variable.name: variable.dtype for variable in variables if variable.dtype not in known} == {}


@pytest.mark.parametrize("method", METHODS)
def test_memory_is_read_and_written_in_the_dtypes_of_the_method(method: str, tf: Any) -> None:
    engine = tensorflow_engine(run_config(method), training_data())
    expected = {key: (values.dtype, values.shape) for key, values in engine.start_memory().items()}
    for _ in range(2):
        assert {key: (values.dtype, values.shape) for key, values in engine.memory.items()} == expected
        engine.memory = engine.memory
        indices = batches(engine.data, engine.config, 0, 0)
        engine.begin_epoch(0, 0, 0.05)
        engine.train(indices, engine.method.schedule(0, indices.shape[1], 0.25))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_through_xla_an_epoch_is_one_program_however_it_is_cut(layout: str, tf: Any) -> None:
    data = training_data(400, size=32, depth=3)
    config = run_config(batch_size=100, device_memory=LAYOUTS[layout])
    engine = tensorflow_engine(config, data, compile=True)
    indices = batches(data, config, 0, 0)
    before = {key: values.copy() for key, values in {**engine.state(), **engine.memory}.items()}
    engine.begin_epoch(0, 0, 0.05)
    engine.prepare(indices, {})
    for key, values in {**engine.state(), **engine.memory}.items():
        if "learning_rate" not in key and "seed" not in key:
            np.testing.assert_array_equal(values, before[key], err_msg=f"{key}: preparing trains nothing")
    whole = engine.train(indices, {})
    state = engine.state()
    engine.reset(0)
    engine.memory = engine.start_memory()
    engine.begin_epoch(0, 0, 0.05)
    parts = [engine.train(indices[:1], {}), engine.train(indices[1:], {})]
    (program,) = engine._programs.values()
    assert program.epoch.experimental_get_tracing_count() == 1
    for key, values in whole.items():
        assert len(values) == len(indices)
        np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), values)
    for key, values in engine.state().items():
        np.testing.assert_array_equal(values, state[key], err_msg=key)


@pytest.fixture
def arithmetic(tf: Any) -> Iterator[Any]:
    """TensorFlow's switch for rounded products, put back afterwards."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    yield tf.config.experimental.tensor_float_32_execution_enabled
    tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_rounded_where_tf32_is_asked_for_and_nowhere_else(precision: str, arithmetic: Any) -> None:
    engine = tensorflow_engine(run_config(precision=precision), training_data())
    assert arithmetic() == (precision == "tf32")
    (notice,) = engine.notices or ("",)
    assert ("a CPU computes in float32" in notice) == (precision == "tf32")


def test_deterministic_operations_are_asked_for_on_a_gpu_alone(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.engine import tensorflow as module

    asked: list[bool] = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    for deterministic, on_cpu in ((False, False), (False, True), (True, True), (True, False)):
        module._set_arithmetic(run_config(deterministic=deterministic), on_cpu)
    assert asked == [True]


@pytest.mark.parametrize(
    ("deterministic", "on_cpu", "reproducible"), [(False, True, True), (True, False, True), (False, False, False)]
)
def test_a_run_is_reproducible_on_a_cpu_and_where_it_is_asked_for(
    deterministic: bool, on_cpu: bool, reproducible: bool, tf: Any
) -> None:
    engine = tensorflow_engine(run_config(deterministic=deterministic), training_data())
    engine.on_cpu = on_cpu
    assert engine.reproducible is reproducible


# Momentum


def accumulated(gradients: list[np.ndarray], rates: list[float], start: np.ndarray, momentum: float) -> np.ndarray:
    """Nesterov's momentum in TensorFlow 1's form: past gradients are summed, and the rate is that of the step."""
    value, sum_ = start.astype(np.float64), np.zeros_like(start, np.float64)
    for gradient, rate in zip(gradients, rates, strict=True):
        sum_ = momentum * sum_ + gradient
        value = value - rate * (gradient + momentum * sum_)
    return value


def in_velocity_form(config: RunConfig, gradients: list[np.ndarray], start: np.ndarray, keras: Any) -> np.ndarray:
    """The same gradients, three an epoch, through Keras' optimizer as the engines drive it."""
    variable = keras.Variable(start)
    optimizer = keras.optimizers.SGD(config.learning_rate, momentum=config.momentum, nesterov=True)
    optimizer.build([variable])
    for step, gradient in enumerate(gradients):
        epoch = step // 3
        if step % 3 == 0:
            optimizer.learning_rate.assign(config.learning_rate_at(epoch))
            for velocity in optimizer.momentums:
                velocity.assign(config.velocity_factor_at(epoch) * velocity)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return np.asarray(variable)


def test_accumulator_momentum_is_tensorflow_1_s_across_drops_of_the_learning_rate(keras: Any) -> None:
    config = run_config(momentum_form="accumulator", drop_epochs=(1, 3), epochs=4)
    random = np.random.default_rng(0)
    gradients = [random.normal(size=5).astype(np.float32) for _ in range(12)]
    start = random.normal(size=5).astype(np.float32)
    rates = [config.learning_rate_at(step // 3) for step in range(12)]
    expected = accumulated(gradients, rates, start, config.momentum)
    np.testing.assert_allclose(in_velocity_form(config, gradients, start, keras), expected, rtol=1e-5, atol=1e-6)
    kept = in_velocity_form(dataclasses.replace(config, momentum_form="velocity"), gradients, start, keras)
    assert np.abs(kept - expected).max() > 1e-3, "the two forms differ after a drop"


@pytest.mark.parametrize(("form", "factor"), [("velocity", 1.0), ("accumulator", 0.2)])
def test_the_engine_carries_velocities_over_a_drop_in_the_form_asked_for(form: str, factor: float, tf: Any) -> None:
    config = run_config(momentum_form=form, drop_epochs=(1,), epochs=2)
    engine = tensorflow_engine(config, training_data())
    engine.begin_epoch(0, 0, config.learning_rate_at(0))
    engine.train(batches(engine.data, config, 0, 0), {})
    before = [velocity.numpy() for velocity in engine.optimizers[0].momentums]
    engine.begin_epoch(0, 1, config.learning_rate_at(1))
    for old, velocity in zip(before, engine.optimizers[0].momentums, strict=True):
        np.testing.assert_allclose(velocity.numpy(), factor * old, rtol=1e-6)


# The second pass


def without_dropout(engine: Any) -> Any:
    for layer in engine.networks[0].layers:
        if type(layer).__name__ == "Dropout":
            layer.rate = 0.0
    return engine


def test_a_second_pass_trains_on_the_chosen_samples_as_on_a_mini_batch_of_their_own(tf: Any) -> None:
    data = training_data(60, 8, 3)
    settings = {**HISTORY, "passes": 2, "restarts": 0}
    config = run_config("selfie", "densenet-10-12", batch_size=20, method_settings=settings)
    engine = without_dropout(tensorflow_engine(config, data))
    network, batch = engine.networks[0], np.arange(20, dtype=np.int32)
    engine.begin_epoch(0, 2, 0.05)
    names = [name for name in engine.state() if "moving" in name]
    before = engine.state()
    sums = engine.train(batch[None], engine.method.schedule(2, 20, 0.25))
    after = engine.state()
    # by hand: the 15 of smallest loss, in a mini-batch of their own
    from trainer.engine.step import standardise

    engine.load_state(before)
    images = standardise(data.train_images[batch])
    logits = np.asarray(network(images, training=True), np.float64)
    engine.load_state(before)
    clean = np.argsort(cross_entropies(logits, data.train_labels[batch]))[:15]
    alone = np.asarray(network(tf.gather(images, np.sort(clean)), training=True), np.float64)
    expected = cross_entropies(alone, data.train_labels[np.sort(clean)]).mean()
    assert sums["clean_set"] == 15
    assert sums["loss"][0] / 20 == pytest.approx(expected, rel=1e-5)
    moved = engine.state()
    for name in names:
        np.testing.assert_allclose(after[name], moved[name], rtol=1e-5, atol=1e-6, err_msg=name)
        assert not np.array_equal(after[name], before[name])
    # the prediction recorded is the first pass's
    np.testing.assert_array_equal(engine.memory["last_prediction"][batch], logits.argmax(axis=1))


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(B,) float64."""
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels]


def test_a_second_pass_over_all_samples_is_the_first_but_for_rounding(tf: Any) -> None:
    outcomes = []
    for passes in (1, 2):
        settings = {**HISTORY, "passes": passes, "restarts": 0}
        config = run_config("selfie", "small-cnn", batch_size=20, method_settings=settings)
        engine = without_dropout(tensorflow_engine(config, training_data()))
        engine.begin_epoch(0, 0, 0.05)
        sums = engine.train(batches(engine.data, config, 0, 0), engine.method.schedule(0, 20, 0.25))
        outcomes.append((sums, engine.state()))
    (one, first), (two, second) = outcomes
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=2e-3, atol=1e-4, err_msg=name)


def test_outside_the_block_batch_norm_sees_all_samples_again(tf: Any) -> None:
    network = tensorflow_engine(run_config(), training_data()).networks[0]
    images = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype(np.float32)
    without_dropout_rate(network)
    plain = np.asarray(network(images, training=True))
    with batch_norm_over(tf.constant([True] * 3 + [False] * 3)):
        masked = np.asarray(network(images, training=True))
    assert np.abs(masked - plain).max() > 1e-3
    np.testing.assert_array_equal(np.asarray(network(images, training=True)), plain)


def without_dropout_rate(network: Any) -> None:
    for layer in network.layers:
        if type(layer).__name__ == "Dropout":
            layer.rate = 0.0
