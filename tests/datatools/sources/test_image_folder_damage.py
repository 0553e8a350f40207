"""Images that cannot be read and folders that are not right: refused, or left out with --skip-bad."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datatools.conversion import convert
from tests.support.children import PEAK_MEMORY, needs_proc, run_python
from tests.support.factories import tree
from tests.support.official_files import image_folder_set, png, write_image_folder
from tests.support.own_images import PIXELS, names, put, refusal
from tests.support.reader import read_split


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
    Image.new("I;16", (8, 8), 4_000).save(buffer, "PNG")
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
    "twelve of sixteen bits": ("bad.png", deep_png()),
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
    message = refusal(source, tmp_path)
    assert f"{source}: 1 of 19 files cannot be used, nothing is written: {path.relative_to(source)}: " in message
    made = convert("image-folder", source=source, out=tmp_path / "b" / "out", skip_bad=True)
    assert [str(path) in notice for notice in made.notices] == [True]
    files = tree(made.dataset.path)
    listed = (made.dataset.path / "skipped.csv").read_text()
    assert listed.startswith(f"path,reason\n{path.relative_to(source)},")
    assert made.dataset.metadata.skipped == {"files": 1, "sha256": hashlib.sha256(listed.encode()).hexdigest()}
    assert {**files, "dataset.json": b"", "skipped.csv": b""} == {**without, "dataset.json": b"", "skipped.csv": b""}


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


def test_a_pipe_among_the_images_is_refused(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    os.mkfifo(source / "train" / "fine_0" / "more.png")  # opening it would wait for ever
    assert "more.png" in refusal(source, tmp_path)


def test_a_test_class_without_training_images_is_refused(tmp_path: Path) -> None:
    source = write_image_folder(tmp_path / "source", image_folder_set())
    put(source / "test" / "unicorn" / "a.png")
    assert "unicorn" in refusal(source, tmp_path)


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
