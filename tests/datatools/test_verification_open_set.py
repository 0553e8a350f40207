"""Tampering with open-set noise is found by exactly the checks that can see it."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.support.factories import clean_dataset, noisy_dataset
from tests.support.tampering import (
    NOISY_CHECKS,
    RECORD,
    Case,
    and_reseal,
    edit_json,
    edit_manifest,
    edit_record,
    report,
)


@pytest.fixture
def open_set(tmp_path: Path) -> Path:
    clean = clean_dataset(tmp_path / "clean", train=40, test=10, num_classes=4, train_files=2)
    clean_dataset(tmp_path / "donor", train=30, num_classes=3, seed=9)
    return noisy_dataset(clean, rate=0.4, noise="open-set", donor=tmp_path / "donor").path


def replaced_ids(path: Path) -> tuple[list[int], list[int]]:
    """The ids of images that were replaced, and of those that were not, in the first batch file."""
    with h5py.File(path / "manifest.h5") as file:
        replaced = file["replaced_by"][:20] >= 0
    return np.flatnonzero(replaced).tolist(), np.flatnonzero(~replaced).tolist()


def put_back_the_parents_image(path: Path) -> None:
    record = replaced_ids(path)[0][0]
    own, clean = (np.memmap(folder / "data_batch_1.bin", RECORD, "r+") for folder in (path, path.parent / "clean"))
    own["pixels"][record] = clean["pixels"][record]
    own.flush()


def change_an_image_that_was_not_replaced(path: Path) -> None:
    edit_record("data_batch_1.bin", replaced_ids(path)[1][0], pixels=1)(path)


OPEN_SET_CASES = {
    "nothing": Case(lambda path: None, set()),
    "a replaced image put back": Case(
        and_reseal(put_back_the_parents_image),
        {"pixels against parent"},
        said={"pixels against parent": "images are not the donor's"},
    ),
    "a replaced image put back, without the donor": Case(
        and_reseal(lambda path: (put_back_the_parents_image(path), shutil.rmtree(path.parent / "donor"))),  # type: ignore[arg-type,func-returns-value]
        {"pixels against parent"},
        said={"pixels against parent": "should be replaced"},
    ),
    "an image that was not to be replaced": Case(
        and_reseal(change_an_image_that_was_not_replaced),
        {"pixels against parent"},
        said={"pixels against parent": "differ from the parent's: 1, first"},
    ),
    "no donor": Case(
        lambda path: shutil.rmtree(path.parent / "donor"), set(), said={"pixels against parent": "no donor beside it"}
    ),
    "an image of the donor twice": Case(
        edit_manifest(lambda file: file["replaced_by"].__setitem__(replaced_ids_of(file)[:2], [5, 5])),
        {"manifest.h5", "pixels against parent"},
        said={"manifest.h5": "image 5 of the donor is put in twice"},
    ),
    "an image beyond the donor's": Case(
        edit_manifest(lambda file: file["replaced_by"].__setitem__(replaced_ids_of(file)[:1], [1 << 40])),
        {"pixels against parent"},
        said={"pixels against parent": "beyond the donor's"},
    ),
    "one more image": Case(
        edit_manifest(lambda file: file["replaced_by"].__setitem__(0, 29 if file["replaced_by"][0] < 0 else -1)),
        {"realised rate", "pixels against parent"},
    ),
    "no replaced_by": Case(
        edit_manifest(lambda file: file.__delitem__("replaced_by")),
        {"manifest.h5", "realised rate", "pixels against parent"},
        said={"manifest.h5": "no replaced_by"},
    ),
    "the donor's name as a number": Case(
        lambda path: edit_json(path, lambda value: value["noise"].update(donor=7)), set()
    ),
}


def replaced_ids_of(file: h5py.File) -> list[int]:
    return [int(row) for row in np.flatnonzero(file["replaced_by"][()] >= 0)]


@pytest.mark.parametrize("name", OPEN_SET_CASES)
def test_tampering_with_open_set_noise_is_found(open_set: Path, name: str) -> None:
    case = OPEN_SET_CASES[name]
    case.tamper(open_set)
    checks = report(open_set)
    assert list(checks) == NOISY_CHECKS
    assert {check.name for check in checks.values() if check.passed is False} == case.failed
    for check, text in case.said.items():
        assert text in checks[check].detail
    assert not [check for check in checks.values() if "\n" in check.detail]
