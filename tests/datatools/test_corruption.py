"""A clean dataset becomes the same images with noisy labels, and a manifest of the clean ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.corruption import corrupt, default_name, rate_text
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest
from datatools.noise import NOISE_TYPES
from datatools.noise.sampling import SAMPLINGS
from tests.support.factories import clean_dataset, convert_source, made_up_source, noisy_dataset, tree
from tests.support.reader import read_split

PIXEL_BYTES = 3 * 8 * 8
TYPES = [name for name, spec in NOISE_TYPES.items() if spec.matrix]  # the others: test_noise_types.py


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    return clean_dataset(tmp_path / "clean", train=60, num_classes=4)


def without_labels(path: Path) -> bytes:
    """A batch file with its labels blanked."""
    records = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 8 + PIXEL_BYTES).copy()
    records[:, 4:8] = 0
    return records.tobytes()


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("noise", TYPES)
def test_only_labels_of_training_records_change(parent: Dataset, noise: str, sampling: str) -> None:
    before = tree(parent.path)
    noisy = corrupt(parent, rate=0.4, noise=noise, sampling=sampling).dataset
    assert tree(parent.path) == before
    for name in ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin"):
        assert without_labels(noisy.path / name) == without_labels(parent.path / name)
    assert (noisy.path / "test_batch.bin").read_bytes() == (parent.path / "test_batch.bin").read_bytes()
    assert noisy.labels("train").tolist() != parent.labels("train").tolist()
    assert sorted(path.name for path in noisy.path.iterdir()) == sorted([*before, "manifest.h5"])


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("noise", TYPES)
def test_the_manifest_agrees_with_both_datasets(parent: Dataset, noise: str, sampling: str) -> None:
    made = corrupt(parent, rate=0.4, noise=noise, sampling=sampling)
    manifest = read_manifest(made.dataset.manifest_path, 60, 4)
    clean, noisy = (
        [label for _, label, _ in read_split(dataset.path, "train", PIXEL_BYTES)] for dataset in (parent, made.dataset)
    )
    assert manifest.ids.tolist() == list(range(60))
    assert manifest.clean_labels.tolist() == clean
    assert manifest.noisy_labels.tolist() == noisy
    assert manifest.realised_rate == sum(a != b for a, b in zip(clean, noisy, strict=True)) / 60
    assert (manifest.noise_type, manifest.rate, manifest.sampling, manifest.seed) == (noise, 0.4, sampling, 0)
    for row in range(4):
        members = [after for before, after in zip(clean, noisy, strict=True) if before == row]
        assert manifest.realised_matrix[row].tolist() == [members.count(label) / len(members) for label in range(4)]


def test_the_noise_section_says_everything(parent: Dataset) -> None:
    noisy = corrupt(parent, rate=0.4, noise="pair", seed=3).dataset
    value = json.loads((noisy.path / "dataset.json").read_text())
    assert value["labels"] == "noisy"
    assert value["noise"] == {
        "type": "pair",
        "rate": 0.4,
        "realised_rate": 0.4,
        "sampling": "exact",
        "convention": NOISE_TYPES["pair"].convention,
        "seed": 3,
        "parent": {"name": "clean", "sha256": hashlib.sha256((parent.path / "dataset.json").read_bytes()).hexdigest()},
    }
    for field in ("image_shape", "num_classes", "class_names", "source", "limit", "label_set"):
        assert value[field] == json.loads((parent.path / "dataset.json").read_text())[field]
    for split in ("train", "test"):
        for file in noisy.metadata.splits[split]:
            assert file.sha256 == hashlib.sha256((noisy.path / file.name).read_bytes()).hexdigest()


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0"),
        (0.2, "0.2"),
        (0.25, "0.25"),
        (0.4, "0.4"),
        (0.123456, "0.123456"),
        (0.1234567, "0.1234567"),
        (0.12345678, "0.12345678"),
        (1 / 3, "0.3333333333333333"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-5, "1e-05"),
        (np.float64(0.2), "0.2"),
        (np.float64(1 / 3), "0.3333333333333333"),
    ],
)
def test_a_rate_has_a_name_of_its_own(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_rates_that_differ_have_names_that_differ() -> None:
    rates = [0.2, 0.25, 0.2000001, 0.20000001, 0.3, 0.1 + 0.2]
    assert len({rate_text(rate) for rate in rates}) == len(rates)


def test_the_name_says_parent_type_rate_and_seed(parent: Dataset) -> None:
    assert default_name("cifar10", "pair", 0.4, 0) == "cifar10-pair-0.4-seed0"
    made = corrupt(parent, rate=0.25, noise="symmetry", seed=12).dataset
    assert made.path == parent.path.parent / "clean-symmetric-0.25-seed12"
    assert made.metadata.name == "clean-symmetric-0.25-seed12"


def test_the_parent_is_named_as_its_directory_is_now(parent: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = parent.path.rename(parent.path.with_name("renamed"))
    monkeypatch.chdir(renamed)
    made = corrupt(open_dataset("."), rate=0.4, noise="pair", out=renamed.parent / "out").dataset
    assert (made.metadata.noise or {})["parent"]["name"] == "renamed"


# --- what is refused, and what is said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rate": 1.0}, "rate 1"),
        ({"rate": -0.1}, "rate -0.1"),
        ({"rate": float("nan")}, "rate nan"),
        ({"noise": "salt"}, "'salt'"),
        ({"sampling": "loose"}, "'loose'"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 1 << 64}, "seed"),
        ({"seed": 1 << 63}, "seed"),
    ],
)
def test_a_bad_argument_is_refused_and_nothing_written(
    tmp_path: Path, parent: Dataset, arguments: dict[str, object], said: str
) -> None:
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=said):
        corrupt(parent, **{"rate": 0.4, "noise": "pair", **arguments})  # type: ignore[arg-type]
    assert tree(tmp_path) == before


def test_noise_on_noise_is_refused_with_the_parent_to_use(tmp_path: Path, parent: Dataset) -> None:
    noisy = noisy_dataset(parent)
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=r"has noise already.*clean"):
        corrupt(noisy, rate=0.2, noise="pair")
    assert tree(tmp_path) == before


def test_the_parent_is_never_replaced(tmp_path: Path, parent: Dataset) -> None:
    before = tree(tmp_path)
    with pytest.raises(DataToolsError):
        corrupt(parent, rate=0.4, noise="pair", out=parent.path, overwrite=True)
    assert tree(tmp_path) == before


def test_one_class_is_refused(tmp_path: Path) -> None:
    parent = clean_dataset(tmp_path / "one", num_classes=1)
    with pytest.raises(DataToolsError, match="two classes"):
        corrupt(parent, rate=0.4, noise="pair")


@pytest.mark.parametrize(
    ("place", "value", "said"), [(0, 9, "ids"), (4, 9, "label")], ids=["an id that is not there", "a label too high"]
)
def test_a_damaged_parent_is_refused(tmp_path: Path, parent: Dataset, place: int, value: int, said: str) -> None:
    data = bytearray((parent.path / "data_batch_1.bin").read_bytes())
    data[place + 3] = value
    data[place] = value
    (parent.path / "data_batch_1.bin").write_bytes(data)
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=said):
        corrupt(parent, rate=0.4, noise="pair")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["data_batch_2.bin", "test_batch.bin"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_parent_with_a_broken_batch_is_refused(tmp_path: Path, parent: Dataset, name: str, damage: str) -> None:
    path = parent.path / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=name):
        corrupt(parent, rate=0.4, noise="pair")
    assert tree(tmp_path) == before


def test_a_dataset_is_replaced_only_when_asked(tmp_path: Path, parent: Dataset) -> None:
    noisy = noisy_dataset(parent, sampling="exact")
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match="--overwrite"):
        noisy_dataset(parent, sampling="bernoulli")
    assert tree(tmp_path) == before
    again = noisy_dataset(parent, sampling="bernoulli", overwrite=True)
    assert again.path == noisy.path
    assert (again.metadata.noise or {})["sampling"] == "bernoulli"


def test_rate_zero_changes_no_label_and_needs_no_notice(parent: Dataset) -> None:
    made = corrupt(parent, rate=0.0, noise="pair")
    assert made.notices == ()
    assert made.manifest.realised_rate == 0
    assert made.dataset.metadata.labels == "noisy"
    for name in ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin"):
        assert (made.dataset.path / name).read_bytes() == (parent.path / name).read_bytes()


def test_a_rate_that_no_count_reaches_is_said(tmp_path: Path) -> None:
    source = made_up_source([0] * 40 + [1] * 3, [0, 1], 2)
    parent = convert_source(source, tmp_path / "clean").dataset
    made = corrupt(parent, rate=0.1, noise="pair")
    assert any("class 1 (3 images at 0.1)" in notice for notice in made.notices)
    assert (made.dataset.labels("train")[40:] == 1).all()


def test_a_realised_rate_far_from_the_requested_is_said(tmp_path: Path) -> None:
    parent = clean_dataset(tmp_path / "clean", train=40, num_classes=10)  # four images a class
    notices = corrupt(parent, rate=0.4, noise="pair").notices
    assert any("0.5 where 0.4 was asked for" in notice for notice in notices)


@pytest.mark.parametrize("noise", ["pair", "symmetric", "open-set"])
def test_a_rate_so_high_that_nothing_is_left_is_said(tmp_path: Path, noise: str) -> None:
    parent = clean_dataset(tmp_path / "clean", train=40)
    options: dict[str, Any] = {"donor": clean_dataset(tmp_path / "donor", seed=1).path} if noise == "open-set" else {}
    made = corrupt(parent, rate=0.999, noise=noise, **options)
    assert made.manifest.realised_rate == 1
    [notice] = [notice for notice in made.notices if "a realised rate of 1" in notice]
    assert notice.startswith("every image is replaced" if noise == "open-set" else "every label is wrong")
    assert notice.endswith("choose a rate below 0.999, or convert more images")
    lower = corrupt(parent, rate=0.9, noise=noise, **options)
    assert not any("a realised rate of 1" in notice for notice in lower.notices)


def test_labels_of_unknown_quality_are_said_to_be_so(tmp_path: Path) -> None:
    parent = clean_dataset(tmp_path / "found", labels="unknown")
    assert any("unknown quality" in notice for notice in corrupt(parent, rate=0.4, noise="pair").notices)


def test_a_reachable_rate_needs_no_notice(parent: Dataset) -> None:
    assert corrupt(parent, rate=0.4, noise="pair").notices == ()


# --- seeds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_same_command_gives_the_same_bytes(parent: Dataset, sampling: str) -> None:
    first = tree(noisy_dataset(parent, sampling=sampling).path)
    assert tree(noisy_dataset(parent, sampling=sampling, overwrite=True).path) == first


def test_seeds_give_different_labels(parent: Dataset) -> None:
    labels = {tuple(noisy_dataset(parent, seed=seed).labels("train").tolist()) for seed in range(4)}
    assert len(labels) == 4


def test_the_noise_does_not_hang_on_how_the_records_lie_in_files(tmp_path: Path) -> None:
    labels = [
        noisy_dataset(clean_dataset(tmp_path / str(files) / "clean", train_files=files)).labels("train").tolist()
        for files in (1, 3, 7)
    ]
    assert labels[0] == labels[1] == labels[2]


def test_a_large_seed_is_kept_exactly(parent: Dataset) -> None:
    seed = (1 << 63) - 1
    made = corrupt(parent, rate=0.4, noise="pair", seed=seed).dataset
    assert read_manifest(made.manifest_path, 60, 4).seed == seed


def test_progress_ends_with_all_records(parent: Dataset) -> None:
    seen: list[tuple[int, int]] = []
    corrupt(parent, rate=0.4, noise="pair", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (70, 70)
