"""The methods that are a loss and no more, held to their papers' formulas over hundreds of steps, and their limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.reference import differences, losses
from tests.trainer.methods.test_co_teaching import half_right_logits
from trainer.errors import TrainerError
from trainer.methods.apl import Apl
from trainer.methods.base import Method
from trainer.methods.bootstrapping import Bootstrapping
from trainer.methods.default import Default
from trainer.methods.gce import Gce
from trainer.methods.label_smoothing import LabelSmoothing
from trainer.methods.sce import Sce

STEPS = 300
EPOCHS = 100
Loss = Callable[[list[float], int], float]


def case(method: type[Method], formula: Callable[..., float], **settings: Any) -> tuple[Method, Loss]:
    """A method and its paper's formula for one sample, with the same settings."""
    values = {name: value for name, value in settings.items() if name != "kind"}
    return method.from_settings(EPOCHS, settings), partial(formula, **values)


CASES: dict[str, tuple[Method, Loss]] = {
    "label-smoothing": case(LabelSmoothing, losses.label_smoothing, smoothing=0.1),
    "label-smoothing, strong": case(LabelSmoothing, losses.label_smoothing, smoothing=0.7),
    "soft bootstrapping": case(Bootstrapping, losses.soft_bootstrapping, kind="soft", label_share=0.95),
    "soft bootstrapping, strong": case(Bootstrapping, losses.soft_bootstrapping, kind="soft", label_share=0.3),
    "hard bootstrapping": case(Bootstrapping, losses.hard_bootstrapping, kind="hard", label_share=0.8),
    "hard bootstrapping, strong": case(Bootstrapping, losses.hard_bootstrapping, kind="hard", label_share=0.3),
    "gce": case(Gce, losses.gce, exponent=0.7),
    "gce, mean absolute error": case(Gce, losses.gce, exponent=1.0),
    "sce": case(Sce, losses.sce, ce_weight=0.1, rce_weight=1.0, log_of_zero=-4.0),
    "sce, CIFAR-100, as in the code": case(Sce, losses.sce, ce_weight=6.0, rce_weight=0.1, log_of_zero=-9.21),
    "apl": case(Apl, losses.apl, active_weight=1.0, passive_weight=1.0, log_of_zero=-4.0),
    "apl, CIFAR-100, as in the code": case(Apl, losses.apl, active_weight=10.0, passive_weight=0.1, log_of_zero=-9.21),
}


@pytest.mark.parametrize("num_classes", [2, 10])
@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_the_paper_over_hundreds_of_steps(name: str, num_classes: int, tf: Any) -> None:
    method, formula = CASES[name]
    random = np.random.default_rng(3)

    def loss_and_gradient(labels: Any, logits: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            (loss,) = method.step(labels, (logits,), {}, {}).losses
        return loss, tape.gradient(loss, logits)

    signature = [tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, num_classes), tf.float32)]
    graph = tf.function(loss_and_gradient, input_signature=signature)
    for step in range(STEPS):
        labels = random.integers(0, num_classes, 2 + step % 3)
        logits = half_right_logits(random, labels, num_classes)
        loss, gradient = graph(labels.astype(np.int32), logits)
        samples = list(zip(logits.tolist(), labels.tolist(), strict=True))
        expected = math.fsum(formula(*sample) for sample in samples) / len(labels)
        slopes = [differences.gradient(lambda point, y=y: formula(point, y), own) for own, y in samples]  # type: ignore[misc]
        np.testing.assert_allclose(float(loss), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient, np.array(slopes) / len(labels), rtol=1e-4, atol=1e-6)


def loss_of(method: Method, labels: np.ndarray, logits: np.ndarray) -> float:
    (loss,) = method.step(labels, (logits,), {}, {}).losses
    return float(loss)


@pytest.fixture
def batch(tf: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 40).astype(np.int32)
    return labels, half_right_logits(random, labels, 5)


@pytest.mark.parametrize(
    "method",
    [
        LabelSmoothing(0.0),
        Bootstrapping(kind="soft", label_share=1.0),
        Bootstrapping(kind="hard", label_share=1.0),
        Gce(1e-4),
        Sce(1.0, 0.0),
    ],
    ids=lambda method: repr(method),
)
def test_at_one_end_of_its_settings_a_loss_is_plain_cross_entropy(
    method: Method, batch: tuple[np.ndarray, np.ndarray]
) -> None:
    assert loss_of(method, *batch) == pytest.approx(loss_of(Default(), *batch), rel=1e-3)


def test_two_bounded_losses_are_mean_absolute_error_up_to_a_factor(batch: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = batch
    error = 1 - np.exp(-loss_of(Default(), labels[:1], logits[:1]))
    assert loss_of(Gce(1.0), labels[:1], logits[:1]) == pytest.approx(error, rel=1e-5)
    assert loss_of(Sce(0.0, 1.0, -4.0), labels[:1], logits[:1]) == pytest.approx(4 * error, rel=1e-5)


def test_the_normalised_cross_entropies_of_all_labels_sum_to_1(batch: tuple[np.ndarray, np.ndarray]) -> None:
    _, logits = batch
    active = Apl(1.0, 0.0)
    for own in logits:
        shares = [loss_of(active, np.array([label], np.int32), own[None]) for label in range(5)]
        assert sum(shares) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(("method", "share"), [({}, 0.95), ({"kind": "soft"}, 0.95), ({"kind": "hard"}, 0.8)])
def test_bootstrapping_s_share_of_the_label_follows_the_kind(method: dict[str, str], share: float) -> None:
    assert Bootstrapping.from_settings(EPOCHS, method).label_share == share
    assert Bootstrapping.from_settings(EPOCHS, {**method, "label_share": 0.5}).label_share == 0.5


def test_hard_bootstrapping_takes_the_lowest_of_equally_likely_classes(tf: Any) -> None:
    logits = np.array([[0.0, 3.0, 3.0]], np.float32)
    hard = Bootstrapping(kind="hard", label_share=0.0)
    assert loss_of(hard, np.array([0], np.int32), logits) == pytest.approx(
        loss_of(Default(), np.array([1], np.int32), logits)
    )


def test_an_exponent_of_0_is_refused() -> None:
    with pytest.raises(TrainerError, match=r"--exponent 0\.0: above 0 and at most 1 is expected"):
        Gce.from_settings(EPOCHS, {"exponent": 0.0})
