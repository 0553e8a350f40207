"""Human labels become the noisy ones, or are refused; and the published rates of the real files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest
from datatools.noise import label_files
from datatools.noise.asymmetric import CIFAR100_SUPERCLASSES
from datatools.verification import verify
from tests.support.factories import clean_dataset, convert_source, made_up_source, real, tree
from tests.support.label_files import WRITERS, human_columns, write_pt


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    return clean_dataset(tmp_path / "clean", train=60, num_classes=4)


@pytest.fixture
def columns(parent: Dataset) -> dict[str, Any]:
    return human_columns(parent.labels("train"), 4)


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("column", ["aggre_label", "worse_label"])
def test_the_labels_of_a_column_become_the_noisy_ones(
    tmp_path: Path, parent: Dataset, columns: dict[str, Any], suffix: str, column: str
) -> None:
    file = WRITERS[suffix](tmp_path / f"human{suffix}", columns)
    made = corrupt(parent, noise="human", labels=file, column=column)
    assert made.dataset.path.name == f"clean-human-{column}"
    assert made.dataset.labels("train").tolist() == columns[column].tolist()
    manifest = read_manifest(made.dataset.manifest_path, 60, 4)
    assert manifest.clean_labels.tolist() == columns["clean_label"].tolist()
    assert manifest.transition_matrix is None
    assert (manifest.rate, manifest.seed, manifest.sampling) == (None, None, "given")
    assert manifest.realised_rate == np.mean(columns[column] != columns["clean_label"]) > 0
    noise = made.dataset.metadata.noise or {}
    assert (noise["rate"], noise["seed"], noise["column"]) == (None, None, column)
    assert noise["labels_file"] == {"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    file.unlink()  # the dataset stands on its own
    assert [check for check in verify(open_dataset(made.dataset.path)) if check.passed is not True] == []


def test_coarse_columns_go_with_coarse_clean_labels(tmp_path: Path) -> None:
    names = {"fine": np.arange(40) % 4, "coarse": np.arange(40) % 2}
    values: dict[str, Any] = {"clean_label": names["fine"], "noisy_label": names["fine"][::-1].copy()}
    values |= {"clean_coarse_label": names["coarse"].tolist(), "noisy_coarse_label": names["coarse"][::-1].tolist()}
    file = write_pt(tmp_path / "human.pt", values)
    coarse = convert_source(made_up_source(names["coarse"], [0, 1], 2), tmp_path / "coarse").dataset
    made = corrupt(coarse, noise="human", labels=file, column="noisy_coarse_label")
    assert made.manifest.realised_rate == 1
    with pytest.raises(DataToolsError, match="another order"):
        corrupt(coarse, noise="human", labels=file, column="noisy_label")


def test_the_first_labels_serve_a_limited_set_that_agrees(tmp_path: Path) -> None:
    clean = np.arange(60) % 4
    source = made_up_source(clean, [0, 1], 4)
    file = write_pt(tmp_path / "human.pt", human_columns(clean, 4))
    limited = convert_source(source, tmp_path / "limited", limit=20).dataset
    made = corrupt(limited, noise="human", labels=file, column="worse_label")
    assert made.notices == (f"{file}: the first 20 of its 60 labels are used",)
    part = convert_source(made_up_source(clean[:20], [0, 1], 4), tmp_path / "part").dataset
    with pytest.raises(DataToolsError, match=r"60 labels, .* has 20 training images"):
        corrupt(part, noise="human", labels=file, column="worse_label")


def swapped(columns: dict[str, Any]) -> dict[str, Any]:
    """Two images of different classes change places."""
    other = int(np.flatnonzero(columns["clean_label"] != columns["clean_label"][7])[-1])
    order = np.arange(len(columns["clean_label"]))
    order[[7, other]] = order[[other, 7]]
    return {name: column[order] for name, column in columns.items()}


def changed(columns: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {name: column for name, column in {**columns, **values}.items() if column is not None}


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "two rows swapped": (swapped, "2 of 60 differ, first at ids 7"),
    "another order": (lambda c: {k: v[::-1].copy() for k, v in c.items()}, "_ordered"),
    "too short": (lambda c: {k: v[:-1] for k, v in c.items()}, "59 labels"),
    "too long": (lambda c: {k: np.append(v, 0) for k, v in c.items()}, "61 labels"),
    "one column shorter": (lambda c: changed(c, worse_label=c["worse_label"][:-1]), "59 labels in worse_label"),
    "no clean labels": (lambda c: changed(c, clean_label=None), "no clean_label"),
    "no such column": (lambda c: changed(c, worse_label=None), "'worse_label'.*it has aggre_label"),
    "a label too high": (lambda c: changed(c, worse_label=c["worse_label"] + 9), "in row 0, 0..3 expected"),
    "a negative label": (lambda c: changed(c, worse_label=c["worse_label"] - 9), "in row 0, 0..3 expected"),
    "floats": (lambda c: changed(c, worse_label=c["worse_label"] * 1.0), "no column 'worse_label'"),
    "two dimensions": (lambda c: changed(c, worse_label=c["worse_label"][None]), "no column 'worse_label'"),
    "nothing": (lambda c: {}, "no column of labels"),
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_does_not_fit_gets_one_line_and_writes_nothing(
    tmp_path: Path, parent: Dataset, columns: dict[str, Any], suffix: str, mistake: str
) -> None:
    change, said = MISTAKES[mistake]
    file = WRITERS[suffix](tmp_path / f"human{suffix}", change(columns))
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=said) as caught:
        corrupt(parent, noise="human", labels=file, column="worse_label")
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


def test_clean_labels_are_no_noisy_ones(tmp_path: Path, parent: Dataset, columns: dict[str, Any]) -> None:
    with pytest.raises(DataToolsError, match="'clean_label' of given labels"):
        corrupt(parent, noise="human", labels=write_pt(tmp_path / "h.pt", columns), column="clean_label")


PUBLISHED = {
    "aggre_label": 0.0901,
    "random_label1": 0.1723,
    "random_label2": 0.1812,
    "random_label3": 0.1764,
    "worse_label": 0.4021,
}
"""Noise rates of CIFAR-10N (Wei et al. 2022, table 1), rounded."""


def test_cifar10n_has_the_published_rates(tmp_path: Path) -> None:
    labels, source = real("cifar-n", "CIFAR-10_human.pt"), real("cifar-10-batches-bin")
    parent = convert("cifar10", source=source, out=tmp_path / "cifar10").dataset
    found = {}
    for column in PUBLISHED:
        made = corrupt(parent, noise="human", labels=labels, column=column)
        found[column] = round(made.manifest.realised_rate, 4)
    assert found == PUBLISHED
    assert all(check.passed for check in verify(open_dataset(made.dataset.path)))


def test_cifar100n_has_the_published_rate_and_agrees_with_a_piece_of_the_set(tmp_path: Path) -> None:
    labels, source = real("cifar-n", "CIFAR-100_human.pt"), real("cifar-100-binary")
    columns, _ = label_files.read(labels)
    assert round(float(np.mean(columns["noisy_label"] != columns["clean_label"])), 4) == 0.4020
    for label_set, column in (("fine", "noisy_label"), ("coarse", "noisy_coarse_label")):
        out = tmp_path / label_set
        parent = convert("cifar100", source=source, out=out, label_set=label_set, limit=486).dataset
        made = corrupt(parent, noise="human", labels=labels, column=column)
        assert "the first 486 of its 50,000 labels" in made.notices[0]
        assert made.dataset.labels("train").tolist() == columns[column][:486].tolist()


def test_the_superclasses_are_those_of_the_official_labels() -> None:
    columns, _ = label_files.read(real("cifar-n", "CIFAR-100_human.pt"))
    fine, coarse = (
        real("cifar-100-binary", f"{name}_label_names.txt").read_text().split() for name in ("fine", "coarse")
    )
    pairs = zip(columns["clean_coarse_label"].tolist(), columns["clean_label"].tolist(), strict=True)
    official = {(coarse[superclass], fine[member]) for superclass, member in set(pairs)}
    assert official == {(name, member) for name, members in CIFAR100_SUPERCLASSES.items() for member in members}
