"""What a program asks of an opened dataset: records, labels, clean labels, and input pipelines."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datatools
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.records import PIECE_BYTES
from tests.support.children import environment
from tests.support.factories import clean_dataset, convert_source, made_up_source, noisy_dataset
from tests.support.reader import read_split

SHAPE = (3, 2, 5)
"""Depth, height, width: all different, so that no turned axis goes unseen."""


@pytest.fixture
def clean(tmp_path: Path) -> Dataset:
    return clean_dataset(tmp_path / "clean", train=41, test=10, shape=SHAPE)


def renumbered(dataset: Dataset, ids: np.ndarray, split: str = "train") -> Dataset:
    """The dataset with other ids in its records, as another program may have written them."""
    start = 0
    for file in dataset.metadata.splits[split]:
        records = np.fromfile(dataset.path / file.name, next(dataset.batches(split)).dtype)
        records["id"] = ids[start : start + len(records)]
        records.tofile(dataset.path / file.name)
        start += len(records)
    return dataset


def expected(dataset: Dataset, split: str) -> list[tuple[int, int, bytes]]:
    return read_split(dataset.path, split, int(np.prod(SHAPE)))


# --- records ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_record_is_the_one_in_the_file(clean: Dataset, split: str) -> None:
    records = clean.split(split)
    assert len(records) == len(expected(clean, split))
    for record, (number, label, pixels) in zip(records, expected(clean, split), strict=True):
        assert (record.id, record.label) == (number, label)
        assert record.image.shape == (2, 5, 3)
        assert record.image.dtype == np.uint8
        assert record.image.transpose(2, 0, 1).tobytes() == pixels


def test_a_dataset_stands_for_its_training_split(clean: Dataset) -> None:
    assert len(clean) == 41
    assert [record.label for record in clean] == clean.labels("train").tolist()
    assert clean[-1].id == clean[40].id == 40
    image = clean[7].image
    image[:] = 0  # a copy: the file is not touched
    assert clean[7].image.any()


@pytest.mark.parametrize("number", [41, -42])
def test_a_record_that_is_not_there_is_an_index_error(clean: Dataset, number: int) -> None:
    with pytest.raises(IndexError, match="of 41 train records"):
        clean[number]


def test_a_split_that_is_not_there_is_named(clean: Dataset) -> None:
    with pytest.raises(DataToolsError, match="no split 'val'; it has train and test"):
        clean.split("val")


def test_a_split_pickles_without_its_records(tmp_path: Path) -> None:
    dataset = clean_dataset(tmp_path / "large", train=500, shape=(3, 32, 32))
    assert dataset[3].id == 3  # its memory maps are open now
    data = pickle.dumps(dataset)
    assert len(data) < 20_000
    again = pickle.loads(data)  # noqa: S301 - made above
    assert np.array_equal(again[3].image, dataset[3].image)


def test_the_repr_is_one_line_that_says_what_it_is(clean: Dataset) -> None:
    noisy = noisy_dataset(clean)
    assert repr(clean) == (
        f"<Dataset clean at {clean.path}: 41 train and 10 test images of 3x2x5, 4 classes, clean labels>"
    )
    assert "noisy labels" in repr(noisy)
    assert repr(clean.split("test")).startswith("<test split of <Dataset clean")


# --- labels ----------------------------------------------------------------------------------------------------------


def test_clean_labels_of_a_clean_dataset_are_its_labels(clean: Dataset) -> None:
    for split in ("train", "test"):
        labels = clean.clean_labels(split)
        assert labels is not None
        assert labels.dtype == np.int64
        assert labels.tolist() == [label for _, label, _ in expected(clean, split)]
    assert clean.manifest() is None


def test_clean_labels_of_a_noisy_dataset_are_its_parents(clean: Dataset) -> None:
    noisy = noisy_dataset(clean, rate=0.4)
    assert np.array_equal(noisy.clean_labels(), clean.labels("train"))  # type: ignore[arg-type]
    assert np.array_equal(noisy.clean_labels("test"), clean.labels("test"))  # type: ignore[arg-type]
    manifest = noisy.manifest()
    assert manifest is not None
    assert np.array_equal(manifest.noisy_labels, noisy.labels_by_id("train"))
    assert (manifest.noisy_labels != noisy.clean_labels()).sum() == manifest.is_changed.sum() > 10


def test_unknown_labels_have_no_clean_ones(tmp_path: Path) -> None:
    unknown = clean_dataset(tmp_path / "unknown", labels="unknown")
    assert unknown.clean_labels() is None
    assert unknown.clean_labels("test") is None
    assert unknown.manifest() is None


def test_a_noisy_dataset_without_its_manifest_says_so(clean: Dataset) -> None:
    noisy = noisy_dataset(clean)
    noisy.manifest_path.unlink()
    with pytest.raises(DataToolsError, match="no manifest"):
        noisy.clean_labels()
    assert noisy.clean_labels("test") is not None  # which noise never touches


def test_labels_by_id_are_in_the_order_of_the_ids(clean: Dataset) -> None:
    ids = np.random.default_rng(1).permutation(41)
    labels = clean.labels("train")
    renumbered(clean, ids)
    assert np.array_equal(clean.labels("train"), labels)  # in record order
    by_id = clean.labels_by_id("train")
    assert by_id[ids].tolist() == labels.tolist()
    assert np.array_equal(clean.clean_labels(), by_id)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [5, 41, 2**32 - 1])
def test_ids_that_are_not_dense_are_refused(clean: Dataset, wrong: int) -> None:
    ids = np.arange(41)
    ids[7] = wrong
    renumbered(clean, ids)
    with pytest.raises(DataToolsError, match="datatools verify"):
        clean.labels_by_id("train")


# --- input pipelines -------------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> Dataset:
    """More than one piece of reading in each of three files, labels above 255."""
    records = 4 * PIECE_BYTES // 3000
    labels = np.random.default_rng(0).integers(0, 300, records)
    return convert_source(made_up_source(labels, [0, 299], 300, (3, 20, 50)), tmp_path / "large").dataset


@pytest.mark.parametrize("split", ["train", "test"])
def test_to_tf_gives_every_record_in_order(large: Dataset, split: str) -> None:
    data = large.to_tf(split)
    assert int(data.cardinality()) == large.metadata.num_records(split)
    image, label = data.element_spec
    assert (image.shape.as_list(), image.dtype.name) == ([20, 50, 3], "uint8")
    assert (label.shape.as_list(), label.dtype.name) == ([], "int32")
    images, labels = zip(*data.as_numpy_iterator(), strict=True)
    assert np.array_equal(labels, large.labels(split))
    pixels = np.concatenate([batch["pixels"] for batch in large.batches(split)])
    assert np.array_equal(np.array(images), pixels.transpose(0, 2, 3, 1))


def test_to_tf_can_be_gone_through_again(clean: Dataset) -> None:
    data = datatools.to_tf(clean).batch(10)
    first, second = ([labels.tolist() for _, labels in data.as_numpy_iterator()] for _ in range(2))
    assert first == second
    assert [len(batch) for batch in first] == [10, 10, 10, 10, 1]


def test_to_torch_without_pytorch_is_one_line(clean: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "datatools.format.torch_records", raising=False)
    with pytest.raises(DataToolsError, match="PyTorch is not installed"):
        clean.to_torch()


@pytest.mark.parametrize("workers", [0, 2])
def test_to_torch_gives_every_record_in_order(clean: Dataset, workers: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: to_torch is not run")
    data: Any = datatools.to_torch(clean)
    assert isinstance(data, torch.utils.data.Dataset)
    assert len(data) == 41
    image, label = data[40]
    assert (tuple(image.shape), image.dtype, type(label)) == (SHAPE, torch.uint8, int)
    context = "spawn" if workers else None
    loader = torch.utils.data.DataLoader(data, 16, num_workers=workers, multiprocessing_context=context)
    images, labels = zip(*loader, strict=True)
    assert torch.cat(labels).tolist() == clean.labels("train").tolist()
    assert torch.cat(images).numpy().tobytes() == b"".join(pixels for _, _, pixels in expected(clean, "train"))
    assert len(clean.to_torch("test")) == 10


# --- the package -----------------------------------------------------------------------------------------------------


def test_dir_lists_the_public_names_and_each_is_there() -> None:
    assert set(datatools.__all__) <= set(dir(datatools))
    for name in datatools.__all__:
        assert getattr(datatools, name) is not None


def test_the_public_names_load_no_framework(clean: Dataset) -> None:
    program = (
        "import sys, datatools\n"
        "for name in datatools.__all__:\n"
        "    getattr(datatools, name)\n"
        "dataset = datatools.open_dataset(sys.argv[1])\n"
        "dataset[0], dataset.clean_labels()\n"
        "print([name for name in ('keras', 'tensorflow', 'jax', 'torch') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", program, str(clean.path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_was_opened_reads_what_is_there_now(clean: Dataset) -> None:
    assert open_dataset(str(clean.path)) == clean
