"""A dataset with a split that has no record, which others may make: nothing breaks on it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from datatools.corruption import corrupt
from datatools.export import EXPORTS, export_dataset
from datatools.format.dataset import Dataset, open_dataset
from datatools.info import describe, summary
from datatools.verification import verify
from tests.support.factories import clean_dataset


@pytest.fixture(params=["train", "test"])
def emptied(tmp_path: Path, request: pytest.FixtureRequest) -> Dataset:
    """A clean dataset without a record in one split."""
    path = clean_dataset(tmp_path / "clean").path
    facts = json.loads((path / "dataset.json").read_text())
    facts["splits"][request.param] = {"records": 0, "files": []}
    (path / "dataset.json").write_text(json.dumps(facts))
    return open_dataset(path)


@pytest.mark.parametrize("to", EXPORTS)
def test_an_empty_split_is_exported(emptied: Dataset, tmp_path: Path, to: str) -> None:
    out = tmp_path / f"out{EXPORTS[to].suffixes[0] if EXPORTS[to].suffixes else ''}"
    export_dataset(emptied, to, out)
    if to == "hdf5":
        with h5py.File(out) as file:
            shapes = {split: file[split]["images"].shape for split in ("train", "test")}
        counts = {split: emptied.metadata.num_records(split) for split in ("train", "test")}
        assert shapes == {split: (count, 8, 8, 3) for split, count in counts.items()}
    if to == "npz":
        with np.load(out) as arrays:
            assert len(arrays["test_images"]) == emptied.metadata.num_records("test")


def test_an_empty_split_is_described_and_verified(emptied: Dataset) -> None:
    assert summary(describe(emptied))
    assert all(check.passed for check in verify(emptied))


def test_an_empty_split_is_given_noise_without_a_warning(emptied: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = corrupt(emptied, noise="pair", rate=0.2)
    assert all(check.passed is not False for check in verify(made.dataset))
