"""Each format of an export holds the same images and labels, and its readers read it."""

from __future__ import annotations

import csv
import hashlib
import json
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.export import EXPORTS, export_dataset
from datatools.export.image_folder import folder_names
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest, write_manifest
from datatools.format.metadata import SPLITS
from datatools.verification import verify
from tests.support.exported import expected, target
from tests.support.factories import clean_dataset, convert_source, made_up_source, noisy_dataset
from tests.support.reader import read_split


def test_hdf5_holds_the_arrays_and_the_facts(tmp_path: Path, dataset: Dataset) -> None:
    out = tmp_path / "out.hdf5"
    export_dataset(dataset, "hdf5", out)
    with h5py.File(out) as file:
        assert list(file) == ["test", "train"]
        for split in SPLITS:
            wanted = expected(dataset, split)
            assert set(file[split]) == set(wanted)
            for name, values in wanted.items():
                np.testing.assert_array_equal(file[split][name][()], values)
            assert file[split]["images"].dtype == np.uint8
            assert file[split]["images"].chunks is not None
        assert list(file.attrs["class_names"]) == list(dataset.metadata.class_names)
        assert json.loads(file.attrs["noise"]) == dataset.metadata.noise
        assert file.attrs["name"] == dataset.metadata.name
        assert file.attrs["labels"] == dataset.metadata.labels
        assert file.attrs["dataset_sha256"] == dataset.sha256


def test_npz_loads_without_pickles(tmp_path: Path, dataset: Dataset) -> None:
    out = tmp_path / "out.npz"
    export_dataset(dataset, "npz", out)
    with np.load(out, allow_pickle=False) as archive:
        wanted = {f"{split}_{name}": values for split in SPLITS for name, values in expected(dataset, split).items()}
        assert set(archive) == {*wanted, "class_names", "metadata"}
        for name, values in wanted.items():
            np.testing.assert_array_equal(archive[name], values)
        assert archive["train_images"].dtype == np.uint8
        assert tuple(archive["class_names"]) == dataset.metadata.class_names
        assert json.loads(str(archive["metadata"]))["noise"] == dataset.metadata.noise
    with zipfile.ZipFile(out) as members:
        assert members.testzip() is None


def test_class_names_too_long_for_an_array_are_refused(tmp_path: Path) -> None:
    source = made_up_source([0] * 300, [0], 300, (1, 1, 1))
    made = convert_source(source, tmp_path / "clean").dataset
    text = (made.path / "dataset.json").read_text()
    (made.path / "dataset.json").write_text(text.replace('"class 7"', '"' + "x" * 60_000 + '"'))
    with pytest.raises(DataToolsError, match="60,000 characters"):
        export_dataset(open_dataset(made.path), "npz", tmp_path / "out.npz")
    export_dataset(open_dataset(made.path), "hdf5", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert len(file.attrs["class_names"][7]) == 60_000


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check_table(table: list[dict[str, str]], dataset: Dataset, more: tuple[str, ...] = ()) -> None:
    names = dataset.metadata.class_names
    wanted = []
    for split in SPLITS:
        arrays = expected(dataset, split)
        for number, record in enumerate(arrays["ids"]):
            label = arrays["labels"][number]
            row = {"id": str(record), "split": split, "label": str(label), "class_name": names[label]}
            if "clean_labels" in arrays:
                clean = arrays["clean_labels"][number]
                row |= {"clean_label": str(clean), "clean_class_name": names[clean]}
            wanted.append(row)
    assert [{key: value for key, value in row.items() if key not in more} for row in table] == wanted


def test_csv_has_a_line_for_each_record(tmp_path: Path, dataset: Dataset) -> None:
    export_dataset(dataset, "csv", tmp_path / "out.csv")
    check_table(read_table(tmp_path / "out.csv"), dataset)
    assert b"\r" not in (tmp_path / "out.csv").read_bytes()


def test_csv_quotes_what_needs_it(tmp_path: Path) -> None:
    names = ("a, b", 'the "c"', "two\nlines é")
    made = convert_source(replace(made_up_source([0, 1, 2], [0], 3), class_names=names), tmp_path / "clean")
    export_dataset(made.dataset, "csv", tmp_path / "out.csv")
    assert [row["class_name"] for row in read_table(tmp_path / "out.csv")] == [*names, names[0]]


@pytest.mark.parametrize("depth", [1, 3])
def test_image_folder_holds_every_pixel(tmp_path: Path, depth: int) -> None:
    noisy = noisy_dataset(clean_dataset(tmp_path / "data" / "clean", train=40, test=10, shape=(depth, 8, 6)))
    notices = export_dataset(noisy, "image-folder", tmp_path / "out")
    assert "noisy labels" in notices[0]
    table = read_table(tmp_path / "out" / "labels.csv")
    check_table(table, noisy, ("file",))
    images = {split: expected(noisy, split)["images"] for split in SPLITS}
    for row in table:
        with Image.open(tmp_path / "out" / row["file"]) as image:
            assert image.mode == {1: "L", 3: "RGB"}[depth]
            pixels = np.asarray(image).reshape(8, 6, depth)
        np.testing.assert_array_equal(pixels, images[row["split"]][int(row["id"])])
        assert Path(row["file"]).parts[:2] == (row["split"], row["class_name"])
        assert int(Path(row["file"]).stem) == int(row["id"])
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert files == {row["file"] for row in table}


def test_an_image_folder_converts_back(tmp_path: Path) -> None:
    from datatools.sources import SOURCES

    if "image-folder" not in SOURCES:
        pytest.skip("this version has no source image-folder")
    clean = clean_dataset(tmp_path / "data" / "clean", train=40, test=10)
    export_dataset(clean, "image-folder", tmp_path / "out")
    back = convert("image-folder", source=tmp_path / "out", out=tmp_path / "back").dataset
    assert back.metadata.class_names == clean.metadata.class_names
    for split in SPLITS:
        found, wanted = (
            sorted((label, pixels) for _, label, pixels in read_split(path, split, 192))
            for path in (back.path, clean.path)
        )
        assert found == wanted


def test_planes_that_no_png_holds_are_refused(tmp_path: Path) -> None:
    made = clean_dataset(tmp_path / "clean", shape=(4, 2, 2))
    with pytest.raises(DataToolsError, match="4 planes"):
        export_dataset(made, "image-folder", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folder_names_are_safe_and_unique() -> None:
    names = [
        "a/b",
        "..",
        "",
        "A_B",
        ".hidden",
        "nul",
        "x" * 300,
        "x" * 301,
        "é",
        "é",
        "two\nlines",
        "c:d",
        "-",
        "LPT1.x",
    ]
    folders = folder_names(names)
    assert len({folder.casefold() for folder in folders}) == len(names)
    for folder in folders:
        assert folder == Path(folder).name
        assert folder not in ("", ".", "..")
        assert not set(folder) & set('\\/:*?"<>|\n\0')
        assert not folder.startswith(".")
        assert not folder.endswith((".", " "))
        assert len(folder.encode()) < 200
        assert folder.partition(".")[0].upper() not in ("NUL", "LPT1")
    assert folder_names(["cat", "Katze, Haus-", "日本"]) == ["cat", "Katze, Haus-", "日本"]


def test_croissant_is_the_dataset_and_its_description(tmp_path: Path, dataset: Dataset) -> None:
    out = tmp_path / "out"
    notices = export_dataset(dataset, "croissant", out)
    assert "license" in notices[0]
    copy = open_dataset(out)
    assert copy.sha256 == dataset.sha256
    assert all(check.passed is not False for check in verify(copy))
    table = read_table(out / "labels.csv")
    check_table(table, dataset, ("file", "offset"))
    for row in table:
        with (out / row["file"]).open("rb") as file:
            file.seek(int(row["offset"]))
            assert struct.unpack(">II", file.read(8)) == (int(row["id"]), int(row["label"]))
    description = json.loads((out / "croissant.json").read_text())
    assert description["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    names = {entry["contentUrl"] for entry in description["distribution"]}
    assert names == {path.name for path in out.iterdir()} - {"croissant.json", "export.json"}
    for entry in description["distribution"]:
        data = (out / entry["contentUrl"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["contentSize"] == f"{len(data)} B"
    columns = [field["source"]["extract"]["column"] for field in description["recordSet"][2]["field"]]
    assert columns == list(table[0])


def test_croissant_describes_no_file_that_changed(tmp_path: Path, noisy: Dataset) -> None:
    batch = noisy.path / "test_batch.bin"
    batch.write_bytes(batch.read_bytes()[:-1] + b"\0")
    with pytest.raises(DataToolsError, match=r"test_batch\.bin: changed"):
        export_dataset(noisy, "croissant", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_croissant_is_valid_and_reads(tmp_path: Path, dataset: Dataset) -> None:
    croissant: Any = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    export_dataset(dataset, "croissant", tmp_path / "out")
    described = croissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))  # raises where it is not valid
    assert not described.metadata.issues.errors
    rows = [
        {
            key.partition("/")[2]: value.decode() if isinstance(value, bytes) else str(value)
            for key, value in row.items()
        }
        for row in described.records("records")
    ]
    check_table(rows, dataset, ("file", "offset"))
    classes = [row["classes/name"] for row in described.records("classes")]
    names = [name.decode() if isinstance(name, bytes) else name for name in classes]
    assert tuple(names) == dataset.metadata.class_names


def test_replaced_images_are_named_in_every_format(tmp_path: Path, noisy: Dataset) -> None:
    """Open-set noise: the labels do not tell which images are foreign, so `replaced_by` does."""
    replaced = np.where(np.arange(40) % 3, -1, np.arange(40) + 100)
    manifest = replace(read_manifest(noisy.manifest_path, 40, 4), replaced_by=replaced)
    noisy.manifest_path.unlink()
    write_manifest(noisy.manifest_path, manifest)
    for to in EXPORTS:
        export_dataset(noisy, to, target(tmp_path, to, to))
    with h5py.File(tmp_path / "hdf5.h5") as file:
        np.testing.assert_array_equal(file["train"]["replaced_by"][()], replaced)
        np.testing.assert_array_equal(file["test"]["replaced_by"][()], np.full(10, -1))
    with np.load(tmp_path / "npz.npz") as archive:
        np.testing.assert_array_equal(archive["train_replaced_by"], replaced)
    for table in ("csv.csv", "image-folder/labels.csv", "croissant/labels.csv"):
        assert [int(row["replaced_by"]) for row in read_table(tmp_path / table)] == [*replaced, *[-1] * 10]
    fields = json.loads((tmp_path / "croissant" / "croissant.json").read_text())["recordSet"][2]["field"]
    assert "records/replaced_by" in {field["@id"] for field in fields}
