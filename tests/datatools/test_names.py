"""Names that stand in files and become part of a path: none leads out of its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.export import EXPORTS, export_dataset
from datatools.format.building import dataset_name
from datatools.format.dataset import Dataset, open_dataset
from datatools.names import is_plain_name, plain_name
from tests.support.factories import clean_dataset, noisy_dataset, tree

LEADING_ELSEWHERE = [
    "../../escaped",
    "/tmp/escaped",
    "a/b",
    "a\\b",
    "",
    ".",
    "..",
    "a\0b",
    "a\x1b[2J",
    "a\nb",
    "a\x9bb",
]


def rewritten(dataset: Dataset, **fields: Any) -> Path:
    """`dataset` with other fields in dataset.json; `noise` is taken into the section that is there."""
    file = dataset.path / "dataset.json"
    facts = json.loads(file.read_text())
    if "noise" in fields:
        fields["noise"] = {**facts["noise"], **fields["noise"]}
    file.write_text(json.dumps({**facts, **fields}))
    return dataset.path


@pytest.mark.parametrize("name", [*LEADING_ELSEWHERE, "x" * 256, "é" * 128])
def test_a_dataset_name_that_is_no_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    path = rewritten(clean_dataset(tmp_path / "data"), name=name)
    with pytest.raises(DataToolsError, match=r"dataset\.json: 'name' should be a plain name"):
        open_dataset(path)


@pytest.mark.parametrize("name", ["cifar10", "Bär und Löwe", ".hidden", "a b", "...", "x" * 255, "é" * 127, "\u732b"])
def test_other_names_are_plain(name: str) -> None:
    assert is_plain_name(name)
    assert plain_name(name, "it") == name


@pytest.mark.parametrize("role", ["parent", "donor"])
@pytest.mark.parametrize("name", ["..", "../clean", "x" * 300])
def test_the_name_of_a_parent_or_donor_leads_nowhere_else(tmp_path: Path, role: str, name: str) -> None:
    noisy = noisy_dataset(clean_dataset(tmp_path / "clean"))
    path = rewritten(noisy, noise={role: {"name": name, "sha256": "0" * 64}})
    with pytest.raises(DataToolsError, match=rf"'noise\.{role}\.name' should be a plain name"):
        open_dataset(path)


def test_the_caller_chooses_the_error_and_names_the_place() -> None:
    with pytest.raises(KeyError, match=r"sweep\.json should be a plain name"):
        plain_name(None, "sweep.json", KeyError)


def test_no_dataset_is_made_under_a_name_that_nobody_could_read(tmp_path: Path) -> None:
    clean = clean_dataset(tmp_path / "clean")
    for out in (tmp_path / "a\nb", tmp_path / "a\\b", Path("/")):
        with pytest.raises(DataToolsError, match="the directory's name should be a plain name"):
            convert("digits", out=out)
        with pytest.raises(DataToolsError, match="the directory's name should be a plain name"):
            corrupt(clean, noise="pair", rate=0.2, out=out)
    assert list(tmp_path.iterdir()) == [clean.path]


def test_a_dataset_is_called_as_its_directory_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert [dataset_name(Path(out)) for out in (".", "a", "../b", "a/..")] == ["here", "a", "b", "here"]


@pytest.mark.parametrize("to", EXPORTS)
def test_odd_class_names_stay_inside_the_export_or_are_refused(tmp_path: Path, to: str) -> None:
    names = ["../../escaped", "/tmp/escaped", "a\0b", "nul at the end\0"]
    dataset = open_dataset(rewritten(clean_dataset(tmp_path / "data"), class_names=names))
    before = tree(tmp_path)
    (tmp_path / "exports").mkdir()
    out = tmp_path / "exports" / f"out{EXPORTS[to].suffixes[0] if EXPORTS[to].suffixes else ''}"
    if to in ("hdf5", "npz"):
        with pytest.raises(DataToolsError, match=f"class 2 has a NUL in its name, 'a.x00b', which {to}"):
            export_dataset(dataset, to, out)
        assert not list((tmp_path / "exports").iterdir())
    else:
        export_dataset(dataset, to, out)
        assert [path.name for path in (tmp_path / "exports").iterdir()] == [out.name]
    assert {name: data for name, data in tree(tmp_path).items() if not name.startswith("exports")} == before


def test_class_names_without_nul_come_back_from_every_export(tmp_path: Path) -> None:
    names = ["../..", "\u202eabc", "a\x1bb", "\u732b"]
    dataset = open_dataset(rewritten(clean_dataset(tmp_path / "data"), class_names=names))
    export_dataset(dataset, "npz", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["class_names"].tolist() == names
