"""MNIST is read gzipped or not; a damaged one is refused with one line and leaves nothing."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from datatools.sources import open_source
from datatools.sources.base import Request
from tests.support.official_files import mnist_set, write_mnist
from tests.support.opened_sources import Damage, assert_holds, cut, opened, refusal, remove, replace, set_byte


@pytest.mark.parametrize("gzipped", [False, True])
def test_mnist_is_read_gzipped_or_not(tmp_path: Path, gzipped: bool) -> None:
    source = opened("mnist", write_mnist(tmp_path / "mnist", mnist_set(), gzipped))
    assert source.image_shape == (1, 28, 28)
    assert_holds(source, mnist_set())


def test_mnist_is_found_under_raw(tmp_path: Path) -> None:
    write_mnist(tmp_path / "raw" / "mnist", mnist_set())
    assert_holds(open_source("mnist", Request(None, tmp_path / "raw")), mnist_set())


def test_the_other_spelling_of_the_files_is_read(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "mnist", mnist_set())
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert_holds(opened("mnist", folder), mnist_set())


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def header(*dimensions: int, kind: int = 8, zero: int = 0) -> bytes:
    return bytes([zero, 0, kind, len(dimensions)]) + struct.pack(f">{len(dimensions)}I", *dimensions)


def with_header(name: str, new: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(new + (folder / name).read_bytes()[len(new) :])


IDX_DAMAGE: dict[str, tuple[Damage, str]] = {
    "images one byte short": (cut(IMAGES), IMAGES),
    "labels one byte short": (cut(LABELS), LABELS),
    "images with a byte more": (lambda folder: (folder / IMAGES).open("ab").write(b"\0"), IMAGES),
    "labels with a byte more": (lambda folder: (folder / LABELS).open("ab").write(b"\0"), LABELS),
    "empty images": (replace(IMAGES, b""), IMAGES),
    "half a header": (replace(LABELS, b"\0\0\x08"), LABELS),
    "labels of another kind": (with_header(LABELS, header(30, kind=9)), LABELS),
    "labels of another magic": (with_header(LABELS, header(30, zero=1)), LABELS),
    "images for labels": (with_header(LABELS, header(30, 1, 1)), LABELS),
    "a huge number of labels": (with_header(LABELS, header(0xFFFFFFFF)), LABELS),
    "many labels": (with_header(LABELS, header(10_000_000)), LABELS),
    "huge images": (with_header(IMAGES, header(30, 0xFFFFFFFF, 0xFFFFFFFF)), IMAGES),
    "large images": (with_header(IMAGES, header(30, 1024, 1024)), "mnist"),
    "images without height": (with_header(IMAGES, header(30, 0, 28)), IMAGES),
    "no images": (with_header(IMAGES, header(0, 28, 28)), IMAGES),
    "more images than labels": (with_header(IMAGES, header(31, 28, 28)), "31 images"),
    "a label of ten": (set_byte(LABELS, 8 + 3, 10), "record 3 has label 10"),
    "a file missing": (remove("t10k-labels-idx1-ubyte"), "t10k-labels-idx1-ubyte"),
    "test images of another size": (
        replace("t10k-images-idx3-ubyte", header(10, 14, 14) + bytes(10 * 14 * 14)),
        "differ in size",
    ),
}


@pytest.mark.parametrize("damage", IDX_DAMAGE)
def test_a_damaged_mnist_is_refused(tmp_path: Path, damage: str) -> None:
    folder = write_mnist(tmp_path / "mnist", mnist_set())
    break_it, said = IDX_DAMAGE[damage]
    break_it(folder)
    assert said in refusal("mnist", folder, tmp_path)


@pytest.mark.parametrize("kind", [IMAGES, LABELS])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:5],
        lambda data: data + b"trailing",
        lambda data: data[:-8] + bytes(8),
        lambda data: data[:20] + bytes([data[20] ^ 0xFF]) + data[21:],
        lambda data: b"",
    ],
    ids=["one byte short", "half", "five bytes", "trailing bytes", "wrong checksum", "a flipped byte", "empty"],
)
def test_a_damaged_gzipped_mnist_is_refused(tmp_path: Path, kind: str, damage: Callable[[bytes], bytes]) -> None:
    folder = write_mnist(tmp_path / "mnist", mnist_set(), gzipped=True)
    path = folder / f"{kind}.gz"
    path.write_bytes(damage(path.read_bytes()))
    assert kind in refusal("mnist", folder, tmp_path)


def test_a_gzipped_file_that_unpacks_to_more_than_it_says_is_refused_early(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "mnist", mnist_set(), gzipped=True)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        file.write(header(30) + bytes(30))
        for _ in range(64):
            file.write(bytes(1 << 20))
    (folder / f"{LABELS}.gz").write_bytes(buffer.getvalue())
    assert "longer than its header says" in refusal("mnist", folder, tmp_path)


def test_a_file_for_the_folder_is_refused(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "mnist", mnist_set())
    refusal("mnist", folder / IMAGES, tmp_path)
