"""A folder of the user's own images: found, decoded, sized, and remembered in files.csv."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.format.dataset import open_dataset
from datatools.info import describe, summary
from datatools.verification import verify
from tests.support.factories import tree
from tests.support.official_files import image_folder_set, png, write_image_folder
from tests.support.own_images import PIXELS, names, put, refusal
from tests.support.reader import read_split

# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.Jpg", "a.jpeg", "a.webp"])
def test_every_format_is_read_whatever_its_case(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "cat" / name, lossless=True)  # webp alone asks
    put(tmp_path / "cat" / "b.png")
    made = convert("image-folder", source=tmp_path, out=tmp_path / "out").dataset
    paths = names(made.path)
    split = "train" if f"cat/{name}" in paths["train"] else "test"
    record = read_split(made.path, split, PIXELS.size)[paths[split].index(f"cat/{name}")]
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert record[2] == expected.tobytes()
    if "j" not in name.lower():
        assert record[2] == PIXELS.tobytes()


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("P", 0, None),
        ("LA", (50, 255), (50, 50, 50)),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3)),
        ("I;16", 60_000, (234, 234, 234)),
    ],
)
def test_other_kinds_of_pixels_become_red_green_and_blue(
    tmp_path: Path, mode: str, colour: Any, expected: tuple[int, int, int] | None
) -> None:
    for number in range(2):
        path = tmp_path / "cat" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        image = Image.new(mode, (10, 12), colour)
        if mode == "P":
            image.putpalette([9, 8, 7] * 256)
        image.save(path)
    made = convert("image-folder", source=tmp_path, out=tmp_path / "out").dataset
    pixels = np.frombuffer(read_split(made.path, "train", 360)[0][2], np.uint8).reshape(3, -1)
    assert [tuple(set(plane.tolist())) for plane in pixels] == [(value,) for value in expected or (9, 8, 7)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a.png", "b.png"):
        put(tmp_path / "cat" / name, exif=exif)
    made = convert("image-folder", source=tmp_path, out=tmp_path / "out").dataset
    upright = {
        1: PIXELS,
        2: PIXELS[:, :, ::-1],
        3: PIXELS[:, ::-1, ::-1],
        4: PIXELS[:, ::-1, :],
        5: PIXELS.transpose(0, 2, 1),
        6: PIXELS.transpose(0, 2, 1)[:, :, ::-1],
        7: PIXELS.transpose(0, 2, 1)[:, ::-1, ::-1],
        8: PIXELS.transpose(0, 2, 1)[:, ::-1, :],
    }[orientation]
    assert made.metadata.image_shape == upright.shape
    assert read_split(made.path, "train", PIXELS.size)[0][2] == upright.tobytes()


def test_classes_are_in_order_of_their_names_and_images_in_order_of_theirs(tmp_path: Path) -> None:
    for name in ("zebra/b.png", "zebra/a.png", "Ape/2.png", "Ape/10.png", "dog/x.png", "dog/y.png"):
        put(tmp_path / "source" / name)
    made = convert("image-folder", source=tmp_path / "source", out=tmp_path / "out", test_fraction=0.5).dataset
    assert made.metadata.class_names == ("Ape", "dog", "zebra")
    assert made.labels("train").tolist() == made.labels("test").tolist() == [0, 1, 2]
    paths = names(made.path)
    assert sorted(paths["train"] + paths["test"]) == sorted(
        ["Ape/10.png", "Ape/2.png", "dog/x.png", "dog/y.png", "zebra/a.png", "zebra/b.png"]
    )
    assert made.metadata.labels == "unknown"


def test_hidden_files_and_folders_are_nobodys_images(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    before = tree(convert("image-folder", source=source, out=tmp_path / "a" / "out").dataset.path)
    (source / "train" / "fine_0" / ".DS_Store").write_bytes(b"x")
    (source / "train" / ".cache").mkdir()
    (source / ".git").mkdir()
    assert tree(convert("image-folder", source=source, out=tmp_path / "b" / "out").dataset.path) == before


def test_a_training_folder_alone_is_split(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"):
        put(tmp_path / "source" / "train" / name)
    put(tmp_path / "source" / "val" / "cat" / "c.png")
    made = convert("image-folder", source=tmp_path / "source", out=tmp_path / "out")
    assert {split: len(paths) for split, paths in names(made.dataset.path).items()} == {"train": 2, "test": 2}
    assert made.notices == (f"{tmp_path / 'source'}: val left out, only train/ and test/ are read",)


# --- files.csv and dataset.json --------------------------------------------------------------------------------------


def test_the_files_behind_the_ids_are_kept(tmp_path: Path) -> None:
    content = image_folder_set()
    source = write_image_folder(tmp_path / "my pets", content)
    made = convert("image-folder", source=source, root=tmp_path / "data").dataset
    assert made.path == tmp_path / "data" / "my pets"
    assert made.metadata.files_csv == hashlib.sha256((made.path / "files.csv").read_bytes()).hexdigest()
    assert made.metadata.split_by is None
    for split, paths in names(made.path).items():
        for record, path in zip(read_split(made.path, split, 360), paths, strict=True):
            assert path.split("/")[:2] == [split, content.names["fine"][record[1]]]
            assert png(np.frombuffer(record[2], np.uint8).reshape(3, 12, 10)) == (source / path).read_bytes()
    facts = describe(open_dataset(made.path))
    assert facts["files_csv"] == made.metadata.files_csv
    assert ("file names", "files.csv") in summary(facts)


def test_names_that_need_quotes_come_back_from_files_csv(tmp_path: Path) -> None:
    strange = ['a, "b".png', "new\nline.png", "Ünicode.png"]
    for name in strange:
        put(tmp_path / "source" / "cat" / name)
    made = convert("image-folder", source=tmp_path / "source", out=tmp_path / "out").dataset
    paths = names(made.path)
    assert sorted(paths["train"] + paths["test"]) == sorted(f"cat/{name}" for name in strange)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "source" / "cat" / "a.png")
    put(tmp_path / "source" / "cat" / "b.png").rename(tmp_path / "source" / "cat" / "caf\udce9.png")
    assert "UTF-8" in refusal(tmp_path / "source", tmp_path)


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    put(source / "test" / "fine_2" / "last.png", np.zeros((3, 20, 30), np.uint8))
    message = refusal(source, tmp_path)
    assert "last.png: 30x20 pixels, 10x12 expected" in message
    assert "--size" in message
    assert refusal(source, tmp_path, skip_bad=True) == message  # it can be read, so it is not left out
    made = convert("image-folder", source=source, out=tmp_path / "out", size=16).dataset
    assert made.metadata.image_shape == (3, 16, 16)
    assert made.metadata.resized == {"side": 16, "filter": "lanczos", "fit": "crop"}


def test_resampling_does_not_alias(tmp_path: Path) -> None:
    stripes = np.zeros((3, 64, 64), np.uint8)
    stripes[:, :, ::2] = 255
    for name in ("a.png", "b.png"):
        put(tmp_path / "source" / "cat" / name, stripes)
    made = convert("image-folder", source=tmp_path / "source", out=tmp_path / "out", size=16).dataset
    inner = np.frombuffer(read_split(made.path, "train", 768)[0][2], np.uint8).reshape(3, 16, 16)[:, :, 2:-2]
    assert inner.min() > 120
    assert inner.max() < 136


def test_corrupt_carries_files_csv_along_and_verify_holds_it_to_its_checksum(tmp_path: Path) -> None:
    for name, shade in (("cats", 40), ("dogs", 200)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (shade, number, 0)).save(tmp_path / "pets" / name / f"{number}.png")
    made = convert("image-folder", source=tmp_path / "pets", root=tmp_path / "data").dataset
    noisy = corrupt(made, noise="pair", rate=0.25).dataset
    assert noisy.files_csv_path.read_bytes() == made.files_csv_path.read_bytes()
    assert {check.name: check.passed for check in verify(noisy)}["files.csv"] is True
    with noisy.files_csv_path.open("a") as file:
        file.write("9,train,birds/1.png\n")
    assert {check.name for check in verify(noisy) if check.passed is False} == {"files.csv"}
