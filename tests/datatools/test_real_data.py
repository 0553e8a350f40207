"""The official files themselves, where they are at hand: see REAL_DATA."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.files.pickles import load_pickle
from datatools.format.dataset import open_dataset
from datatools.verification import verify
from tests.support.factories import noisy_dataset, real, tree
from tests.support.reader import read_split


def source_records(path: Path, label_bytes: int) -> tuple[list[bytes], list[bytes]]:
    """The label bytes and the pixels of every record of an official binary batch."""
    data, size = path.read_bytes(), label_bytes + 3072
    starts = range(0, len(data), size)
    return [data[n : n + label_bytes] for n in starts], [data[n + label_bytes : n + size] for n in starts]


def test_cifar10_becomes_the_same_pixels_and_labels(tmp_path: Path) -> None:
    source = real("cifar-10-batches-bin")
    made = convert("cifar10", source=source, out=tmp_path / "cifar10")
    assert made.notices == ()
    assert made.dataset.metadata.class_names[3] == "cat"
    for split, names in {"train": [f"data_batch_{n}.bin" for n in range(1, 6)], "test": ["test_batch.bin"]}.items():
        records = read_split(made.dataset.path, split, 3072)
        assert [record[0] for record in records] == list(range({"train": 50_000, "test": 10_000}[split]))
        batches = [source_records(source / name, 1) for name in names]
        assert bytes(record[1] for record in records) == b"".join(label for labels, _ in batches for label in labels)
        assert b"".join(record[2] for record in records) == b"".join(row for _, pixels in batches for row in pixels)
    noisy = noisy_dataset(made.dataset, rate=0.4, noise="pair")
    assert (noisy.metadata.noise or {})["realised_rate"] == 0.4
    assert all(check.passed for check in verify(open_dataset(noisy.path)))


@pytest.mark.parametrize(("label_set", "column"), [("coarse", 0), ("fine", 1)])
def test_a_piece_of_cifar100_becomes_the_same_pixels_and_labels(tmp_path: Path, label_set: str, column: int) -> None:
    source = real("cifar-100-binary")
    made = convert("cifar100", source=source, out=tmp_path / "cifar100", label_set=label_set)
    assert "the official set has 50,000" in made.notices[0]
    names = made.dataset.metadata.class_names
    assert names[:2] == {"coarse": ("aquatic_mammals", "fish"), "fine": ("apple", "aquarium_fish")}[label_set]
    for split in ("train", "test"):
        labels, pixels = source_records(source / f"{split}.bin", 2)
        records = read_split(made.dataset.path, split, 3072)
        assert [record[1] for record in records] == [label[column] for label in labels]
        assert [record[2] for record in records] == pixels


def test_a_part_of_tiny_imagenet_is_what_pillow_decodes(tmp_path: Path) -> None:
    source = real("tiny-imagenet-200-subset.zip")
    made = convert("tiny-imagenet", source=source, out=tmp_path / "zip", workers=2)
    assert "10,000 training and 2,000 test images, the official set has 100,000 and 10,000" in made.notices[0]
    metadata = made.dataset.metadata
    assert len(metadata.class_names) == len(set(metadata.class_names)) == 200
    assert metadata.class_names[0] == "goldfish"
    assert [file.records for file in metadata.splits["train"]] == [2500] * 4
    assert np.bincount(made.dataset.labels("train")).tolist() == [50] * 200
    with zipfile.ZipFile(source) as archive:
        archive.extractall(tmp_path / "unpacked")
        wnids = sorted(archive.read("tiny-imagenet-200/wnids.txt").decode().split())
        names = [f"train/{wnid}/images/{wnid}_{number}.JPEG" for wnid in wnids for number in range(500)]
        present = {name.removeprefix("tiny-imagenet-200/") for name in archive.namelist()}
        names = [name for name in names if name in present]
        modes = set()
        for name, record in list(zip(names, read_split(made.dataset.path, "train", 12_288), strict=True))[::37]:
            with Image.open(archive.open(f"tiny-imagenet-200/{name}")) as image:
                modes.add(image.mode)
                assert np.asarray(image.convert("RGB")).transpose(2, 0, 1).tobytes() == record[2], name
    assert modes == {"L", "RGB"}
    folder = convert("tiny-imagenet", source=tmp_path / "unpacked", out=tmp_path / "folder").dataset
    for split, files in metadata.splits.items():
        assert folder.metadata.splits[split] == files


def test_mnist_becomes_the_same_pixels_and_labels(tmp_path: Path) -> None:
    source = real("mnist")
    made = convert("mnist", source=source, out=tmp_path / "mnist")
    assert made.notices == ()
    for split, prefix, count in (("train", "train", 60_000), ("test", "t10k", 10_000)):
        images = gzip.decompress((source / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((source / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        assert struct.unpack(">4I", images[:16]) == (2051, count, 28, 28)
        records = read_split(made.dataset.path, split, 784)
        assert bytes(record[1] for record in records) == labels[8:]
        assert b"".join(record[2] for record in records) == images[16:]


def test_a_genuine_pickle_cut_short_gets_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    genuine = real("truncated", "cifar-10-batches-py_data_batch_1").read_bytes()
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(genuine)
    with pytest.raises(DataToolsError, match=r"damaged or cut short|bytes") as caught:
        convert("cifar10", source=folder, out=tmp_path / "made" / "out")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("made/*"))
    with pytest.raises(DataToolsError, match="data_batch_1: damaged or cut short"):
        load_pickle(genuine, folder / "data_batch_1")
    assert set(tree(tmp_path)) >= {"source"}


def test_a_genuine_pickle_made_whole_is_read(tmp_path: Path) -> None:
    # the genuine opcodes of Python 2, with the array cut to the images that are there and the rest left out
    genuine = real("truncated", "cifar-10-batches-py_data_batch_1").read_bytes()
    before, after = b"M\x10'M\x00\x0c\x86", b"\x89T" + struct.pack("<i", 10_000 * 3072)
    head, tail = genuine.index(before), genuine.index(after)
    pixels = genuine[tail + len(after) :]
    rows = len(pixels) // 3072
    shape = b"M" + struct.pack("<H", rows) + b"M\x00\x0c\x86"
    array = b"\x89T" + struct.pack("<i", rows * 3072) + pixels[: rows * 3072] + b"tb"
    batch = load_pickle(genuine[:head] + shape + genuine[head + len(before) : tail] + array + b"u.", "data_batch_1")
    assert batch["data"].shape == (rows, 3072)
    assert batch["data"].tobytes() == pixels[: rows * 3072]
    assert len(batch["labels"]) == 10_000
    binary = real("cifar-10-batches-bin", "data_batch_1.bin")
    records = np.fromfile(binary, np.dtype([("label", "u1"), ("pixels", "u1", 3072)]))
    assert batch["labels"] == records["label"].tolist()
    np.testing.assert_array_equal(batch["data"], records["pixels"][:rows])
