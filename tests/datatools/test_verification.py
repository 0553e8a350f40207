"""Every way of tampering is found by exactly the checks that can see it, and the first ids are named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datatools.format.dataset import open_dataset
from datatools.verification import pixels_differ, verify
from tests.support.factories import clean_dataset, noisy_dataset
from tests.support.tampering import (
    CLEAN_CHECKS,
    MANIFEST_CHECKS,
    NOISY_CHECKS,
    RECORD,
    Case,
    Tamper,
    and_reseal,
    edit_json,
    edit_manifest,
    edit_record,
    report,
    set_attribute,
    set_entry,
)

PARENT_CHECKS = {"clean labels against parent", "pixels against parent", "test split against parent"}
BATCH_READERS = {
    "record sizes",
    "checksums",
    "ids",
    "labels in range",
    "manifest against batches",
    "pixels against parent",
}


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    clean = clean_dataset(tmp_path / "clean", train=40, test=10, num_classes=4, train_files=2)
    return noisy_dataset(clean, rate=0.4, noise="pair").path


def cut_batch(path: Path) -> None:
    batch = path / "data_batch_2.bin"
    batch.write_bytes(batch.read_bytes()[:-1])


def swap_manifest(**other: Any) -> Tamper:
    def tamper(path: Path) -> None:
        made = noisy_dataset(open_dataset(path.parent / "clean"), **{"rate": 0.4, "noise": "pair", **other})
        shutil.copy(made.manifest_path, path / "manifest.h5")

    return tamper


def swap_manifest_of_other_size(path: Path) -> None:
    made = noisy_dataset(clean_dataset(path.parent / "larger", train=44))
    shutil.copy(made.manifest_path, path / "manifest.h5")


def drop_last_batch(path: Path) -> None:
    """Cut the dataset, its description and its manifest to the first half, all in agreement."""
    (path / "data_batch_2.bin").unlink()

    with h5py.File(path / "manifest.h5", "r+") as file:
        columns = {name: file[name][:20] for name in ("id", "clean_label", "noisy_label")}
        for name, column in columns.items():
            del file[name]
            file[name] = column

    def change(value: dict[str, Any]) -> None:
        value["splits"]["train"]["files"].pop()
        value["splits"]["train"]["records"] = 20

    edit_json(path, change)


def change_parent(path: Path) -> None:
    edit_json(path.parent / "clean", lambda value: value.update(name="another"))


def swap_test_ids(path: Path) -> None:
    edit_record("test_batch.bin", 2, id=3)(path)
    edit_record("test_batch.bin", 3, id=2)(path)


CASES = {
    "a pixel": Case(
        edit_record("data_batch_1.bin", 3, pixels=1),
        {"checksums", "pixels against parent"},
        said={"checksums": "data_batch_1.bin", "pixels against parent": "1, first at ids 3"},
    ),
    "the last pixel, with the checksum made good": Case(
        and_reseal(lambda path: edit_last_pixel(path)),
        {"pixels against parent"},
        said={"pixels against parent": "1, first at ids 39"},
    ),
    "a label": Case(
        lambda path: flip_label(path, 7),
        {"checksums", "manifest against batches"},
        said={"manifest against batches": "1, first at ids 7"},
    ),
    "a label, with the checksum made good": Case(
        and_reseal(lambda path: flip_label(path, 7)),
        {"manifest against batches"},
        said={"manifest against batches": "1, first at ids 7"},
    ),
    "an id twice": Case(
        edit_record("data_batch_1.bin", 7, id=6),
        {"checksums", "ids", "manifest against batches"},
        said={"ids": "train: not 0..39 in order: record 7 has id 6"},
    ),
    "two ids swapped": Case(
        and_reseal(swap_test_ids),
        {"ids", "test split against parent"},
        said={"ids": "test: not 0..9 in order: record 2 has id 3, record 3 has id 2 (2 in all)"},
    ),
    "a label out of range": Case(
        edit_record("data_batch_1.bin", 7, label=4),
        {"checksums", "labels in range", "manifest against batches"},
        said={"labels in range": "train: labels outside 0..3: 1, first at ids 7"},
    ),
    "a test label out of range": Case(
        edit_record("test_batch.bin", 9, label=1 << 31),
        {"checksums", "labels in range"},
        said={"labels in range": "test: labels outside 0..3: 1, first at ids 9"},
    ),
    "the manifest of another seed": Case(
        swap_manifest(seed=1), {"manifest.h5", "manifest against batches"}, said={"manifest.h5": "seed is 1"}
    ),
    "the manifest of another rate": Case(
        swap_manifest(rate=0.2), {"manifest.h5", "manifest against batches"}, said={"manifest.h5": "rate is 0.2"}
    ),
    "the manifest of another size": Case(
        swap_manifest_of_other_size, {"manifest.h5"}, set(MANIFEST_CHECKS), said={"manifest.h5": "(44,)"}
    ),
    "the realised rate": Case(
        set_attribute("realised_rate", 0.39),
        {"manifest.h5", "realised rate"},
        said={"realised rate": "0.4 by count, the manifest says 0.39"},
    ),
    "the noise type": Case(set_attribute("noise_type", "symmetric"), {"manifest.h5"}),
    "the seed": Case(set_attribute("seed", 5), {"manifest.h5"}),
    "the rate as no number": Case(set_attribute("rate", np.nan), {"manifest.h5"}),
    "the realised matrix": Case(set_entry("realised_matrix", (0, 0), 0.5), {"realised matrix"}),
    "the realised matrix as no number": Case(set_entry("realised_matrix", (0, 0), np.nan), {"realised matrix"}),
    "the transition matrix": Case(set_entry("transition_matrix", 0, [0.2, 0.8, 0, 0]), {"realised matrix"}),
    "the transition matrix as no number": Case(set_entry("transition_matrix", (0, 0), np.nan), {"realised matrix"}),
    "a clean label": Case(
        lambda path: shift_clean_label(path, 5),
        {"realised rate", "realised matrix", "clean labels against parent"},
        said={"clean labels against parent": "1, first at ids 5"},
    ),
    "the manifest's order": Case(
        set_entry("id", slice(0, 2), [1, 0]),
        {"manifest against batches"},
        said={"manifest against batches": "2, first at ids 0, 1"},
    ),
    "no manifest": Case(lambda path: (path / "manifest.h5").unlink(), {"manifest.h5"}, set(MANIFEST_CHECKS)),
    "a test pixel": Case(
        edit_record("test_batch.bin", 3, pixels=1), {"checksums"}, said={"checksums": "test_batch.bin"}
    ),
    "a test pixel, with the checksum made good": Case(
        and_reseal(edit_record("test_batch.bin", 3, pixels=1)), {"test split against parent"}
    ),
    "a batch cut short": Case(cut_batch, BATCH_READERS, said={"record sizes": "data_batch_2.bin"}),
    "no batch": Case(
        lambda path: (path / "data_batch_2.bin").unlink(), BATCH_READERS, said={"record sizes": "data_batch_2.bin"}
    ),
    "no parent": Case(lambda path: shutil.rmtree(path.parent / "clean"), set(), PARENT_CHECKS),
    "another parent": Case(change_parent, set(), PARENT_CHECKS),
    "half the training set": Case(
        drop_last_batch,
        {"realised rate", "realised matrix", "clean labels against parent", "pixels against parent"},
    ),
    "a parent that is elsewhere": Case(
        lambda path: edit_json(path, lambda value: value["noise"]["parent"].update(name="x")), set(), PARENT_CHECKS
    ),
}  # fmt: skip


def edit_last_pixel(path: Path) -> None:
    data = bytearray((path / "data_batch_2.bin").read_bytes())
    data[-1] ^= 1
    (path / "data_batch_2.bin").write_bytes(data)


def flip_label(path: Path, record: int) -> None:
    label = int(np.memmap(path / "data_batch_1.bin", RECORD, "r")["label"][record])
    edit_record("data_batch_1.bin", record, label=(label + 1) % 4)(path)


def shift_clean_label(path: Path, row: int) -> None:
    """Change a clean label so that its record counts as flipped where it was not, or the other way round."""

    def change(file: h5py.File) -> None:
        clean, noisy = int(file["clean_label"][row]), int(file["noisy_label"][row])
        file["clean_label"][row] = noisy if clean != noisy else (clean + 1) % 4

    edit_manifest(change)(path)


@pytest.mark.parametrize("noise", ["pair", "symmetric"])
@pytest.mark.parametrize("sampling", ["exact", "bernoulli"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_a_fresh_noisy_dataset_passes_every_check(tmp_path: Path, noise: str, sampling: str, rate: float) -> None:
    clean = clean_dataset(tmp_path / "clean")
    checks = report(noisy_dataset(clean, rate=rate, noise=noise, sampling=sampling).path)
    assert list(checks) == NOISY_CHECKS
    assert [check for check in checks.values() if check.passed is not True] == []


def test_a_fresh_clean_dataset_passes_every_check_that_it_can_have(tmp_path: Path) -> None:
    checks = report(clean_dataset(tmp_path / "clean").path)
    assert list(checks) == CLEAN_CHECKS
    assert all(check.passed for check in checks.values())


@pytest.mark.parametrize("name", CASES)
def test_tampering_is_found_by_the_checks_that_can_see_it(noisy: Path, name: str) -> None:
    case = CASES[name]
    case.tamper(noisy)
    checks = report(noisy)
    assert list(checks) == NOISY_CHECKS
    assert {check.name for check in checks.values() if check.passed is False} == case.failed
    assert {check.name for check in checks.values() if check.passed is None} == case.skipped
    for check, text in case.said.items():
        assert text in checks[check].detail
    assert not [check for check in checks.values() if "\n" in check.detail]


def test_a_missing_id_is_found_whatever_memory_holds(noisy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the slot of an id that no record has must not keep what happened to be in memory: here, the right label
    with h5py.File(noisy / "manifest.h5") as file:
        right = file["noisy_label"][()].astype(np.int64)
    edit_record("data_batch_1.bin", 7, id=6, label=int(right[6]))(noisy)
    empty = np.empty

    def lucky(shape: Any, *more: Any, **options: Any) -> np.ndarray:
        return right.copy() if shape == len(right) else empty(shape, *more, **options)

    monkeypatch.setattr(np, "empty", lucky)
    check = report(noisy)["manifest against batches"]
    assert check.passed is False
    assert "first at ids 7" in check.detail


def test_the_first_five_ids_are_named_and_the_rest_counted(noisy: Path) -> None:
    for record in (2, 3, 5, 7, 11, 13, 17):
        flip_label(noisy, record)
    assert "7, first at ids 2, 3, 5, 7, 11 and 2 more" in report(noisy)["manifest against batches"].detail


def test_progress_counts_the_bytes_of_all_files(noisy: Path) -> None:
    seen: list[tuple[int, int]] = []
    list(verify(open_dataset(noisy), lambda done, total: seen.append((done, total))))
    assert seen[-1] == (50 * RECORD.itemsize, 50 * RECORD.itemsize)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 5), (1, 1, 1), (1, 28, 28)])
def test_pixels_are_compared_to_the_last(shape: tuple[int, int, int]) -> None:
    dtype = np.dtype([("id", ">u4"), ("label", ">u4"), ("pixels", "u1", shape)])
    one = np.zeros(7, dtype)
    for place in (0, -1):
        other = one.copy()
        other["label"] = 9
        other["id"] = 3
        other["pixels"].reshape(7, -1)[4, place] = 1
        assert pixels_differ(one, other).tolist() == [False] * 4 + [True] + [False] * 2
