"""Instance-dependent noise against a transcription of Xia et al. 2020, Algorithm 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from datatools.format.records import ImageShape
from datatools.noise import instance
from datatools.noise.base import Drawn, NoiseRequest
from datatools.seeding import uniforms
from tests.support.factories import clean_dataset, convert_source, made_up_source

SHAPE = (3, 4, 4)
CLASSES = 5
LARGE = 100_000


def drawn(parent: Dataset, rate: float = 0.4, seed: int = 3) -> Drawn:
    ids, clean = parent.ids("train"), parent.labels("train")
    return instance.draw(NoiseRequest(parent, ids, clean, rate, seed, "bernoulli"))


def transcription(parent: Dataset, rate: float, seed: int) -> np.ndarray:
    """(N, K): each image's probabilities, line by line as in the algorithm, with the standardised image as x."""
    rows = []
    images = np.concatenate([batch["pixels"] for batch in parent.batches("train")])
    ids, clean = parent.ids("train"), parent.labels("train")
    cut = stats.truncnorm((0 - rate) / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1)
    flip_rates = cut.ppf(uniforms(seed, "instance flip rate", ids))
    shape, num_classes = parent.metadata.image_shape, parent.metadata.num_classes
    weights = [instance.projection(seed, label, shape, num_classes) for label in range(num_classes)]
    for image, label, flip_rate in zip(images, clean, flip_rates, strict=True):
        x = image.reshape(-1) / 255
        x = (x - x.mean()) / x.std()
        scores = x @ weights[label]
        scores[label] = -np.inf
        row = flip_rate * np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        row[label] = 1 - flip_rate
        rows.append(row)
    return np.array(rows)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    labels = np.random.default_rng(7).permutation(np.arange(LARGE) % CLASSES)
    source = made_up_source(labels, [0], CLASSES, (1, 2, 2))
    return convert_source(source, tmp_path_factory.mktemp("large") / "clean").dataset


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    return clean_dataset(tmp_path / "clean", train=90, num_classes=CLASSES, shape=SHAPE)


def test_the_matrix_is_the_mean_of_the_transcribed_rows(parent: Dataset) -> None:
    rows, clean = transcription(parent, 0.4, 3), parent.labels("train")
    expected = np.array([rows[clean == label].mean(axis=0) for label in range(CLASSES)])
    found = drawn(parent).transition_matrix
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_labels_are_drawn_from_the_transcribed_rows(large: Dataset) -> None:
    rows, clean = transcription(large, 0.4, 3), large.labels("train")
    noisy = drawn(large).labels
    for label in range(CLASSES):
        members = clean == label
        counts = np.bincount(noisy[members], minlength=CLASSES)
        expected, variance = rows[members].sum(axis=0), (rows[members] * (1 - rows[members])).sum(axis=0)
        assert (np.abs(counts - expected) < 4.5 * np.sqrt(variance)).all()
    # and image by image: those likely to become a class do so at that rate, decile by decile
    for target in range(CLASSES):
        others = np.flatnonzero(clean != target)
        for part in np.array_split(others[np.argsort(rows[others, target])], 10):
            chance = rows[part, target]
            gap = (noisy[part] == target).sum() - chance.sum()
            assert abs(gap) < 4.5 * np.sqrt((chance * (1 - chance)).sum()) + 1


def test_images_of_a_class_differ_in_their_likely_wrong_label(large: Dataset) -> None:
    rows, clean = transcription(large, 0.4, 3), large.labels("train")
    wrong = rows[clean == 0][:, 1:]
    assert len(set(wrong.argmax(axis=1).tolist())) == CLASSES - 1


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.95])
def test_flip_rates_are_a_normal_distribution_cut_to_shares(rate: float) -> None:
    rates = instance.truncated_normal(rate, uniforms(1, "x", np.arange(20_000)))
    assert rates.min() >= 0
    assert rates.max() <= 1
    cut = stats.truncnorm((0 - rate) / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1)
    assert stats.kstest(rates, cut.cdf).pvalue > 1e-3


def test_projections_are_standard_normal_and_of_each_class_its_own() -> None:
    one, other = (instance.projection(0, label, ImageShape(3, 32, 32), 10) for label in (0, 1))
    assert one.shape == (3072, 10)
    assert stats.kstest(one.reshape(-1), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1]) < 0.03
    assert ((one * 2**24) % 1 == 0).all()  # whole steps: sums of products are exact


@pytest.mark.parametrize("block", [1, 3 * 8 * 48, 7 * 8 * 48])
def test_the_size_of_a_block_does_not_matter(parent: Dataset, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    whole = drawn(parent)
    monkeypatch.setattr(instance, "BLOCK_BYTES", block)
    parts = drawn(parent)
    np.testing.assert_array_equal(parts.labels, whole.labels)
    assert whole.transition_matrix is not None
    assert parts.transition_matrix is not None
    np.testing.assert_allclose(parts.transition_matrix, whole.transition_matrix, rtol=0, atol=1e-14)


def test_scores_are_the_same_to_the_bit_in_any_company() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3072)).astype(np.float64)
    weights = instance.projection(0, 1, ImageShape(3, 32, 32), 10)
    together = instance.wrong_label_probabilities(pixels, weights, 1)
    for size in (1, 3, 7):
        for start in range(0, 40, size):
            alone = instance.wrong_label_probabilities(pixels[start : start + size], weights, 1)
            np.testing.assert_array_equal(alone, together[start : start + size])


@pytest.mark.parametrize("files", [1, 7])
def test_the_cut_into_files_does_not_matter(tmp_path: Path, parent: Dataset, files: int) -> None:
    other = clean_dataset(tmp_path / "o", train=90, num_classes=CLASSES, shape=SHAPE, train_files=files)
    np.testing.assert_array_equal(drawn(other).labels, drawn(parent).labels)


def test_an_image_of_one_colour_has_all_wrong_labels_alike() -> None:
    weights = instance.projection(0, 2, ImageShape(1, 4, 4), 5)
    for grey in (0, 200):
        found = instance.wrong_label_probabilities(np.full((1, 16), float(grey)), weights, 2)
        np.testing.assert_array_equal(found, [[0.25, 0.25, 0, 0.25, 0.25]])


def test_what_flips_at_a_low_rate_mostly_flips_at_a_higher_one(large: Dataset) -> None:
    clean = large.labels("train")
    low, high = (drawn(large, rate).labels for rate in (0.2, 0.4))
    np.testing.assert_array_equal(high[low != clean], low[low != clean])


def test_a_rate_that_the_cut_moves_is_said(parent: Dataset) -> None:
    made = corrupt(parent, noise="instance", rate=0.02)
    assert any("cut to [0, 1], which moves their mean from 0.02 to 0.0" in notice for notice in made.notices)


def test_one_class_has_no_wrong_label(tmp_path: Path) -> None:
    with pytest.raises(DataToolsError, match="two classes"):
        corrupt(clean_dataset(tmp_path / "one", num_classes=1), noise="instance", rate=0.2)


GOLDEN = [2, 3, 2, 2, 2, 0, 0, 1, 0, 1]


def test_seed_three_gives_these_labels_for_ever(parent: Dataset) -> None:
    # A change here changes every published number: it needs a new format_version, not a new expectation
    found: Any = drawn(parent).labels[:10].tolist()
    assert found == GOLDEN
