"""The TensorFlow engine on a toy: what its results depend on, and what it says of itself."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import Any

import numpy as np
import pytest

from tests.support.toy_engine import (
    FIRST,
    METHODS,
    Engines,
    assert_same,
    config_of,
    held_out,
    start,
    state,
    tensorflow_engine,
    train_epoch,
    variables,
    weights,
)
from trainer.data import TrainingData
from trainer.engine import load_backend, quiet_stderr
from trainer.errors import TrainerError


@pytest.mark.parametrize("method", METHODS)
def test_the_same_run_gives_the_same_bits_again(method: str, engine_of: Engines) -> None:
    outcomes = []
    for _ in range(2):
        engine = engine_of(method)
        sums = [train_epoch(engine, 0, epoch) for epoch in range(3)]
        outcomes.append((sums, held_out(engine), state(engine)))
    assert outcomes[0][:2] == outcomes[1][:2]
    assert_same(outcomes[0][2], outcomes[1][2])


@pytest.mark.parametrize("network", ["small-cnn", "densenet-10-12"])
@pytest.mark.parametrize("slices", ["step by step", "in two"])
def test_how_an_epoch_is_sliced_makes_no_difference(network: str, slices: str, engine_of: Engines) -> None:
    outcomes = []
    for way in ("whole", slices):
        engine = engine_of("selfie", network)
        sums = [train_epoch(engine, 0, epoch, way) for epoch in range(2)]
        outcomes.append((sums, state(engine)))
    assert_same(outcomes[1][1], outcomes[0][1])
    assert outcomes[1][0] == outcomes[0][0]


@pytest.mark.parametrize("network", ["small-cnn", "densenet-10-12"])
def test_a_reset_engine_trains_as_a_new_one_does(network: str, engine_of: Engines, data: TrainingData) -> None:
    used = engine_of("selfie", network)
    train_epoch(used, 0, 0)
    start(used, run=1)
    new = tensorflow_engine(used.config, data)
    new.reset(1)
    for engine in (used, new):
        train_epoch(engine, 1, 0)
        train_epoch(engine, 1, 1)
    assert_same(state(used), state(new))


def test_a_new_engine_is_one_that_was_reset_to_its_first_run(engine_of: Engines, data: TrainingData) -> None:
    used = engine_of("selfie")
    train_epoch(used, 0, 0)
    start(used)
    new = tensorflow_engine(used.config, data)
    assert_same([v.numpy() for v in used.networks[0].variables], [v.numpy() for v in new.networks[0].variables])
    np.testing.assert_equal(used.memory, new.memory)


def test_each_run_and_each_seed_has_weights_of_its_own(engine_of: Engines, data: TrainingData) -> None:
    engine = engine_of()
    kernels = [weights(start(engine, run))[0].tobytes() for run in range(3)]
    kernels.append(weights(tensorflow_engine(dataclasses.replace(engine.config, seed=1), data))[0].tobytes())
    assert len(set(kernels)) == 4


def test_reset_forgets_the_optimizer_s_velocity(engine_of: Engines) -> None:
    engine = engine_of()
    train_epoch(engine, 0, 0)
    assert any(variable.numpy().any() for variable in engine.optimizers[0].variables)
    engine.reset(0)
    assert not any(variable.numpy().any() for variable in engine.optimizers[0].variables)


def test_reset_leaves_the_memory_to_its_owner(engine_of: Engines) -> None:
    engine = engine_of("selfie")
    train_epoch(engine, 0, 0)
    before = engine.memory
    engine.reset(1)
    np.testing.assert_equal(engine.memory, before)


def dropout_loss(engine: Any, run: int, epoch: int) -> float:
    """The loss of an epoch's first step. At learning rate 0 no weight moves, so that it depends on dropout alone."""
    engine.begin_epoch(run, epoch, 0.0)
    return float(engine.train(FIRST[None], {})["loss"][0])


def test_dropout_is_a_function_of_run_and_epoch_and_not_of_what_came_before(engine_of: Engines) -> None:
    engine = engine_of("default", "densenet-10-12")
    places = [(0, 0), (0, 1), (1, 0), (0, 2), (2, 0)]
    first = [dropout_loss(engine, *place) for place in places]
    assert len(set(first)) == len(places)
    assert [dropout_loss(engine, *place) for place in reversed(places)] == first[::-1]


def test_dropout_is_a_function_of_the_seed(engine_of: Engines, data: TrainingData) -> None:
    engine = engine_of("default", "densenet-10-12")
    other = tensorflow_engine(dataclasses.replace(engine.config, seed=1), data)
    for variable, value in zip(other.networks[0].trainable_variables, weights(engine), strict=True):
        variable.assign(value)
    assert dropout_loss(other, 0, 0) != dropout_loss(engine, 0, 0)


def test_dropout_differs_from_step_to_step(engine_of: Engines) -> None:
    engine = engine_of("default", "densenet-10-12")
    engine.begin_epoch(0, 0, 0.0)
    first_losses = {float(engine.train(FIRST[None], {})["loss"][0]) for _ in range(4)}
    assert len(first_losses) == 4


def test_dropout_layers_drop_different_features(engine_of: Engines) -> None:
    from trainer.engine.variables import dropout_seeds

    engine = engine_of("default", "densenet-10-12")
    engine.begin_epoch(0, 0, 0.0)
    seeds = [tuple(seed.state.numpy()) for seed in dropout_seeds(engine.networks[0])]
    assert len(set(seeds)) == len(seeds) == 10 - 4 + 2


def test_what_an_epoch_starts_from_can_be_carried_into_another_engine(engine_of: Engines, data: TrainingData) -> None:
    first = engine_of("selfie", "densenet-10-12")
    train_epoch(first, 0, 0)
    other = tensorflow_engine(first.config, data)
    for variable, source in zip(variables(other), variables(first), strict=True):
        if "seed" not in source.path:  # those of dropout follow from (seed, run, epoch)
            variable.assign(source.numpy())
    other.memory = first.memory
    assert train_epoch(other, 0, 1) == train_epoch(first, 0, 1)
    assert_same(state(other), state(first))


@pytest.mark.parametrize("method", METHODS)
def test_clean_labels_change_nothing_but_what_is_logged(method: str, engine_of: Engines, data: TrainingData) -> None:
    with_truth = engine_of(method)
    shifted = tensorflow_engine(
        with_truth.config, dataclasses.replace(data, clean_labels=(data.train_labels + 1) % data.num_classes)
    )
    without = tensorflow_engine(with_truth.config, dataclasses.replace(data, clean_labels=None))
    sums = []
    for engine in (with_truth, shifted, without):
        sums.append([train_epoch(engine, 0, epoch) for epoch in range(3)])
        assert_same(state(engine), state(with_truth))
    assert sums[1] != sums[0]
    for known, unknown in zip(sums[0], sums[2], strict=True):
        assert unknown == {key: known[key] for key in unknown}
        assert not {"clean_errors", "truly_clean", "clean_set_right", "refurbished_right"} & unknown.keys()


@pytest.mark.parametrize("method", METHODS)
def test_xla_which_a_gpu_runs_gives_the_plain_graph_s_results(method: str, tf: Any, data: TrainingData) -> None:
    outcomes = []
    for compile in (False, True):
        config = dataclasses.replace(config_of(method), batch_size=15)
        engine = tensorflow_engine(config, data, compile=compile)
        sums = [train_epoch(engine, 0, epoch) for epoch in range(2)]
        outcomes.append((sums, held_out(engine), weights(engine), engine.memory))
    plain, compiled = outcomes
    for one, other in zip([*plain[0], plain[1]], [*compiled[0], compiled[1]], strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    for one_value, other_value in zip(plain[2], compiled[2], strict=True):
        np.testing.assert_allclose(other_value, one_value, rtol=1e-3, atol=1e-4)
    for key, values in plain[3].items():
        np.testing.assert_allclose(compiled[3][key], values, rtol=1e-3, atol=1e-4, err_msg=key)


def test_the_engine_says_what_it_runs_on_and_how_large_its_network_is(engine_of: Engines) -> None:
    engine = engine_of()
    assert engine.on_cpu
    assert engine.device.startswith("CPU")
    assert engine.parameters() == sum(values.size for values in weights(engine))


# The framework


@pytest.mark.parametrize("engine", ["jax", "torch", "no_such_framework"])
def test_a_framework_other_than_the_loaded_one_is_refused_in_one_line(
    engine: str, tf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # and back to it afterwards
    with pytest.raises(TrainerError, match=engine) as error:
        load_backend(engine)
    assert "\n" not in str(error.value)


def test_chatter_of_a_framework_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"chatter")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_what_a_framework_said_before_it_failed_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(RuntimeError), quiet_stderr():
        os.write(2, b"the reason")
        raise RuntimeError
    assert "the reason" in capfd.readouterr().err
