"""The contract of every noise type, its names and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.corruption import corrupt, default_name
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest
from datatools.noise import NOISE_TYPES
from datatools.noise.base import NoiseRequest
from datatools.verification import verify
from tests.support.factories import tree
from tests.support.noise_options import CASES, CLASSES, OPTIONS, RECORDS, asked

# --- the contract of every line of the registry ----------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "sampling"), CASES)
def test_dataset_and_manifest_agree_and_verify(tmp_path: Path, parent: Dataset, noise: str, sampling: str) -> None:
    made = corrupt(parent, **asked(noise, sampling, tmp_path))
    manifest = read_manifest(made.dataset.manifest_path, RECORDS, CLASSES)
    assert manifest.clean_labels.tolist() == parent.labels("train").tolist()
    assert manifest.noisy_labels.tolist() == made.dataset.labels("train").tolist()
    assert manifest.is_changed.any()
    assert manifest.realised_rate == manifest.is_changed.mean()
    assert (manifest.noise_type, manifest.sampling) == (noise, sampling)
    assert (manifest.rate is None) == ("rate" not in NOISE_TYPES[noise].needs)
    section = made.dataset.metadata.noise or {}
    assert (section["type"], section["convention"]) == (noise, NOISE_TYPES[noise].convention)
    assert section["realised_rate"] == manifest.realised_rate
    if manifest.transition_matrix is not None:
        np.testing.assert_allclose(manifest.transition_matrix.sum(axis=1), 1, rtol=0, atol=1e-12)
    checks = list(verify(open_dataset(made.dataset.path)))
    assert [check for check in checks if check.passed is not True] == []


@pytest.mark.parametrize(("noise", "sampling"), CASES)
def test_the_same_request_gives_the_same_bytes_and_another_seed_others(
    tmp_path: Path, parent: Dataset, noise: str, sampling: str
) -> None:
    options = asked(noise, sampling, tmp_path)
    first = tree(corrupt(parent, **options).dataset.path)
    assert tree(corrupt(parent, **options, overwrite=True).dataset.path) == first
    if NOISE_TYPES[noise].is_seeded:
        other = tree(corrupt(parent, **options, seed=1).dataset.path)
        assert other["data_batch_1.bin"] != first["data_batch_1.bin"]


@pytest.mark.parametrize(("noise", "sampling"), CASES)
def test_labels_do_not_hang_on_the_order_of_the_records(
    tmp_path: Path, parent: Dataset, noise: str, sampling: str
) -> None:
    ids, clean = parent.ids("train"), parent.labels("train")
    options = OPTIONS[noise](tmp_path)
    drawn = NOISE_TYPES[noise].draw(NoiseRequest(parent, ids, clean, options.pop("rate", None), 0, sampling, **options))
    assert drawn.labels.shape == clean.shape
    assert clean.tolist() == parent.labels("train").tolist()  # left as they were
    if noise == "instance":  # looks at pixels, so the records must be those of the parent: see test_instance.py
        return
    order = np.random.default_rng(1).permutation(RECORDS)
    options = OPTIONS[noise](tmp_path / ".") if noise != "open-set" else {"rate": 0.4, "donor": tmp_path / "donor"}
    shuffled = NOISE_TYPES[noise].draw(
        NoiseRequest(parent, ids[order], clean[order], options.pop("rate", None), 0, sampling, **options)
    )
    assert shuffled.labels.tolist() == drawn.labels[order].tolist()
    if drawn.replaced_by is not None and shuffled.replaced_by is not None:
        assert shuffled.replaced_by.tolist() == drawn.replaced_by[order].tolist()


@pytest.mark.parametrize("noise", [name for name, spec in NOISE_TYPES.items() if "rate" in spec.needs])
def test_rate_zero_changes_nothing(tmp_path: Path, parent: Dataset, noise: str) -> None:
    made = corrupt(parent, noise=noise, **{**OPTIONS[noise](tmp_path), "rate": 0.0})
    assert made.manifest.realised_rate == 0
    assert made.notices == ()
    for file in parent.metadata.splits["train"]:
        assert (made.dataset.path / file.name).read_bytes() == (parent.path / file.name).read_bytes()


def test_what_lies_beside_the_batches_comes_along(tmp_path: Path, parent: Dataset) -> None:
    (parent.path / "files.csv").write_text("id,split,path\n")
    (parent.path / "folder").mkdir()
    (parent.path / "link").symlink_to(tmp_path / "elsewhere")
    made = corrupt(parent, noise="pair", rate=0.2).dataset.path
    assert (made / "files.csv").read_text() == "id,split,path\n"
    assert not (made / "folder").exists()
    assert not (made / "link").is_symlink()


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noise", "name"),
    [
        ("symmetric-inclusive", "clean-symmetric-inclusive-0.4-seed0"),
        ("matrix", "clean-matrix-confusion-seed0"),
        ("human", "clean-human-worse_label"),
        ("file", "clean-file-given"),
        ("open-set", "clean-open-set-0.4-seed0"),
    ],
)
def test_the_directory_is_named_after_the_noise(tmp_path: Path, parent: Dataset, noise: str, name: str) -> None:
    assert corrupt(parent, noise=noise, **OPTIONS[noise](tmp_path)).dataset.path == tmp_path / name


def test_a_column_is_no_path() -> None:
    assert default_name("a", "human", None, 0, column="../b") == "a-human-.._b"


# --- options ---------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "rate": 0.2,
    "matrix": Path("m.csv"),
    "labels": Path("l.pt"),
    "column": "c",
    "donor": Path("d"),
}


@pytest.mark.parametrize("option", VALUES)
@pytest.mark.parametrize("noise", NOISE_TYPES)
def test_each_type_takes_what_it_needs_and_nothing_else(
    tmp_path: Path, parent: Dataset, noise: str, option: str
) -> None:
    needs = NOISE_TYPES[noise].needs
    given = {name: VALUES[name] for name in needs}
    wrong = {**given, option: None} if option in needs else {**given, option: VALUES[option]}
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=f"--{option}"):
        corrupt(parent, noise=noise, **wrong)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise": "instance", "rate": 0.2, "sampling": "exact"}, "--sampling exact: --type instance has bernoulli"),
        ({"noise": "human", "labels": Path("x"), "column": "c", "seed": 0}, "--seed"),
        ({"noise": "human", "labels": Path("x"), "column": "c", "sampling": "exact"}, "--sampling"),
        ({"noise": "instance", "rate": 0.2, "seed": -1}, "seed -1"),
        ({"noise": "open-set", "rate": 1.0, "donor": Path("x")}, "rate 1"),
    ],
)
def test_sampling_seed_and_rate_are_looked_at(parent: Dataset, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataToolsError, match=said):
        corrupt(parent, **options)
