"""Published noise is what transcriptions of the codes draw: small cases, and all labels of CIFAR-10."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.format.dataset import Dataset
from datatools.noise.asymmetric import CIFAR10_NAMES
from datatools.noise.base import NoiseRequest
from datatools.noise.published import published_type
from datatools.noise.published.base import CIFAR100_NAMES
from datatools.noise.published.multinomial import multinomial_labels
from tests.reference.published_noise import co_teaching, dividemix, pair_matrix, symmetric_matrix
from tests.support.factories import clean_dataset, convert_source, made_up_source, real

MATRICES = {"pair": pair_matrix, "symmetric": symmetric_matrix}
NUMPY = {"co-teaching": True, "co-teaching-numpy-1.17": False}
"""Whether a class of probability 0 takes a number."""

# --- Co-teaching -----------------------------------------------------------------------------------------------------

GOLDEN = {
    ("pair", "co-teaching"): "022440233001340022440123401334",
    ("pair", "co-teaching-numpy-1.17"): "022300224411230122441223002340",
    ("symmetric", "co-teaching"): "043303242432234042340313421204",
}
"""What the compiled random generators of NumPy 1.16.6 and 2.4.6 gave for the labels 0 1 2 3 4 0 1 …, rates as below."""
RATES = {"pair": 0.45, "symmetric": 0.5}


@pytest.mark.parametrize(("noise", "name"), GOLDEN)
def test_the_labels_are_those_of_numpy_itself(noise: str, name: str) -> None:
    labels = multinomial_labels(np.arange(30) % 5, MATRICES[noise](5, RATES[noise]), skips_zeros=not NUMPY[name])
    assert "".join(map(str, labels)) == GOLDEN[noise, name]


def test_the_installed_numpy_draws_one_of_the_two() -> None:
    probe = np.random.RandomState(0)
    probe.multinomial(1, [0.0, 1.0, 0.0])
    takes_a_number = probe.random_sample() != np.random.RandomState(0).random_sample(2)[1]
    clean = np.random.default_rng(0).integers(0, 10, 3000)
    for matrix in (pair_matrix(10, 0.45), symmetric_matrix(10, 0.5)):
        generator = np.random.RandomState(0)
        expected = [int(generator.multinomial(1, matrix[label]).argmax()) for label in clean]
        assert multinomial_labels(clean, matrix, skips_zeros=not takes_a_number).tolist() == expected


@given(st.integers(0, 2**32), st.booleans())
def test_any_matrix_is_drawn_as_transcribed(seed: int, skips_zeros: bool) -> None:
    generator = np.random.default_rng(seed)
    classes = int(generator.integers(2, 9))
    matrix = generator.random((classes, classes)) * (generator.random((classes, classes)) < 0.6) + np.eye(classes) / 99
    matrix /= matrix.sum(axis=1, keepdims=True)
    clean = generator.integers(0, classes, 60)
    expected = co_teaching(clean.tolist(), matrix, not skips_zeros)
    assert multinomial_labels(clean, matrix, skips_zeros).tolist() == expected


def test_a_block_of_numbers_ends_between_two_labels() -> None:
    clean = np.arange(30_000) % 10  # takes about twice the numbers of a block
    matrix = symmetric_matrix(10, 0.5)
    assert multinomial_labels(clean, matrix).tolist() == co_teaching(clean.tolist(), matrix)


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize("noise", MATRICES)
def test_a_set_draws_in_the_order_of_its_ids(tmp_path: Path, noise: str, name: str) -> None:
    parent = clean_dataset(tmp_path / "clean", train=60, num_classes=2)
    made = corrupt(parent, noise=noise, rate=0.3, published=name)
    assert made.notices[0].endswith("its images draw in the order of their ids")
    matrix = MATRICES[noise](2, 0.3)
    assert made.manifest.noisy_labels.tolist() == co_teaching(
        parent.labels_by_id("train").tolist(), matrix, NUMPY[name]
    )
    np.testing.assert_array_equal(made.manifest.transition_matrix, matrix)


# --- ELR and SOP -----------------------------------------------------------------------------------------------------


def request(folder: Path, clean: np.ndarray, names: tuple[str, ...], rate: float, seed: int = 0) -> NoiseRequest:
    source = made_up_source(clean, [0], len(names), (1, 1, 1))
    object.__setattr__(source, "class_names", names)
    parent = convert_source(source, folder / "clean").dataset
    return NoiseRequest(parent, parent.ids("train"), parent.labels("train"), rate, seed, "published")


@pytest.mark.parametrize("name", ["elr", "sop"])
def test_symmetric_noise_draws_a_whole_number_of_labels_anew(tmp_path: Path, name: str) -> None:
    asked = request(tmp_path, np.arange(4001) % 10, CIFAR10_NAMES, 0.5)
    drawn = published_type(name, "symmetric").draw(asked)
    changed = int((drawn.labels != asked.clean).sum())
    drawn_anew = math.ceil(0.5 * 4001)
    assert abs(changed - drawn_anew * 0.9) < 4 * (drawn_anew * 0.09) ** 0.5
    counts = np.bincount(drawn.labels[drawn.labels != asked.clean], minlength=10)
    assert counts.min() > 120  # of 180 each
    assert drawn.transition_matrix is not None
    np.testing.assert_allclose(drawn.transition_matrix, np.full((10, 10), 0.05) + np.eye(10) * 0.5, atol=1e-12)


@pytest.mark.parametrize("name", ["elr", "sop"])
def test_asymmetric_noise_of_cifar10_moves_class_after_class(tmp_path: Path, name: str) -> None:
    clean = np.arange(2000) % 10
    asked = request(tmp_path, clean, CIFAR10_NAMES, 0.4)
    drawn = published_type(name, "asymmetric").draw(asked)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (clean, drawn.labels), 1)
    expected = np.eye(10, dtype=int) * 200
    for label, target in ((2, 0), (4, 7), (9, 1)):
        expected[label, label], expected[label, target] = 120, 80
    back = counts[3, 3] - 120  # of the 80 cats that became dogs, some of the 112 that then become cats
    expected[3, 3], expected[3, 5] = 120 + back, 80 - back
    expected[5, 5], expected[5, 3] = 200 - (112 - back), 112 - back
    np.testing.assert_array_equal(counts, expected)
    assert 15 < back < 50
    assert drawn.transition_matrix is not None
    np.testing.assert_allclose(drawn.transition_matrix[3, [3, 5]], [0.76, 0.24])
    np.testing.assert_allclose(drawn.transition_matrix[5, [3, 5]], [0.4, 0.6])


def test_elr_moves_labels_of_cifar100_within_blocks_of_five(tmp_path: Path) -> None:
    clean = np.arange(5000) % 100
    drawn = published_type("elr", "asymmetric").draw(request(tmp_path, clean, CIFAR100_NAMES, 0.4))
    changed = drawn.labels != clean
    assert abs(changed.mean() - 0.4) < 0.04
    np.testing.assert_array_equal(drawn.labels[changed], (clean // 5 * 5 + (clean + 1) % 5)[changed])


def test_sop_exchanges_two_labels_of_each_block_of_cifar100(tmp_path: Path) -> None:
    clean = np.arange(5000) % 100
    partners = []
    for seed in (0, 1):
        drawn = published_type("sop", "asymmetric").draw(
            request(tmp_path / str(seed), clean, CIFAR100_NAMES, 0.4, seed)
        )
        matrix = drawn.transition_matrix
        assert matrix is not None
        moving = np.flatnonzero(np.diag(matrix) < 1)
        np.testing.assert_array_equal(np.bincount(moving // 5), np.full(20, 2))
        np.testing.assert_array_equal(matrix, matrix.T)
        changed = drawn.labels != clean
        assert abs(changed.mean() - 0.16) < 0.03
        assert (matrix[clean[changed], drawn.labels[changed]] == 0.4).all()
        partners.append(moving.tolist())
    assert partners[0] != partners[1]


# --- DivideMix -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 123])
@pytest.mark.parametrize("noise", ["symmetric", "asymmetric"])
def test_dividemix_is_as_transcribed(parent: Dataset, noise: str, seed: int) -> None:
    made = corrupt(parent, noise=noise, rate=0.35, published="dividemix", seed=seed)
    clean = parent.labels_by_id("train").tolist()
    classes = 10 if noise == "symmetric" else None
    assert made.manifest.noisy_labels.tolist() == dividemix(clean, 0.35, classes, seed)


def test_seed_123_of_dividemix_gives_these_labels_in_every_python() -> None:
    clean = [number % 10 for number in range(20)]
    assert dividemix(clean, 0.5, 10, 123) == [0, 1, 2, 3, 2, 0, 6, 6, 8, 1, 9, 6, 1, 3, 0, 5, 6, 5, 8, 9]
    assert dividemix(clean, 0.5, None, 123) == [0, 1, 2, 5, 7, 3, 6, 7, 8, 1, 0, 1, 0, 3, 7, 5, 6, 7, 8, 9]


def test_a_part_of_a_set_is_said_to_draw_for_itself(tmp_path: Path) -> None:
    made = convert("cifar10", source=real("cifar-10-batches-bin"), out=tmp_path / "part", limit=50)
    drawn = corrupt(made.dataset, noise="symmetric", rate=0.5, published="dividemix")
    assert "is a part of its set" in drawn.notices[0]


# --- all labels of CIFAR-10 ------------------------------------------------------------------------------------------

OFFICIAL = {
    ("co-teaching", "pair", 0.45): "9e3e8d68e4e050c723ae0ac16cd0e176fa8058da92d478a521aaf368a107fee2",
    ("co-teaching", "symmetric", 0.5): "a1a637f11cf56a60b49b9e2479e9d3c20009ee3e937cbf04a9a7bf9530df9725",
    ("co-teaching-numpy-1.17", "pair", 0.45): "2ad90dda5e73ea38acf8724bb54a653d7a5a1473672578aeafb18a56e7bccd16",
    ("dividemix", "symmetric", 0.5): "2230903491020533c04ffd633b5d2d8edac595e3b98c405215f8c638dc57621e",
    ("dividemix", "asymmetric", 0.4): "46acecddb6f6e74026417659cee210f08339ac2cc0a6e3493d04674d0694c99e",
}
"""SHA-256 of the 50,000 labels, a byte each; Co-teaching's as the compiled generators of NumPy 1.16.6 and 2.4.6 drew
them."""


def test_all_labels_of_cifar10_are_those_of_the_transcriptions(tmp_path: Path) -> None:
    source = real("cifar-10-batches-bin")
    parent = convert("cifar10", source=source, out=tmp_path / "cifar10").dataset
    files = [(source / f"data_batch_{number}.bin").read_bytes() for number in range(1, 6)]
    clean = [label for data in files for label in data[::3073]]
    assert len(clean) == 50_000
    for (name, noise, rate), digest in OFFICIAL.items():
        made = corrupt(parent, noise=noise, rate=rate, published=name)
        if name == "dividemix":
            expected = dividemix(clean, rate, 10 if noise == "symmetric" else None, 123)
        else:
            expected = co_teaching(clean, MATRICES[noise](10, rate), NUMPY[name])
            assert not any("in the order of their ids" in notice for notice in made.notices)
        assert made.dataset.labels_by_id("train").tolist() == expected
        assert hashlib.sha256(bytes(expected)).hexdigest() == digest


def test_the_first_images_of_cifar10_have_the_labels_that_they_have_in_the_whole_set(tmp_path: Path) -> None:
    source = real("cifar-10-batches-bin")
    part = convert("cifar10", source=source, out=tmp_path / "part", limit=300).dataset
    made = corrupt(part, noise="pair", rate=0.45, published="co-teaching")
    clean = list((source / "data_batch_1.bin").read_bytes()[::3073])
    expected = co_teaching(clean, pair_matrix(10, 0.45))
    assert made.manifest.noisy_labels.tolist() == expected[:300]
