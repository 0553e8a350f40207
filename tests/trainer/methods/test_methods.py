"""The contract that every method of the registry keeps, and the parts that methods share."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.support.contract import rows_of, step_of
from trainer.engine.step import suffix
from trainer.methods import METHODS
from trainer.methods.base import WARM_UP, Method, Step, keep_count, smallest
from trainer.methods.default import Default
from trainer.metrics import EVALUATION, PROGRESS, TRAINING
from trainer.settings import VARIANTS, settings_of

EPOCHS = 12
SAMPLES, BATCH, CLASSES = 11, 6, 4


@pytest.fixture(params=[(name, variant) for name in METHODS for variant in VARIANTS], ids="-".join)
def method(request: pytest.FixtureRequest) -> Method:
    name, variant = request.param
    return METHODS[name].from_settings(EPOCHS, {}, variant)


def mini_batch(method: Method) -> tuple[np.ndarray, tuple[np.ndarray, ...], dict[str, np.ndarray]]:
    """Labels, logits and memory rows of a mini-batch whose samples have been seen in a few epochs before."""
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, BATCH).astype(np.int32)
    rows = rows_of(method, method.memory(SAMPLES, CLASSES), slice(BATCH))
    settled = random.normal(size=(BATCH, CLASSES))
    for _ in range(EPOCHS // 2):
        # half of the samples are predicted alike each time, the others are not
        other = random.normal(size=(method.num_networks, BATCH, CLASSES))
        other[:, : BATCH // 2] = settled[: BATCH // 2]
        logits = tuple(other.astype(np.float32))
        step = step_of(method, labels, logits, rows, schedule(method, 0))
        rows |= {key: np.array(row) for key, row in step.rows.items()}
    return labels, logits, rows


def schedule(method: Method, epoch: int) -> dict[str, np.float32]:
    return {key: np.float32(value) for key, value in method.schedule(epoch, BATCH, 0.3).items()}


def values(step: Step) -> dict[str, Any]:
    """Everything in a Step that is there, by name."""
    found = {f"loss {number}": loss for number, loss in enumerate(step.losses)}
    found |= {f"row {key}": rows for key, rows in step.rows.items()}
    found |= {f"clean set {number}": clean_set for number, clean_set in enumerate(step.clean_sets)}
    found |= {f"tally {name}": tally for name, tally in step.tallies.items()}
    return found | {f"labels {name}": labels for name, labels in step.labels.items()}


def test_the_registry_has_selfie_and_its_comparison_first() -> None:
    assert list(METHODS) == [
        "default",
        "active-bias",
        "co-teaching",
        "selfie",
        "label-smoothing",
        "bootstrapping",
        "gce",
        "sce",
        "apl",
        "elr",
        "co-teaching-plus",
        "jocor",
        "forward",
        "mixup",
        "sop",
        "elr-plus",
        "dividemix",
    ]


def test_the_registry_names_each_method_by_its_name(method: Method) -> None:
    assert METHODS[method.name] is type(method)
    assert method.title
    assert method.paper


def test_memory_has_a_row_for_each_sample(method: Method) -> None:
    memory = method.memory(SAMPLES, CLASSES)
    lengths = {key: len(array) for key, array in memory.items() if key not in method.shared}
    assert lengths == dict.fromkeys(lengths, SAMPLES)
    assert set(method.shared) <= memory.keys()


def test_schedule_has_the_same_keys_in_every_epoch_batch_size_and_noise_rate(method: Method) -> None:
    keys = method.schedule(0, BATCH, 0.3).keys()
    for epoch in range(EPOCHS):
        for batch_size, noise_rate in ((1, 0.0), (BATCH, 0.3), (128, 0.99)):
            found = method.schedule(epoch, batch_size, noise_rate)
            assert found.keys() == keys
            assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("epoch", [0, EPOCHS - 1])
def test_a_step_gives_a_finite_scalar_loss_for_each_network(method: Method, epoch: int, tf: Any) -> None:
    labels, logits, rows = mini_batch(method)
    step = step_of(method, labels, logits, rows, schedule(method, epoch))
    assert len(step.losses) == method.num_networks
    for loss in step.losses:
        assert np.shape(loss) == ()
        assert np.isfinite(loss)


@pytest.mark.parametrize("epoch", [0, EPOCHS - 1])
def test_a_step_gives_back_rows_of_the_memory_s_shape_and_type(method: Method, epoch: int, tf: Any) -> None:
    labels, logits, rows = mini_batch(method)
    found = step_of(method, labels, logits, rows, schedule(method, epoch)).rows
    assert {k: (np.shape(v), np.asarray(v).dtype) for k, v in found.items()} == {
        k: (v.shape, v.dtype) for k, v in rows.items() if k in found and k not in method.shared
    }
    if type(method).epoch_end is Method.epoch_end:
        assert found.keys() == rows.keys() - set(method.shared), "what no step changes would stay for ever"


@pytest.mark.parametrize("epoch", [0, EPOCHS - 1])
def test_a_step_tells_what_the_method_s_metrics_are_made_of(method: Method, epoch: int, tf: Any) -> None:
    labels, logits, rows = mini_batch(method)
    step = step_of(method, labels, logits, rows, schedule(method, epoch))
    chooses = any(metric.part == "clean_set_right" for metric in method.metrics)
    assert len(step.clean_sets) == (method.num_networks if chooses else 0)
    marks = [suffix(number) for number in range(method.num_networks)]
    parts = {m.part + mark for m in method.metrics for mark in (marks if m.each_network else [""])}
    own = parts - {f"clean_set_right{mark}" for mark in marks}
    told = {*step.tallies, *step.labels, *(f"{name}_right" for name in step.labels)}
    assert own <= told, "a metric is made of what steps tell"
    assert {*step.tallies, *step.labels} <= own, "what steps tell is a metric"
    for mask in (*step.clean_sets, *step.tallies.values()):
        assert np.asarray(mask).dtype in (np.bool_, np.float32)
        assert np.shape(mask) == (BATCH,)
    for replacing in step.labels.values():
        assert np.asarray(replacing).dtype == np.int32
        assert np.shape(replacing) == (BATCH,)


def test_a_method_s_metrics_are_fit_to_be_shown(method: Method) -> None:
    for metric in method.metrics:
        assert re.fullmatch(r"[a-z][a-z_]*", metric.key)
        assert metric.title
        assert metric.unit in ("share", "count", "nats")
        assert "/" in metric.tag
        assert metric.needs_clean == metric.part.endswith("_right"), "what is right is counted by the clean labels"
        assert (metric.unit == "count") == (not metric.whole)
        assert metric.line.format(0.5 if metric.whole else 5) or not metric.line
    keys = [metric.key for metric in (*TRAINING, *EVALUATION, *PROGRESS, *method.metrics)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("epoch", [0, EPOCHS - 1])
def test_a_step_is_pure(method: Method, epoch: int, tf: Any) -> None:
    labels, logits, rows = mini_batch(method)
    before = copy.deepcopy((labels, logits, rows))
    steps = [values(step_of(method, labels, logits, rows, schedule(method, epoch))) for _ in range(2)]
    first, second = ({key: np.asarray(value) for key, value in step.items()} for step in steps)
    np.testing.assert_equal(second, first)
    np.testing.assert_equal((labels, logits, rows), before)


@pytest.mark.parametrize("compile", [False, True], ids=["graph", "xla"])
def test_a_step_in_a_compiled_function_gives_what_it_gives_outside(method: Method, compile: bool, tf: Any) -> None:
    labels, logits, rows = mini_batch(method)
    eager = values(step_of(method, labels, logits, rows, schedule(method, EPOCHS - 1)))
    compiled = tf.function(lambda *arguments: values(step_of(method, *arguments)), jit_compile=compile)
    tensors = tf.nest.map_structure(tf.constant, (labels, logits, rows, schedule(method, EPOCHS - 1)))
    found = {key: value.numpy() for key, value in compiled(*tensors).items()}
    assert found.keys() == eager.keys()
    for key, value in eager.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6, err_msg=key)


def test_restart_keeps_the_memory_s_form_and_never_raises_the_noise_rate(method: Method) -> None:
    memory = method.memory(SAMPLES, CLASSES)
    fresh, noise_rate = method.restart(memory, 0.3)
    assert 0 <= noise_rate <= 0.3
    assert {k: (v.shape, v.dtype) for k, v in fresh.items()} == {k: (v.shape, v.dtype) for k, v in memory.items()}


def test_a_method_has_at_least_one_run(method: Method) -> None:
    assert method.num_runs >= 1


def test_every_field_of_a_method_is_a_setting_with_a_source(method: Method) -> None:
    settings = settings_of(type(method))
    assert [field.name for field in dataclasses.fields(method)] == [*settings]
    assert all(setting.help.endswith(".") and setting.source for setting in settings.values())


def test_default_is_the_mean_cross_entropy_of_the_given_labels(tf: Any) -> None:
    labels, (logits,), rows = mini_batch(Default())
    step = Default().step(labels, (logits,), rows, {})
    wide = logits.astype(np.float64)
    log_p = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(float(step.losses[0]), -log_p[np.arange(BATCH), labels].mean(), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_default_s_loss_and_gradient_stay_finite_for_huge_logits(tf: Any, scale: float) -> None:
    logits = tf.constant([[scale, -scale, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        (loss,) = Default().step(tf.constant([1]), (logits,), {}, {}).losses
    assert float(loss) == 2 * scale
    assert tape.gradient(loss, logits).numpy().tolist() == [[1.0, -1.0, 0.0]]


@pytest.mark.parametrize(
    ("numbers", "count", "expected"),
    [
        ([3.0, 1.0, 2.0], 2, [False, True, True]),
        ([1.0, 1.0, 1.0, 1.0], 2, [True, True, False, False]),
        ([2.0, 1.0, 2.0, 2.0, 0.0], 3, [True, True, False, False, True]),
        ([0.0, -0.0, np.inf, np.inf], 3, [True, True, True, False]),
        ([5.0, 4.0], 0, [False, False]),
        ([5.0, 4.0], 2, [True, True]),
    ],
)
@pytest.mark.parametrize("compile", [False, True], ids=["graph", "xla"])
def test_smallest_takes_so_many_and_of_equal_ones_the_first(
    tf: Any, numbers: list[float], count: int, expected: list[bool], compile: bool
) -> None:
    found = tf.function(smallest, jit_compile=compile)(tf.constant(numbers, tf.float32), tf.constant(float(count)))
    assert found.numpy().tolist() == expected


def test_smallest_takes_the_first_of_many_equal_ones(tf: Any) -> None:
    # a sort that is stable by luck on a handful is not on many
    numbers = np.random.default_rng(0).integers(0, 4, 128).astype(np.float32)
    expected = np.zeros(128, bool)
    expected[np.argsort(numbers, kind="stable")[:77]] = True
    np.testing.assert_array_equal(smallest(numbers, 77), expected)


def test_keep_count_is_the_exact_ceiling() -> None:
    assert keep_count(1 - 0.4, 5) == 3
    for hundredths in range(100):
        rate = hundredths / 100
        for batch_size in range(1, 131):
            exact = math.ceil((1 - Fraction(hundredths, 100)) * batch_size)
            assert keep_count(1 - rate, batch_size) == exact, (rate, batch_size)


@pytest.mark.parametrize("count", [50_000, 49_999, 7, 3])
def test_keep_count_is_exact_for_rates_that_are_counts_of_samples(count: int) -> None:
    for wrong in range(0, count, max(1, count // 300)):
        exact = math.ceil((1 - Fraction(wrong, count)) * 128)
        assert keep_count(1 - wrong / count, 128) == exact


@pytest.mark.parametrize(("epochs", "warm_up"), [(1, 1), (2, 1), (4, 1), (8, 2), (40, 10), (100, 25)])
def test_the_default_warm_up_is_a_quarter_of_the_epochs(epochs: int, warm_up: int) -> None:
    assert WARM_UP.value({"epochs": epochs}) == warm_up
