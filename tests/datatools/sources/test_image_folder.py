"""A folder of the user's own images: found, split, decoded, and refused where something in it is not right."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import open_dataset
from datatools.info import describe, summary
from datatools.sources import open_source
from datatools.sources.base import Request, Source
from datatools.verification import verify
from tests.support.children import PEAK_MEMORY, needs_proc, run_python
from tests.support.factories import image_folder_set, png, tree, write_image_folder
from tests.support.reader import read_split

PIXELS = np.random.default_rng(5).integers(0, 256, (3, 12, 10), np.uint8)


def opened(location: Path, **more: Any) -> Source:
    return open_source("image-folder", Request(location, Path("nowhere"), **more))


def put(path: Path, pixels: np.ndarray = PIXELS, **more: Any) -> Path:
    """Write an image in the format that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jpeg": "JPEG"}.get(path.suffix.lower(), path.suffix[1:].upper())
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(path, kind, **more)
    return path


def names(folder: Path) -> dict[str, list[str]]:
    """The paths in files.csv of each split, in id order."""
    with (folder / "files.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, list[str]] = {"train": [], "test": []}
    for row in rows:
        assert int(row["id"]) == len(found[row["split"]])
        found[row["split"]].append(row["path"])
    return found


def refusal(source: Path, tmp_path: Path, **more: Any) -> str:
    """The one line with which converting is refused; nothing was written."""
    out = tmp_path / "made" / "out"
    with pytest.raises(DataToolsError) as caught:
        convert("image-folder", source=source, out=out, **more)
    assert not out.parent.exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


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
        ("LA", (50, 0), (50, 50, 50)),
        ("RGBA", (1, 2, 3, 0), (1, 2, 3)),
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


def test_pixels_of_more_than_eight_bits_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "source" / "cat" / "z.png")
    (tmp_path / "source" / "cat" / "deep.png").write_bytes(deep_png())
    assert "8 bits" in refusal(tmp_path / "source", tmp_path)


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
    put(tmp_path / "source" / "train" / "cat" / "a.png")
    put(tmp_path / "source" / "train" / "cat" / "b.png")
    put(tmp_path / "source" / "val" / "cat" / "c.png")
    made = convert("image-folder", source=tmp_path / "source", out=tmp_path / "out")
    assert {split: len(paths) for split, paths in names(made.dataset.path).items()} == {"train": 1, "test": 1}
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


# --- the test split --------------------------------------------------------------------------------------------------


@pytest.fixture
def unsplit(tmp_path: Path) -> Path:
    """Three classes of 20 images without a test split."""
    return write_image_folder(tmp_path / "source", image_folder_set(3, 20), ["train"])


def drawn(source: Path, **more: Any) -> set[str]:
    """The paths of the test split."""
    chunks = opened(source, **more).splits["test"].chunks()
    return {name for chunk in chunks for name in chunk.names}


@pytest.mark.parametrize(
    ("fraction", "each"), [(None, 4), (0.2, 4), (0.5, 10), (0.01, 1), (0.99, 19), (0.125, 3), (0.12, 2)]
)
def test_the_same_share_of_each_class_is_drawn(unsplit: Path, fraction: float | None, each: int) -> None:
    source = opened(unsplit, test_fraction=fraction)
    test = np.concatenate([chunk.labels for chunk in source.splits["test"].chunks()])
    assert np.bincount(test).tolist() == [each] * 3
    assert source.splits["train"].records == 60 - 3 * each
    assert source.split_by == {"fraction": 0.2 if fraction is None else fraction, "seed": 0}


def test_the_draw_is_a_function_of_the_seed(unsplit: Path) -> None:
    assert drawn(unsplit) == drawn(unsplit, seed=0)
    draws = [drawn(unsplit, seed=seed) for seed in range(8)]
    assert len({frozenset(draw) for draw in draws}) == 8
    assert len(set.union(*draws)) > 40  # no image is out of reach


def test_a_larger_share_keeps_what_a_smaller_one_drew(unsplit: Path) -> None:
    assert drawn(unsplit, test_fraction=0.1) < drawn(unsplit, test_fraction=0.2) < drawn(unsplit, test_fraction=0.6)


def test_files_added_elsewhere_change_nothing(unsplit: Path) -> None:
    before = drawn(unsplit)
    for number in range(30):
        put(unsplit / "another class" / f"{number}.png")
    assert {name for name in drawn(unsplit) if not name.startswith("another")} == before


def test_a_file_added_to_a_class_moves_one_file_at_most(unsplit: Path) -> None:
    before = drawn(unsplit)
    put(unsplit / "fine_0" / "more.png")
    assert len(drawn(unsplit) ^ before) <= 2


def test_the_draw_is_in_the_name_and_in_dataset_json(unsplit: Path, tmp_path: Path) -> None:
    made = convert("image-folder", source=unsplit, root=tmp_path / "data", test_fraction=0.25, seed=3, size=8).dataset
    assert made.path.name == "source-8x8-test0.25-seed3"
    assert made.metadata.split_by == {"fraction": 0.25, "seed": 3}
    assert open_dataset(made.path).metadata == made.metadata


def test_a_class_of_one_image_stays_in_training(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/b.png", "dog/a.png"):
        put(tmp_path / "source" / name)
    made = convert("image-folder", source=tmp_path / "source", out=tmp_path / "out").dataset
    assert made.labels("train").tolist() == [0, 1]
    assert made.labels("test").tolist() == [0]


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
    assert made.metadata.resized == {"side": 16, "filter": "lanczos"}


def test_resampling_does_not_alias(tmp_path: Path) -> None:
    stripes = np.zeros((3, 64, 64), np.uint8)
    stripes[:, :, ::2] = 255
    for name in ("a.png", "b.png"):
        put(tmp_path / "source" / "cat" / name, stripes)
    made = convert("image-folder", source=tmp_path / "source", out=tmp_path / "out", size=16).dataset
    inner = np.frombuffer(read_split(made.path, "train", 768)[0][2], np.uint8).reshape(3, 16, 16)[:, :, 2:-2]
    assert inner.min() > 120
    assert inner.max() < 136


# --- what is refused, or left out with --skip-bad --------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb_png(width: int, height: int) -> bytes:
    """A small file that claims to be a large image, and whose pixels are really there as far as it goes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(min(width * 3 + 1, 100_000) * 10), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(PIXELS.transpose(1, 2, 0))).save(buffer, "JPEG")
    return buffer.getvalue()


def deep_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("I;16", (8, 8), 60_000).save(buffer, "PNG")
    return buffer.getvalue()


BAD_FILES: dict[str, tuple[str, bytes]] = {
    "a text file": ("notes.txt", b"some notes"),
    "a file without a suffix": ("README", b"some notes"),
    "text named as an image": ("bad.png", b"some notes"),
    "an empty image": ("bad.jpg", b""),
    "a jpeg cut short": ("bad.jpg", jpeg_bytes()[:-40]),
    "half a jpeg": ("bad.jpeg", jpeg_bytes()[: len(jpeg_bytes()) // 2]),
    "a png cut short": ("bad.png", png(PIXELS)[:-60]),
    "a png bomb": ("bad.png", bomb_png(30_000, 30_000)),
    "a wide png bomb": ("bad.png", bomb_png(200_000, 500)),
    "a png of ten thousand": ("bad.png", bomb_png(10_000, 10_000)),
    "sixteen bits": ("bad.png", deep_png()),
    "a gif named as a png": ("bad.png", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
    "a bmp that claims much": (
        "bad.bmp",
        b"BM" + struct.pack("<IHHIIiiHHI", 54, 0, 0, 54, 40, 8000, 8000, 1, 24, 0) + bytes(20),
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pytest undoes the module's own filter
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("bad", BAD_FILES)
def test_what_cannot_be_read_stops_the_conversion_or_is_left_out(tmp_path: Path, bad: str, split: str) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    without = tree(convert("image-folder", source=source, out=tmp_path / "a" / "out").dataset.path)
    name, content = BAD_FILES[bad]
    # before all others in the training split, so that it is the first image too; after all others in the test split
    place = source / split / ("fine_0" if split == "train" else "fine_2")
    path = place / ("!" + name if split == "train" else "~" + name)
    path.write_bytes(content)
    assert str(path) in refusal(source, tmp_path)
    made = convert("image-folder", source=source, out=tmp_path / "b" / "out", skip_bad=True)
    assert [str(path) in notice for notice in made.notices] == [True]
    assert tree(made.dataset.path) == without


def test_skipped_images_leave_ids_dense_and_names_right(tmp_path: Path) -> None:
    content = image_folder_set(2, 9)
    source = write_image_folder(tmp_path / "source", content)
    files = sorted((source / "train").rglob("*.png"))
    for path in files[1::3]:
        path.write_bytes(b"broken")
    made = convert("image-folder", source=source, out=tmp_path / "out", skip_bad=True)
    assert len(made.notices) == 6
    kept = [path for path in files if path not in files[1::3]]
    records = read_split(made.dataset.path, "train", 360)
    assert [record[0] for record in records] == list(range(12))
    assert [str(source / path) for path in names(made.dataset.path)["train"]] == [str(path) for path in kept]
    for record, path in zip(records, kept, strict=True):
        assert png(np.frombuffer(record[2], np.uint8).reshape(3, 12, 10)) == path.read_bytes()


@pytest.mark.parametrize("limit", [1, 3, 5, 12, 18])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_limit_counts_what_is_kept(tmp_path: Path, limit: int, workers: int) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set(2, 9))
    files = sorted((source / "train").rglob("*.png"))
    for path in files[1::3]:
        path.write_bytes(b"broken")
    made = convert("image-folder", source=source, out=tmp_path / "out", skip_bad=True, limit=limit, workers=workers)
    assert made.dataset.metadata.num_records("train") == min(limit, 12)
    assert made.dataset.metadata.num_records("test") == min(limit, 4)


def test_a_class_of_which_nothing_can_be_read_is_an_error_even_then(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    for path in (source / "train" / "fine_1").iterdir():
        path.write_bytes(b"broken")
    assert "no readable train image of fine_1" in refusal(source, tmp_path, skip_bad=True)


def test_where_nothing_can_be_read_that_is_said(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    for path in source.rglob("*.png"):
        path.write_bytes(b"broken")
    assert "none of its images can be read" in refusal(source, tmp_path, skip_bad=True)


@pytest.mark.parametrize("place", ["fine_0", "train/empty", "test/fine_1"])
def test_an_empty_class_folder_is_named(tmp_path: Path, place: str) -> None:
    splits = ["train", "test"] if "/" in place else ["train"]
    source = write_image_folder(tmp_path / "source", image_folder_set(), splits)
    folder = source / place
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    message = refusal(source, tmp_path)
    assert str(folder) in message
    assert "no images" in message


def test_a_folder_or_a_pipe_among_the_images_is_refused(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    (source / "train" / "fine_0" / "more.png").mkdir()
    assert "more.png" in refusal(source, tmp_path)
    (source / "train" / "fine_0" / "more.png").rmdir()
    os.mkfifo(source / "train" / "fine_0" / "more.png")  # opening it would wait for ever
    assert "more.png" in refusal(source, tmp_path)


def test_a_test_class_without_training_images_is_refused(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    put(source / "test" / "unicorn" / "a.png")
    assert "unicorn" in refusal(source, tmp_path)


def test_a_test_fraction_beside_a_test_split_is_refused(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    assert "leave --test-fraction out" in refusal(source, tmp_path, test_fraction=0.2)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_of_nothing_or_of_everything_is_refused(unsplit: Path, tmp_path: Path, fraction: float) -> None:
    assert "--test-fraction" in refusal(unsplit, tmp_path, test_fraction=fraction)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_a_seed_out_of_range_is_refused(unsplit: Path, tmp_path: Path, seed: int) -> None:
    assert "--seed" in refusal(unsplit, tmp_path, seed=seed)


def test_one_image_a_class_leaves_no_test_split(tmp_path: Path) -> None:
    put(tmp_path / "source" / "cat" / "a.png")
    put(tmp_path / "source" / "dog" / "a.png")
    assert "test split" in refusal(tmp_path / "source", tmp_path)


@needs_proc
@pytest.mark.parametrize("side", [10_000, 30_000])
def test_a_bomb_takes_little_memory_and_one_line(tmp_path: Path, side: int) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    (source / "test" / "fine_2" / "zz.png").write_bytes(bomb_png(side, side))
    child = run_python(
        PEAK_MEMORY
        + """
import pathlib, sys
from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from PIL import Image
before = peak_memory()
try:
    convert("image-folder", source=pathlib.Path(sys.argv[1]), out=pathlib.Path(sys.argv[2]))
except DataToolsError:
    print(peak_memory() - before)
""",
        source,
        tmp_path / "out",
    )
    assert child.stderr == ""
    assert int(child.stdout) < 100 << 10  # KiB


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
