"""The labels alone: what the files hold, and that `corrupt --type file` reads them back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from datatools.corruption import corrupt
from datatools.export import export_dataset
from datatools.format.dataset import Dataset, open_dataset
from tests.support.exported import expected
from tests.support.factories import clean_dataset, noisy_dataset

MANIFEST_COLUMNS = ("ids", "clean_labels", "noisy_labels", "realised_matrix")


def test_noise_json_is_one_list_in_the_order_of_ids(tmp_path: Path, dataset: Dataset) -> None:
    notices = export_dataset(dataset, "noise-json", tmp_path / "out.json")
    text = (tmp_path / "out.json").read_text()
    labels = expected(dataset, "train")
    assert json.loads(text) == labels["labels"][np.argsort(labels["ids"])].tolist()
    assert text == json.dumps(json.loads(text))  # as DivideMix's code writes it, to the byte
    assert "cannot say its order" in notices[0]


def test_npy_is_plain_arrays_in_the_order_of_ids(tmp_path: Path, dataset: Dataset) -> None:
    export_dataset(dataset, "npy", tmp_path / "out")
    wanted = expected(dataset, "train")
    names = [name for name in ("labels", "ids", "clean_labels") if name in wanted]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"export.json", *(f"{name}.npy" for name in names)}
    order = np.argsort(wanted["ids"])
    for name in names:
        array = np.load(tmp_path / "out" / f"{name}.npy", allow_pickle=False)
        assert array.dtype == np.int64
        assert array.tolist() == wanted[name][order].tolist()
    facts = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (facts["split"], facts["dataset"]["sha256"]) == ("train", dataset.sha256)


@pytest.mark.parametrize(
    ("to", "name", "labels", "order"),
    [
        ("noise-json", "noise.json", "noise.json", "taken on trust"),
        ("npy", "noise", "noise", "ids"),
        ("npy", "noise", "noise/labels.npy", "taken on trust"),
        ("csv", "noise.csv", "noise.csv", "ids"),
    ],
)
def test_what_is_exported_comes_back_as_the_same_labels(
    tmp_path: Path, noisy: Dataset, to: str, name: str, labels: str, order: str
) -> None:
    export_dataset(noisy, to, tmp_path / name)
    parent = open_dataset(noisy.path.parent / "clean")
    made = corrupt(parent, noise="file", labels=tmp_path / labels)
    assert made.dataset.labels("train").tolist() == noisy.labels("train").tolist()
    before = noisy.manifest()
    assert before is not None
    for column in MANIFEST_COLUMNS:
        np.testing.assert_array_equal(getattr(made.manifest, column), getattr(before, column))
    assert made.manifest.realised_rate == before.realised_rate
    assert (made.dataset.metadata.noise or {})["labels_file"]["order"] == order
    assert len(made.notices) == (order == "taken on trust")


def test_open_set_noise_is_said_not_to_be_in_the_labels(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean", train=40)
    donor = clean_dataset(tmp_path / "donor", train=40, num_classes=3, seed=5).path
    made = noisy_dataset(clean, noise="open-set", rate=0.4, donor=donor)
    for to, name in (("noise-json", "out.json"), ("npy", "out")):
        assert "labels alone do not show it" in export_dataset(made, to, tmp_path / name)[0]
