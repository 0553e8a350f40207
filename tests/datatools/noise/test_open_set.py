"""Open-set noise: which images are replaced, by which, and what stays."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest
from datatools.noise import open_set
from datatools.noise.base import Drawn, NoiseRequest
from tests.support.factories import clean_dataset, convert_source, made_up_source, noisy_dataset, tree
from tests.support.reader import read_split

PIXEL_BYTES = 3 * 8 * 8
LARGE = 100_000


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    return clean_dataset(tmp_path / "clean", train=60, num_classes=4)


@pytest.fixture
def donor(tmp_path: Path) -> Dataset:
    source = made_up_source(np.arange(80) % 5, [0, 1], 7, seed=4)
    object.__setattr__(source, "class_names", tuple("abcdefg"))
    return convert_source(source, tmp_path / "donor", train_files=2).dataset


def drawn(parent: Dataset, donor: Dataset, rate: float, sampling: str = "exact", seed: int = 0) -> Drawn:
    ids, clean = parent.ids("train"), parent.labels("train")
    return open_set.draw(NoiseRequest(parent, ids, clean, rate, seed, sampling, donor=donor.path))


def replaced_by(parent: Dataset, donor: Dataset, rate: float, sampling: str = "exact", seed: int = 0) -> np.ndarray:
    found = drawn(parent, donor, rate, sampling, seed).replaced_by
    assert found is not None
    return found


@pytest.mark.parametrize("sampling", ["exact", "bernoulli"])
def test_a_share_of_the_images_is_the_donors_and_every_label_stays(
    parent: Dataset, donor: Dataset, sampling: str
) -> None:
    before = tree(donor.path), tree(parent.path)
    made = corrupt(parent, noise="open-set", rate=0.4, sampling=sampling, donor=donor.path)
    assert (tree(donor.path), tree(parent.path)) == before
    manifest = read_manifest(made.dataset.manifest_path, 60, 4)
    assert manifest.replaced_by is not None
    own, clean, others = (read_split(d.path, "train", PIXEL_BYTES) for d in (made.dataset, parent, donor))
    for (number, label, pixels), (_, given, image), by in zip(own, clean, manifest.replaced_by.tolist(), strict=True):
        assert label == given == manifest.clean_labels[number] == manifest.noisy_labels[number]
        assert pixels == (image if by < 0 else others[by][2])
    assert (made.dataset.path / "test_batch.bin").read_bytes() == (parent.path / "test_batch.bin").read_bytes()
    replaced = manifest.replaced_by >= 0
    assert manifest.realised_rate == replaced.mean() > 0
    assert len(set(manifest.replaced_by[replaced].tolist())) == replaced.sum()  # no image twice
    np.testing.assert_array_equal(manifest.realised_matrix, np.eye(4))
    assert manifest.transition_matrix is None
    noise = made.dataset.metadata.noise or {}
    assert noise["donor"] == {"name": "donor", "sha256": donor.sha256}
    if sampling == "exact":
        assert np.bincount(manifest.clean_labels[replaced]).tolist() == [6, 6, 6, 6]


@pytest.mark.parametrize("sampling", ["exact", "bernoulli"])
def test_a_lower_rate_replaces_some_of_the_same_images_by_the_same(
    parent: Dataset, donor: Dataset, sampling: str
) -> None:
    rates = [0.05, 0.1, 0.3, 0.37, 0.5, 0.9]
    found = [replaced_by(parent, donor, rate, sampling) for rate in rates]
    for low, high in pairwise(found):
        np.testing.assert_array_equal(high[low >= 0], low[low >= 0])
        assert (high >= 0).sum() >= (low >= 0).sum()


def test_seeds_give_different_images(parent: Dataset, donor: Dataset) -> None:
    found = {tuple(replaced_by(parent, donor, 0.3, seed=seed).tolist()) for seed in range(4)}
    assert len(found) == 4


@pytest.mark.parametrize(("rate", "each"), [(0.03, 0), (1 / 30, 1), (0.1, 2), (0.5, 8), (0.99, 15)])
def test_each_class_loses_the_nearest_whole_number(parent: Dataset, donor: Dataset, rate: float, each: int) -> None:
    clean = parent.labels("train")  # 15 a class; a tie is rounded up
    assert np.bincount(clean[replaced_by(parent, donor, rate) >= 0], minlength=4).tolist() == [each] * 4


def request_for(rate: float, sampling: str) -> NoiseRequest:
    """100,000 labels; which are replaced depends on no pixel."""
    clean = np.random.default_rng(1).permutation(np.arange(LARGE) % 10)
    parent: Any = type("Parent", (), {"metadata": type("Metadata", (), {"num_classes": 10})})
    return NoiseRequest(parent, np.arange(LARGE), clean, rate, 5, sampling)


@pytest.mark.parametrize("rate", [0.2, 0.45])
def test_of_100_000_images_the_share_is_the_rate(rate: float) -> None:
    request = request_for(rate, "exact")
    chosen = open_set.replacement_order(request)
    assert np.bincount(request.clean[chosen]).tolist() == [round(rate * LARGE / 10)] * 10
    assert len(np.unique(chosen)) == len(chosen)
    bernoulli = open_set.replacement_order(request_for(rate, "bernoulli"))
    counts = np.bincount(request.clean[bernoulli], minlength=10)
    assert (np.abs(counts - rate * 10_000) < 4.5 * np.sqrt(rate * (1 - rate) * 10_000)).all()
    assert len(set(counts.tolist())) > 1


# --- what is refused, and what is said -------------------------------------------------------------------------------


def refusal(tmp_path: Path, parent: Dataset, donor: Path, rate: float = 0.4) -> str:
    before = tree(tmp_path)
    with pytest.raises(DataToolsError) as caught:
        corrupt(parent, noise="open-set", rate=rate, donor=donor)
    assert tree(tmp_path) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_donors_that_do_not_fit_are_refused(tmp_path: Path, parent: Dataset, donor: Dataset) -> None:
    assert "no such dataset" in refusal(tmp_path, parent, tmp_path / "missing")
    assert "is the dataset itself" in refusal(tmp_path, parent, parent.path)
    small = clean_dataset(tmp_path / "small", shape=(1, 8, 8))
    assert "images of 1x8x8" in refusal(tmp_path, parent, small.path)
    few = clean_dataset(tmp_path / "few", train=10)
    assert "10 training images, 24 are to be put in" in refusal(tmp_path, parent, few.path)
    batch = donor.path / "data_batch_1.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    assert "data_batch_1.bin" in refusal(tmp_path, parent, donor.path)


def test_a_donor_whose_ids_are_out_of_order_is_refused(tmp_path: Path, parent: Dataset, donor: Dataset) -> None:
    records = np.memmap(donor.path / "data_batch_1.bin", [("id", ">u4"), ("rest", "u1", 4 + PIXEL_BYTES)], "r+")
    records["id"][:2] = [1, 0]
    records.flush()
    assert "not 0..79 in order" in refusal(tmp_path, parent, donor.path)


def test_classes_of_the_same_name_are_said(tmp_path: Path, parent: Dataset, donor: Dataset) -> None:
    assert corrupt(parent, noise="open-set", rate=0.1, donor=donor.path).notices == ()
    other = clean_dataset(tmp_path / "other", num_classes=2, seed=3)
    made = corrupt(parent, noise="open-set", rate=0.1, donor=other.path, seed=1)
    assert "classes of the same name (class 0, class 1)" in made.notices[0]


def test_noise_on_top_is_refused(tmp_path: Path, parent: Dataset, donor: Dataset) -> None:
    noisy = noisy_dataset(parent, noise="open-set", rate=0.2, donor=donor.path)
    with pytest.raises(DataToolsError, match="has noise already"):
        corrupt(open_dataset(noisy.path), noise="pair", rate=0.2)
