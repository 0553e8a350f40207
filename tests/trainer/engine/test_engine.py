"""The TensorFlow engine on a toy: what its results hang on, what it remembers, and what it counts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.support.tiny import batches, run_config, training_data
from tests.support.tiny import tensorflow_engine as engine_with_dropout
from trainer.config import RunConfig
from trainer.data import TrainingData
from trainer.engine import load_backend, quiet_stderr
from trainer.errors import TrainerError
from trainer.methods.base import Method, Step, cross_entropy, keep_count
from trainer.methods.default import Default
from trainer.metrics import totals

METHODS = ("default", "active-bias", "co-teaching", "selfie")
SELFIE = {"warm_up": 1, "history_length": 1}
BATCH = 8
"""60 samples in mini-batches of at most 8 are eight of 8, and four samples come twice."""
FIRST = np.arange(10, dtype=np.int32)
"""A mini-batch of the first ten samples."""

SLICES: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "whole": lambda indices: [indices],
    "step by step": lambda indices: list(indices[:, None]),
    "in two": lambda indices: [indices[:1], indices[1:]],
}

Engines = Callable[..., Any]


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return training_data()


def config_of(method: str, batch_size: int = BATCH, **settings: Any) -> RunConfig:
    own = SELFIE if method == "selfie" else {}
    return run_config(method, batch_size=batch_size, method_settings=own, **settings)


def tensorflow_engine(
    config: RunConfig, data: TrainingData, method: Method | None = None, compile: bool | None = False
) -> Any:
    """The engine, with dropout in the DenseNets alone: what one step does is checked on the small network without."""
    engine = engine_with_dropout(config, data, method, compile)
    if config.network == "small-cnn":
        for layer in (layer for network in engine.networks for layer in network.layers):
            if type(layer).__name__ == "Dropout":
                layer.rate = 0.0
    return engine


@pytest.fixture(scope="module")
def engine_of(tf: Any, data: TrainingData) -> Engines:
    """The engine for a method and a network as a run finds it; it is traced once and then started afresh."""
    made: dict[tuple[str, str, int], Any] = {}

    def get(method: str = "default", network: str = "small-cnn", batch_size: int = BATCH) -> Any:
        key = method, network, batch_size
        if key not in made:
            made[key] = tensorflow_engine(config_of(method, batch_size, network=network), data)
        return start(made[key])

    return get


def start(engine: Any, run: int = 0) -> Any:
    """The engine at the start of a run, with nothing remembered."""
    engine.reset(run)
    engine.memory = engine.start_memory()
    return engine


def train_epoch(engine: Any, run: int, epoch: int, slices: str = "whole") -> dict[str, float]:
    """An epoch's training; its sums."""
    config = engine.config
    engine.begin_epoch(run, epoch, config.learning_rate_at(epoch))
    indices = batches(engine.data, config, run, epoch)
    schedule = engine.method.schedule(epoch, indices.shape[1], config.noise_rate)
    parts = [engine.train(part, schedule) for part in SLICES[slices](indices)]
    return {key: float(np.sum(values, dtype=np.float64)) for key, values in totals(parts).items()}


def train_step(engine: Any, indices: np.ndarray, epoch: int = 0, learning_rate: float = 0.05) -> dict[str, float]:
    """One mini-batch; its sums."""
    engine.begin_epoch(0, epoch, learning_rate)
    sums = engine.train(indices[None], engine.method.schedule(epoch, len(indices), engine.config.noise_rate))
    return {key: float(value) for key, (value,) in sums.items()}


def held_out(engine: Any, network: int = 0) -> dict[str, float]:
    """What the engine finds on the test split."""
    found = engine.evaluate()[network]
    confusion = found["confusion"]
    return {"samples": confusion.sum(), "loss": found["loss"], "errors": confusion.sum() - np.trace(confusion)}


def weights(engine: Any, network: int = 0) -> list[np.ndarray]:
    return [variable.numpy() for variable in engine.networks[network].trainable_variables]


def variables(engine: Any) -> list[Any]:
    """All that training changes on the device, beside the memory: weights, statistics, seeds, velocities."""
    return [v for part in (*engine.networks, *engine.optimizers) for v in part.variables]


def state(engine: Any) -> list[np.ndarray]:
    """All that training changes."""
    return [*(variable.numpy() for variable in variables(engine)), *engine.memory.values()]


def assert_same(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Bit for bit; not-a-number equals itself."""
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(one, other, err_msg=f"value {number}")


def images(engine: Any, indices: np.ndarray) -> Any:
    from trainer.engine.step import standardise

    return standardise(engine.data.train_images[indices])


def losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(B,) cross-entropy in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.log(np.exp(wide).sum(axis=1)) - wide[np.arange(len(labels)), labels]


# What results hang on


@pytest.mark.parametrize("method", METHODS)
def test_the_same_run_gives_the_same_bits_again(method: str, engine_of: Engines) -> None:
    found = []
    for _ in range(2):
        engine = engine_of(method)
        sums = [train_epoch(engine, 0, epoch) for epoch in range(3)]
        found.append((sums, held_out(engine), state(engine)))
    assert found[0][:2] == found[1][:2]
    assert_same(found[0][2], found[1][2])


@pytest.mark.parametrize("network", ["small-cnn", "densenet-10-12"])
@pytest.mark.parametrize("slices", ["step by step", "in two"])
def test_how_an_epoch_is_sliced_makes_no_difference(network: str, slices: str, engine_of: Engines) -> None:
    found = []
    for way in ("whole", slices):
        engine = engine_of("selfie", network)
        sums = [train_epoch(engine, 0, epoch, way) for epoch in range(2)]
        found.append((sums, state(engine)))
    assert_same(found[1][1], found[0][1])
    assert found[1][0] == found[0][0]


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
    """The loss of an epoch's first step. At learning rate 0 no weight moves, so that it hangs on dropout alone."""
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
    found = {float(engine.train(FIRST[None], {})["loss"][0]) for _ in range(4)}
    assert len(found) == 4


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
    found = []
    for compile in (False, True):
        config = dataclasses.replace(config_of(method), batch_size=15)
        engine = tensorflow_engine(config, data, compile=compile)
        sums = [train_epoch(engine, 0, epoch) for epoch in range(2)]
        found.append((sums, held_out(engine), weights(engine), engine.memory))
    plain, compiled = found
    for one, other in zip([*plain[0], plain[1]], [*compiled[0], compiled[1]], strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    for one_value, other_value in zip(plain[2], compiled[2], strict=True):
        np.testing.assert_allclose(other_value, one_value, rtol=1e-3, atol=1e-4)
    for key, values in plain[3].items():
        np.testing.assert_allclose(compiled[3][key], values, rtol=1e-3, atol=1e-4, err_msg=key)


# The step


def test_a_step_follows_the_gradient_of_the_loss_and_of_the_weight_decay(engine_of: Engines, tf: Any) -> None:
    engine = engine_of()
    network, config = engine.networks[0], engine.config
    before = weights(engine)
    with tf.GradientTape() as tape:
        logits = network(images(engine, FIRST), training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(engine.data.train_labels[FIRST], logits))
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    train_step(engine, FIRST, learning_rate=0.1)
    for old, gradient, new in zip(before, gradients, weights(engine), strict=True):
        whole = gradient.numpy() + config.weight_decay * old
        np.testing.assert_allclose(new, old - 0.1 * (1 + config.momentum) * whole, rtol=1e-4, atol=1e-6)


def test_a_dropped_learning_rate_shortens_the_step(engine_of: Engines) -> None:
    config = engine_of().config
    assert config.learning_rate_at(2) == pytest.approx(config.learning_rate / 5)
    moves = []
    for epoch in (0, 2):
        engine = engine_of()
        before = weights(engine)
        train_step(engine, FIRST, learning_rate=config.learning_rate_at(epoch))
        moves.append(np.concatenate([(n - o).ravel() for n, o in zip(weights(engine), before, strict=True)]))
    np.testing.assert_allclose(moves[0], 5 * moves[1], rtol=1e-3, atol=1e-6)


@dataclass(frozen=True)
class FirstOfTwo(Default):
    """Two networks; the first learns as Default does, the second is told nothing."""

    num_networks: ClassVar[int] = 2

    def step(self, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: dict[str, Any]) -> Step:
        first, second = logits
        own = super().step(labels, (first,), rows, schedule)
        return Step(losses=(*own.losses, 0.0 * second[0, 0]), rows=rows)


def test_of_two_networks_each_follows_its_own_loss(engine_of: Engines, data: TrainingData) -> None:
    alone = engine_of()
    pair = tensorflow_engine(alone.config, data, FirstOfTwo())
    second = weights(pair, 1)
    assert not np.array_equal(second[0], weights(pair, 0)[0]), "two networks, two initial values"
    for engine in (alone, pair):
        train_step(engine, FIRST, learning_rate=0.1)
    assert_same(weights(pair, 0), weights(alone))
    left = 1 - 0.1 * (1 + pair.config.momentum) * pair.config.weight_decay
    for new, old in zip(weights(pair, 1), second, strict=True):
        np.testing.assert_allclose(new, old * left, rtol=1e-6)


@dataclass(frozen=True)
class Curious(Default):
    """Keeps, as its memory, what it is told."""

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        return {"label": np.full(num_samples, -1, np.int32), "steps": np.zeros((num_samples, 2), np.float32)}

    def schedule(self, epoch: int, batch_size: int, noise_rate: float) -> dict[str, float]:
        return {"by": noise_rate}

    def step(self, labels: Any, logits: tuple[Any, ...], rows: dict[str, Any], schedule: dict[str, Any]) -> Step:
        assert rows.keys() == {"label", "steps"}
        loss = cross_entropy(labels, logits[0])
        return Step(losses=(loss[0],), rows={"label": labels, "steps": rows["steps"] + schedule["by"]})


def test_a_method_is_given_the_given_labels_and_its_own_rows_and_they_are_written_back(
    tf: Any, data: TrainingData
) -> None:
    engine = tensorflow_engine(run_config(), data, Curious())
    indices = np.array([7, 3, 59, 20], np.int32)
    engine.train(np.stack([indices, indices[::-1]]), {"by": 0.25})
    expected = Curious().memory(60, 3)
    expected["label"][indices] = data.train_labels[indices]
    expected["steps"][indices] = 0.5
    np.testing.assert_equal({key: engine.memory[key] for key in expected}, expected)
    assert (data.train_labels != data.clean_labels)[indices].any(), "one of the labels could tell"


# The memory


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_samples_that_were_not_drawn_stay_as_they_are(method: str, engine_of: Engines) -> None:
    engine = engine_of(method)
    train_epoch(engine, 0, 0)
    before = engine.memory
    train_step(engine, FIRST)
    after = engine.memory
    for key, values in before.items():
        np.testing.assert_array_equal(after[key][10:], values[10:], err_msg=key)
    assert (after["last_loss"][FIRST] != before["last_loss"][FIRST]).all()


@pytest.mark.parametrize("method", METHODS)
def test_last_loss_and_prediction_are_those_of_the_forward_pass_of_training(method: str, engine_of: Engines) -> None:
    engine = engine_of(method)
    for epoch in range(2):
        train_epoch(engine, 0, epoch)
    indices = np.array([30, 2, 45, 11, 12, 59, 0], np.int32)
    labels = engine.data.train_labels[indices]
    # batch norm in training mode looks at this mini-batch alone, so its moving statistics do not matter
    logits = engine.networks[0](images(engine, indices), training=True).numpy()
    train_step(engine, indices, epoch=2)
    np.testing.assert_allclose(engine.memory["last_loss"][indices], losses(logits, labels), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(engine.memory["last_prediction"][indices], logits.argmax(axis=1))


def test_memory_that_is_assigned_is_read_back(engine_of: Engines) -> None:
    engine = engine_of("selfie")
    random = np.random.default_rng(0)
    values = {key: random.integers(0, 3, value.shape).astype(value.dtype) for key, value in engine.memory.items()}
    engine.memory = values
    np.testing.assert_equal(engine.memory, values)


# The counts


@pytest.mark.parametrize("method", METHODS)
def test_an_epoch_s_sums_are_those_of_its_samples(method: str, engine_of: Engines, data: TrainingData) -> None:
    engine = engine_of(method, batch_size=10)
    for epoch in range(3):
        sums = train_epoch(engine, 0, epoch)
        # 60 samples are six whole mini-batches: each is drawn once, so the last prediction is the one that was counted
        predicted = engine.memory["last_prediction"]
        assert sums["samples"] == 60
        assert sums["errors"] == np.sum(predicted != data.train_labels)
        assert sums["clean_errors"] == np.sum(predicted != data.clean_labels)
        assert sums["truly_clean"] == np.sum(data.train_labels == data.clean_labels) == 45
        if method == "default":
            assert sums["loss"] == pytest.approx(float(engine.memory["last_loss"].sum()), rel=1e-5)


@pytest.mark.parametrize("method", ["default", "co-teaching"])
def test_what_a_run_remembers_of_a_sample_is_the_mean_over_its_visits(method: str, engine_of: Engines) -> None:
    engine = engine_of(method)
    seen = np.array([5, 1, 7, 3], np.int32)
    found_losses, found_probabilities = [], []
    for _ in range(5):
        logits = np.asarray(engine.networks[0](images(engine, seen), training=True), np.float64)
        train_step(engine, seen)
        found_losses.append(losses(logits, engine.data.train_labels[seen]))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found_probabilities.append(powers / powers.sum(axis=1, keepdims=True))
    memory = engine.memory
    assert memory["visits"][seen].tolist() == [5] * 4
    assert memory["visits"].sum() == 20
    np.testing.assert_allclose(memory["mean_loss"][seen], np.mean(found_losses, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        memory["mean_probability"][seen], np.mean(found_probabilities, axis=0), rtol=1e-5, atol=1e-6
    )
    assert not memory["mean_probability"][0].any()


def test_selfie_s_sums_are_those_of_its_memory(engine_of: Engines, data: TrainingData) -> None:
    engine = engine_of("selfie", batch_size=10)
    warm_up = train_epoch(engine, 0, 0)
    assert warm_up["refurbishable"] == warm_up["refurbished"] == warm_up["clean_set"] == 0
    for epoch in (1, 2):
        sums = train_epoch(engine, 0, epoch)
        refurbished = engine.memory["refurbished_label"]
        assert sums["refurbishable"] == np.sum(engine.memory["uncertainty"] <= 0.05) > 0
        assert sums["refurbished"] == np.sum(refurbished >= 0)
        assert sums["refurbished_right"] == np.sum(refurbished == data.clean_labels)
        assert sums["clean_set"] == 6 * keep_count(0.75, 10)


def test_the_clean_set_counted_is_that_of_smallest_loss(engine_of: Engines, data: TrainingData) -> None:
    engine = engine_of("selfie")
    train_epoch(engine, 0, 0)
    sums = train_step(engine, FIRST, epoch=1)
    clean = FIRST[np.argsort(engine.memory["last_loss"][FIRST])[: keep_count(0.75, 10)]]
    assert data.clean_labels is not None
    right = data.train_labels[clean] == data.clean_labels[clean]
    assert (sums["clean_set"], sums["clean_set_right"]) == (8, right.sum())


@pytest.mark.parametrize("test_batch", [500, 7])
def test_evaluate_sums_over_the_test_split(
    test_batch: int, engine_of: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trainer.engine.base as module
    from trainer.engine.step import standardise

    engine = engine_of()
    train_epoch(engine, 0, 0)
    monkeypatch.setattr(module, "EVALUATION_BATCH", test_batch)
    logits = engine.networks[0](standardise(engine.data.test_images), training=False).numpy()
    sums = held_out(engine)
    assert sums["samples"] == 30
    assert sums["errors"] == np.sum(logits.argmax(axis=1) != engine.data.test_labels)
    assert sums["loss"] == pytest.approx(losses(logits, engine.data.test_labels).sum(), rel=1e-5)


def test_evaluate_changes_nothing(engine_of: Engines) -> None:
    engine = engine_of("selfie", "densenet-10-12")
    train_epoch(engine, 0, 0)
    before = state(engine)
    assert held_out(engine) == held_out(engine)
    assert_same(state(engine), before)


def test_the_toy_can_be_learnt_from_clean_labels(tf: Any, data: TrainingData) -> None:
    assert data.clean_labels is not None
    engine = tensorflow_engine(config_of("default"), dataclasses.replace(data, train_labels=data.clean_labels))
    for _ in range(8):
        sums = train_epoch(engine, 0, 2)
    # guessing gets 40 of 60 and 20 of 30 wrong
    assert sums["errors"] <= 3
    assert held_out(engine)["errors"] <= 3


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
