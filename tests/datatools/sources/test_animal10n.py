"""ANIMAL-10N in both its forms: adopted record by record, or decoded from its images."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.sources import open_source
from datatools.sources.base import Request
from tests.support.archives import zipped
from tests.support.factories import tree
from tests.support.image_sets import Examples, ImageSet
from tests.support.official_files import (
    ANIMALS,
    animal10n_set,
    record_bytes,
    write_animal10n_binary,
    write_animal10n_images,
)
from tests.support.reader import read_split

RECORD = 8 + 3 * 64 * 64


def assert_holds(folder: Path, content: ImageSet) -> None:
    for split, batch in content.splits.items():
        records = read_split(folder, split, RECORD - 8)
        assert [record[0] for record in records] == list(range(len(batch)))
        assert [record[1] for record in records] == batch.labels["fine"].tolist()
        assert b"".join(record[2] for record in records) == batch.pixels.tobytes()


def refusal(location: Path, tmp_path: Path, **more: Any) -> str:
    out = tmp_path / "made" / "out"
    with pytest.raises(DataToolsError) as caught:
        convert("animal-10n", source=location, out=out, **more)
    assert not out.parent.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- binary ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [1, 5, 12])
@pytest.mark.parametrize("above", [False, True])
def test_the_binary_form_is_adopted(tmp_path: Path, files: int, above: bool) -> None:
    content = animal10n_set()
    folder = write_animal10n_binary(tmp_path / "source" / "binary", content, files)
    made = convert("animal-10n", source=folder.parent if above else folder, out=tmp_path / "out")
    assert_holds(made.dataset.path, content)
    metadata = made.dataset.metadata
    assert metadata.class_names == ANIMALS
    assert metadata.labels == "unknown"
    assert [file.name for file in metadata.splits["train"]] == ["data_batch_1.bin"]
    assert len(made.notices) == 1
    assert "the official set has 50,000 and 5,000" in made.notices[0]


def test_ids_that_are_not_dense_are_numbered_anew_and_that_is_said(tmp_path: Path) -> None:
    content = animal10n_set()
    folder = write_animal10n_binary(tmp_path / "source", content, first_id=100)
    made = convert("animal-10n", source=folder, out=tmp_path / "out")
    assert_holds(made.dataset.path, content)
    assert [f"{split} ids are not" in notice for split, notice in zip(("train", "test"), made.notices, strict=False)]
    assert "record 0 has id 100" in made.notices[0]
    assert "test ids are not 0..9 in order" in made.notices[1]


@pytest.mark.parametrize("name", ["data_batch_1.bin", "data_batch_3.bin", "test_batch.bin"])
def test_every_label_is_checked(tmp_path: Path, name: str) -> None:
    folder = write_animal10n_binary(tmp_path / "source", animal10n_set())
    data = bytearray((folder / name).read_bytes())
    last = len(data) // RECORD - 1
    data[last * RECORD + 4 : last * RECORD + 8] = struct.pack(">I", 10)
    (folder / name).write_bytes(data)
    message = refusal(folder, tmp_path)
    assert f"{name}: record {last} has label 10" in message


@pytest.mark.parametrize("name", ["data_batch_2.bin", "test_batch.bin"])
def test_a_batch_cut_short_or_missing_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_animal10n_binary(tmp_path / "source", animal10n_set())
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    assert f"{name}: " in refusal(folder, tmp_path)
    (folder / name).write_bytes(b"")
    assert f"{name}: " in refusal(folder, tmp_path)


def test_a_missing_split_is_refused(tmp_path: Path) -> None:
    folder = write_animal10n_binary(tmp_path / "source", animal10n_set())
    (folder / "test_batch.bin").unlink()
    assert "test_batch.bin" in refusal(folder, tmp_path)
    folder = write_animal10n_binary(tmp_path / "other", animal10n_set())
    for path in folder.glob("data_batch_*"):
        path.unlink()
    assert "data_batch_*.bin" in refusal(folder, tmp_path)


def test_the_binary_form_has_one_size(tmp_path: Path) -> None:
    assert "--size 32" in refusal(write_animal10n_binary(tmp_path / "source", animal10n_set()), tmp_path, size=32)


def test_records_of_another_size_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    batch = Examples(np.zeros((7, 3, 32, 32), np.uint8), {"fine": np.zeros(7, np.int64)})
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (folder / name).write_bytes(record_bytes(batch, np.arange(7)))
    assert "whole number of records" in refusal(folder, tmp_path)


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, ImageSet]:
    return write_animal10n_images(tmp_path / "ANIMAL-10N", animal10n_set())


def test_the_images_are_the_same_zipped_or_not(tmp_path: Path, images: tuple[Path, ImageSet]) -> None:
    folder, content = images
    trees = []
    for number, location in enumerate(
        (
            folder,
            folder.parent,
            zipped(folder, tmp_path / "stored.zip"),
            zipped(folder, tmp_path / "packed.zip", zipfile.ZIP_DEFLATED),
        )
    ):
        made = convert("animal-10n", source=location, out=tmp_path / str(number) / "out").dataset
        assert_holds(made.path, content)
        trees.append({name: data for name, data in tree(made.path).items() if name.endswith(".bin")})
    assert all(other == trees[0] for other in trees)


def test_a_folder_under_raw_is_found(tmp_path: Path) -> None:
    write_animal10n_images(tmp_path / "raw" / "ANIMAL-10N", animal10n_set())
    assert open_source("animal-10n", Request(None, tmp_path / "raw")).splits["train"].records == 30


def test_images_are_in_order_of_their_number(tmp_path: Path, images: tuple[Path, ImageSet]) -> None:
    folder, content = images
    for split in ("training", "testing"):  # 0_7.jpg comes before 0_10.jpg, and names are not padded
        for path in sorted((folder / split).iterdir()):
            label, number = path.stem.split("_")
            path.rename(path.with_name(f"{label}_{int(number) * 37}.JPG"))
    assert_holds(convert("animal-10n", source=folder, out=tmp_path / "out").dataset.path, content)


def test_images_are_resampled(tmp_path: Path, images: tuple[Path, ImageSet]) -> None:
    made = convert("animal-10n", source=images[0], root=tmp_path / "data", size=32).dataset
    assert made.path.name == "animal-10n-32x32"
    assert made.metadata.image_shape == (3, 32, 32)


def test_a_label_out_of_range_in_a_name_is_refused(tmp_path: Path, images: tuple[Path, ImageSet]) -> None:
    path = sorted((images[0] / "testing").iterdir())[-1]
    path.rename(path.with_name("10_3.jpg"))
    assert "10_3.jpg" in refusal(images[0], tmp_path)


def test_a_damaged_image_is_refused(tmp_path: Path, images: tuple[Path, ImageSet]) -> None:
    path = sorted((images[0] / "testing").iterdir())[-1]
    path.write_bytes(path.read_bytes()[:-300])
    assert path.name in refusal(images[0], tmp_path)
    assert path.name in refusal(zipped(images[0], tmp_path / "a.zip"), tmp_path)


def test_the_outer_archive_is_named_with_the_remedy(tmp_path: Path, images: tuple[Path, ImageSet]) -> None:
    inner = zipped(images[0], tmp_path / "raw_image.zip")
    with zipfile.ZipFile(tmp_path / "raw_image_ver.zip", "w") as outer:
        outer.write(inner, "raw_image.zip")
    assert "unpack it and give --source the raw_image.zip" in refusal(tmp_path / "raw_image_ver.zip", tmp_path)


def test_members_outside_and_links_are_not_read(tmp_path: Path, images: tuple[Path, ImageSet]) -> None:
    folder, content = images
    archive = zipped(folder, tmp_path / "evil.zip")
    secret = next(folder.glob("testing/*.jpg"))
    with zipfile.ZipFile(archive, "a") as file:
        for name in (
            "../training/0_900.jpg",
            "/training/0_901.jpg",
            "a/../../testing/0_902.jpg",
            "..//training/0_1.jpg",
        ):
            file.writestr(name, secret.read_bytes())
        link = zipfile.ZipInfo("ANIMAL-10N/training/0_903.jpg")
        link.external_attr = 0o120777 << 16
        file.writestr(link, str(secret))
    before = set(tmp_path.rglob("*"))
    assert_holds(convert("animal-10n", source=archive, out=tmp_path / "out").dataset.path, content)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "out")} == before
