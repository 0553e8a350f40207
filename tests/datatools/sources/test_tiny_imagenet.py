"""Tiny-ImageNet is read zipped or not; a broken one is refused with one line and leaves nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.support.archives import zipped
from tests.support.image_sets import ImageSet
from tests.support.official_files import tiny_imagenet_set, write_tiny_imagenet
from tests.support.opened_sources import assert_holds, opened, refusal


@pytest.fixture
def tiny_imagenet(tmp_path: Path) -> tuple[Path, ImageSet]:
    return write_tiny_imagenet(tmp_path / "unpacked" / "tiny-imagenet-200", tiny_imagenet_set())


def test_tiny_imagenet_is_the_same_zipped_or_not(tmp_path: Path, tiny_imagenet: tuple[Path, ImageSet]) -> None:
    folder, content = tiny_imagenet
    for location in (folder, folder.parent, zipped(folder, tmp_path / "tiny.zip")):
        source = opened("tiny-imagenet", location)
        assert_holds(source, content)
        assert source.archive == (location if location.is_file() else None)


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_tiny_imagenet_without_a_text_file_is_refused(
    tmp_path: Path, tiny_imagenet: tuple[Path, ImageSet], name: str, packed: bool
) -> None:
    folder, _ = tiny_imagenet
    (folder / name).unlink()
    location = zipped(folder, tmp_path / "tiny.zip") if packed else folder
    assert name in refusal("tiny-imagenet", location, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0", None])
@pytest.mark.parametrize("packed", [False, True])
def test_a_tiny_imagenet_with_a_damaged_image_is_refused(
    tmp_path: Path, tiny_imagenet: tuple[Path, ImageSet], content: bytes | None, packed: bool
) -> None:
    folder, _ = tiny_imagenet
    path = folder / "val/images/val_5.JPEG"  # the last one: all others are written by then
    path.write_bytes(path.read_bytes()[:-300] if content is None else content)
    location = zipped(folder, tmp_path / "tiny.zip") if packed else folder
    assert "val_5.JPEG" in refusal("tiny-imagenet", location, tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_zip_cut_short_is_refused(tmp_path: Path, tiny_imagenet: tuple[Path, ImageSet], share: float) -> None:
    archive = zipped(tiny_imagenet[0], tmp_path / "tiny.zip")
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    assert str(archive) in refusal("tiny-imagenet", archive, tmp_path)


def forged_zip(path: Path, name: bytes, offset: int) -> Path:
    """A zip with one stored member of that name, which lies at that offset by its zip64 field."""
    extra = struct.pack("<HHQ", 1, 8, offset)
    entry = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\x01\x02", 45, 3, 45, *[0] * 7, 9, len(name), len(extra), *[0] * 4, 2**32 - 1
    )
    directory = entry + name + extra
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 0, 0)
    path.write_bytes(directory + end)
    return path


@pytest.mark.parametrize("name", [b"", b"tiny-imagenet-200/wnids.txt", b"tiny-imagenet-200/\x1b[2J", b"/etc/passwd"])
@pytest.mark.parametrize("offset", [0, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_zip_with_a_forged_directory_is_refused(tmp_path: Path, name: bytes, offset: int) -> None:
    message = refusal("tiny-imagenet", forged_zip(tmp_path / "tiny.zip", name, offset), tmp_path)
    assert "damaged" in message or "no tiny-imagenet-200/wnids.txt in it" in message


@pytest.mark.parametrize(
    ("place", "value"), [(6, 1), (8, 97), (8, 14)], ids=["encrypted", "unknown", "another packing"]
)
def test_a_zip_of_another_kind_is_refused(
    tmp_path: Path, tiny_imagenet: tuple[Path, ImageSet], place: int, value: int
) -> None:
    archive = zipped(tiny_imagenet[0], tmp_path / "tiny.zip")
    data = bytearray(archive.read_bytes())
    for signature, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):  # the local headers and the directory
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data[start + place + shift] = value
    archive.write_bytes(data)
    refusal("tiny-imagenet", archive, tmp_path)
