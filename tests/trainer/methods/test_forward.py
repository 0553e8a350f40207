"""Forward correction: its loss by hand over hundreds of steps, and where its matrix is from."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reference import differences
from tests.reference.selfie import softmax
from tests.support.tiny import examples, write_dataset
from trainer.errors import TrainerError
from trainer.methods.forward import ANCHORS, Forward

CLASSES, STEPS = 4, 300


def corrected(logits: list[float], label: int, matrix: list[list[float]]) -> float:
    """Patrini et al. 2017: -log of the noisy prediction, sum_i T_ij p_i, of the label j."""
    return -math.log(math.fsum(row[label] * p for row, p in zip(matrix, softmax(logits), strict=True)))


def random_matrix(random: np.random.Generator) -> np.ndarray:
    matrix = random.dirichlet(np.ones(CLASSES), CLASSES) * 0.5 + 0.5 * np.eye(CLASSES)
    return matrix.astype(np.float32)


def test_loss_and_gradient_are_the_paper_s_over_hundreds_of_steps(tf: Any) -> None:
    method, random = Forward(warm_up=0), np.random.default_rng(0)

    @tf.function(reduce_retracing=True)
    def graph(labels: Any, logits: Any, matrix: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            (loss,) = method.step(labels, (logits,), {"transition": matrix}, {}).losses
        return loss, tape.gradient(loss, logits)

    for _ in range(STEPS):
        matrix, size = random_matrix(random), int(random.integers(1, 5))
        logits = random.normal(0, 3, (size, CLASSES)).astype(np.float32)
        labels = random.integers(0, CLASSES, size).astype(np.int32)
        loss, gradient = graph(tf.constant(labels), tf.constant(logits), tf.constant(matrix))
        rows = matrix.tolist()
        samples = list(zip(logits.tolist(), labels.tolist(), strict=True))
        expected = math.fsum(corrected(own, y, rows) for own, y in samples) / size
        np.testing.assert_allclose(float(loss), expected, rtol=1e-5)
        slopes = [differences.gradient(partial(corrected, label=y, matrix=rows), own) for own, y in samples]
        np.testing.assert_allclose(gradient, np.array(slopes) / size, rtol=1e-3, atol=1e-6)


def test_with_clean_labels_it_is_cross_entropy(tf: Any) -> None:
    logits = np.random.default_rng(1).normal(0, 2, (5, CLASSES)).astype(np.float32)
    labels = np.arange(5, dtype=np.int32) % CLASSES
    (loss,) = Forward(warm_up=0).step(labels, (logits,), {"transition": np.eye(CLASSES, dtype=np.float32)}, {}).losses
    expected = [-math.log(softmax(own)[label]) for own, label in zip(logits.tolist(), labels, strict=True)]
    np.testing.assert_allclose(float(loss), np.mean(expected), rtol=1e-5)


def test_huge_logits_and_impossible_labels_have_a_finite_loss_and_gradient(tf: Any) -> None:
    logits = tf.constant([[1e4, -1e4, 0.0, 0.0]])
    matrix = np.eye(CLASSES, dtype=np.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        (loss,) = Forward(warm_up=0).step(tf.constant([1]), (logits,), {"transition": matrix}, {}).losses
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, logits).numpy()).all()


def test_anchors_are_the_surest_images_of_each_class_after_the_warm_up() -> None:
    method = Forward(transition=ANCHORS, warm_up=2)
    memory, labels = method.memory(6, 3), np.zeros(6, np.int32)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 6).astype(np.float32)
    asked: list[int] = []

    def predict(number: int) -> np.ndarray:
        asked.append(number)
        return probabilities

    for epoch in (0, 2, 3):
        assert method.epoch_end(epoch, memory, labels, predict) is memory
    found = method.epoch_end(1, memory, labels, predict)["transition"]
    assert asked == [0]
    for number in range(3):
        surest = max(range(6), key=lambda sample: probabilities[sample, number])
        np.testing.assert_array_equal(found[number], probabilities[surest])


@pytest.fixture
def noisy(tmp_path: Path) -> Any:
    ids, clean, pixels = examples(30)
    wrong = np.where(ids < 6, (clean + 1) % 3, clean)
    return write_dataset(tmp_path / "noisy", (ids, wrong, pixels), examples(6), labels="noisy", clean_labels=clean)


def test_the_manifest_tells_the_matrix(noisy: Any) -> None:
    manifest = noisy.manifest()
    expected = manifest.realised_matrix if manifest.transition_matrix is None else manifest.transition_matrix
    np.testing.assert_allclose(Forward(warm_up=0).told(noisy)["transition"], expected, rtol=1e-6)


def test_clean_labels_need_no_correction_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    clean = write_dataset(tmp_path / "clean", examples(12), examples(6))
    np.testing.assert_array_equal(Forward(warm_up=0).told(clean)["transition"], np.eye(3))
    unknown = write_dataset(tmp_path / "unknown", examples(12), examples(6), labels="unknown")
    with pytest.raises(TrainerError, match="--transition anchors"):
        Forward(warm_up=0).told(unknown)


@pytest.mark.parametrize("kind", ["csv", "npy", "json"])
def test_a_file_tells_the_matrix(kind: str, noisy: Any, tmp_path: Path) -> None:
    matrix = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    path = tmp_path / f"matrix.{kind}"
    if kind == "npy":
        np.save(path, matrix)
    elif kind == "json":
        path.write_text(json.dumps({"transition_matrix": matrix.tolist(), "noise_rate": 0.3}), encoding="utf-8")
    else:
        np.savetxt(path, matrix, delimiter=",")
    np.testing.assert_allclose(Forward(transition=str(path), warm_up=0).told(noisy)["transition"], matrix, rtol=1e-6)


@pytest.mark.parametrize("text", ["[1, 2]", "{", "[" * 5000, '{"transition_matrix": [[0.5, "x"]]}'])
def test_a_damaged_estimate_is_one_line(text: str, noisy: Any, tmp_path: Path) -> None:
    path = tmp_path / "estimate.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TrainerError, match=r"estimate\.json") as error:
        Forward(transition=str(path), warm_up=0).told(noisy)
    assert "\n" not in str(error.value)
