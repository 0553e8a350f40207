"""The batch files that dataset.json promises, and finding datasets under a root."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import find_dataset
from datatools.info import describe
from tests.support.dataset_json import write_json
from tests.support.factories import clean_dataset


def test_records_come_back_over_all_files_in_order(tmp_path: Path) -> None:
    dataset = clean_dataset(tmp_path / "clean", train=40, train_files=3)
    assert [len(batch) for batch in dataset.batches("train")] == [13, 13, 14]
    assert dataset.ids("train").tolist() == list(range(40))
    assert dataset.labels("train").dtype == np.int64
    assert dataset.labels("test").tolist() == [number % 4 for number in range(10)]


def test_a_batch_of_another_length_than_promised_is_refused(tmp_path: Path) -> None:
    dataset = clean_dataset(tmp_path / "clean")
    batch = dataset.path / "data_batch_2.bin"
    batch.write_bytes(batch.read_bytes()[: -(8 + 3 * 8 * 8)])
    with pytest.raises(DataToolsError, match=r"data_batch_2\.bin: 12 records, dataset\.json says 13"):
        dataset.labels("train")


def test_labels_out_of_range_are_not_counted_as_classes(tmp_path: Path) -> None:
    # counting up to a label of 2**32 - 1 would take 32 GB
    dataset = clean_dataset(tmp_path / "clean", num_classes=4)
    batch = np.memmap(dataset.path / "test_batch.bin", np.uint8, "r+")
    batch[4:8] = [0, 1, 0, 0]  # the first record's label, big-endian
    batch.flush()
    try:
        facts = describe(dataset)
    except DataToolsError:
        return
    assert len(facts["splits"]["test"]["records_per_class"]) == 4


# --- find_dataset ----------------------------------------------------------------------------------------------------


def test_the_only_dataset_of_a_kind_is_found(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean")
    noisy = corrupt(clean, rate=0.4, noise="pair").dataset
    (tmp_path / "raw").mkdir()
    assert find_dataset(tmp_path, "clean", "").path == clean.path
    assert find_dataset(tmp_path, "noisy", "").path == noisy.path


def test_hidden_directories_are_not_looked_into(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean")
    clean_dataset(tmp_path / "second").path.rename(tmp_path / ".second.partial-abcd")
    assert find_dataset(tmp_path, "clean", "").path == clean.path


def test_of_several_datasets_all_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        clean_dataset(tmp_path / name)
    with pytest.raises(DataToolsError, match=r"2 clean datasets.*one.*two.*--data"):
        find_dataset(tmp_path, "clean", "")


def test_where_there_is_none_the_remedy_and_what_is_there_are_named(tmp_path: Path) -> None:
    clean_dataset(tmp_path / "clean")
    write_json(tmp_path / "broken", "{")
    with pytest.raises(DataToolsError, match=r"no noisy dataset.*clean \(clean\).*broken \(unreadable\).*do this"):
        find_dataset(tmp_path, "noisy", "do this")


@pytest.mark.parametrize("root", ["", "missing"])
def test_where_there_is_nothing_the_remedy_is_named(tmp_path: Path, root: str) -> None:
    with pytest.raises(DataToolsError, match=r"nothing there.*do this"):
        find_dataset(tmp_path / root, "clean", "do this")


def test_an_unreadable_dataset_does_not_hide_a_good_one(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean")
    write_json(tmp_path / "broken", "[")
    assert find_dataset(tmp_path, "clean", "").path == clean.path
