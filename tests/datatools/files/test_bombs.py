"""Small files that would take much time or memory: each is refused within the limits that docs/format.md names."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from datatools.files.json_text import MAX_CONTAINERS
from tests.support.archives import tar_header, zipped
from tests.support.children import PEAK_MEMORY, needs_proc, run_python
from tests.support.factories import clean_dataset, noisy_dataset
from tests.support.official_files import (
    image_folder_set,
    mnist_set,
    tiny_imagenet_set,
    write_image_folder,
    write_mnist,
    write_tiny_imagenet,
)

SECONDS = 10
"""Each took more than 30 before there was a limit; the measured time is 1 to 3, most of it for starting Python."""
MEGABYTES = 300
CHILD = (
    PEAK_MEMORY
    + """
import sys
from pathlib import Path
import h5py
from datatools import conversion, corruption, plots
from datatools.errors import DataToolsError
from datatools.format.dataset import open_dataset
before = peak_memory()
try:
    exec(sys.argv[1])
    print("done")
except DataToolsError as error:
    print(error)
print((peak_memory() - before) >> 10)
"""
)


def outcome(code: str, cwd: Path) -> str:
    """What running `code` says; it keeps to SECONDS and to MEGABYTES."""
    child = run_python(CHILD, code, timeout=SECONDS, cwd=cwd)
    assert child.returncode == 0, child.stderr
    said, megabytes = child.stdout.rstrip("\n").rsplit("\n", 1)
    assert int(megabytes) < MEGABYTES
    return said


def converted(dataset: str, source: Path) -> str:
    return outcome(f"conversion.convert({dataset!r}, source={str(source)!r}, out=Path('out'))", source.parent)


# --- images ----------------------------------------------------------------------------------------------------------


def progressive(scans: int, side: int = 4096) -> bytes:
    """A JPEG whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 128).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + b"\xff\xd9"


def with_comments(data: bytes, comment: bytes, count: int) -> bytes:
    """A JPEG with so many comments at its start."""
    return data[:2] + (b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment) * count + data[2:]


@needs_proc
@pytest.mark.parametrize("format", ["JPEG", "MPO"])
def test_a_jpeg_of_thousands_of_scans_is_not_decoded(tmp_path: Path, format: str) -> None:
    folder = write_image_folder(tmp_path / "images", image_folder_set())
    data = progressive(3000)
    if format == "MPO":  # Pillow gives the format another name where a JPEG says that it has several pictures
        buffer = io.BytesIO()
        Image.new("L", (8, 8)).save(buffer, "MPO", save_all=True, append_images=[Image.new("L", (8, 8))])
        head = buffer.getvalue()
        start = head.index(b"\xff\xe2")
        length = 2 + int.from_bytes(head[start + 2 : start + 4], "big")
        data = data[:2] + head[start : start + length] + data[2:]
    path = next(folder.rglob("*.png")).with_suffix(".jpg")
    path.write_bytes(data)
    assert "3,006 scans, at most 100 are expected" in converted("image-folder", folder)


def test_what_looks_like_scans_in_comments_and_behind_the_end_is_none(tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "images", image_folder_set(shape=(3, 16, 16)))
    image = progressive(0, side=16)
    path = next(folder.rglob("*.png"))
    path.with_suffix(".jpg").write_bytes(with_comments(image, b"\xff\xda" * 300, 2) + b"\xff\xda" * 300)
    path.unlink()
    assert converted("image-folder", folder) == "done"


# --- archives --------------------------------------------------------------------------------------------------------


def many_empty_members(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(30):
            file.write(tar_header(b"x", b"00000000000\0") * 10_000)


def many_pax_headers(path: Path) -> None:
    """Each member gets a copy of all that global headers said: 2 GB of dictionaries from 5 MB of tar."""
    text = b"".join(b"%d k%d=\n" % (len(b"9 k%d=\n" % n), n) for n in range(100_000, 200_000))
    pax = tar_header(b"g", b"%011o\0" % len(text), b"g") + text + bytes(-len(text) % 512)
    local = tar_header(b"p", b"%011o\0" % 6, b"x") + b"6 k=1\n".ljust(512, b"\0") + tar_header(b"x", b"00000000000\0")
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(pax + local * 2000 + bytes(1024))


def sparse_map(path: Path) -> None:
    """A sparse member (pax 1.0) with a map of 50 million entries of two digits."""
    text = b"".join(
        b"%d %s\n" % (len(field) + 4, field)
        for field in (b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.realsize=9")
    )
    pax = tar_header(b"p", b"%011o\0" % len(text), b"x") + text.ljust(512, b"\0")
    size = 200 << 20
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(pax + tar_header(b"x", b"%011o\0" % size) + b"99999999\n\n")
        file.write(b"1\n" * ((1 << 19) - 5))
        for _ in range((size >> 20) - 1):
            file.write(b"1\n" * (1 << 19))
        file.write(bytes(1024))


@needs_proc
@pytest.mark.parametrize(
    ("bomb", "said"),
    [
        (many_empty_members, "more than 10,000 members"),
        (many_pax_headers, "no CIFAR-10 batches there"),
        (sparse_map, "no CIFAR-10 batches there"),
    ],
)
def test_a_tar_of_many_headers_is_passed_over(tmp_path: Path, bomb: Callable[[Path], None], said: str) -> None:
    bomb(tmp_path / "bomb.tar.gz")
    assert said in converted("cifar10", tmp_path / "bomb.tar.gz")


@needs_proc
def test_a_zip_with_a_directory_of_a_million_members_is_refused(tmp_path: Path) -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, *[0] * 14)
    entries = 1_400_000
    directory = entry * entries
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    (tmp_path / "bomb.zip").write_bytes(directory + end)
    assert "more than 300,000 members" in converted("tiny-imagenet", tmp_path / "bomb.zip")


@needs_proc
def test_a_zip_of_many_classes_takes_time_in_proportion(tmp_path: Path) -> None:
    folder, _ = write_tiny_imagenet(tmp_path / "tiny-imagenet-200", tiny_imagenet_set())
    wnids = (folder / "wnids.txt").read_text() + "".join(f"n{number:08}\n" for number in range(100, 60_000))
    (folder / "wnids.txt").write_text(wnids)
    assert converted("tiny-imagenet", zipped(folder, tmp_path / "tiny.zip")) == "done"


def test_a_zip_member_that_only_a_large_dictionary_unpacks_is_refused(tmp_path: Path) -> None:
    folder, _ = write_tiny_imagenet(tmp_path / "tiny-imagenet-200", tiny_imagenet_set())
    assert "packed otherwise" in converted("tiny-imagenet", zipped(folder, tmp_path / "a.zip", zipfile.ZIP_LZMA))


def test_folders_in_folders_have_no_end(tmp_path: Path) -> None:
    folder, _ = write_tiny_imagenet(tmp_path / "tiny-imagenet-200", tiny_imagenet_set())
    for depth in range(1, 600):
        Path(folder, *["d"] * depth).mkdir()
    code = (
        "sys.setrecursionlimit(400); conversion.convert('tiny-imagenet', source='tiny-imagenet-200', out=Path('out'))"
    )
    assert outcome(code, tmp_path) == "done"


def test_images_that_would_unpack_to_terabytes_are_refused(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "mnist", mnist_set())
    records = 9_000_000
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", records) + bytes(records))
    (folder / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", records, 1000, 1000))
    assert "are not MNIST's" in converted("mnist", folder)


# --- datasets and what noise is made from ----------------------------------------------------------------------------


@needs_proc
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[" + b"[]," * (5 << 20) + b"[]]", "more than 200,000 objects and lists"),
        (b"[" + b"[]," * (21 << 20) + b"[]]", "larger than 16 MiB"),
        (b'{"class_names": [' + b'"a",' * (3 << 20) + b'"a"]}', "'format_version'"),
    ],
    ids=["lists", "more lists", "names"],
)
def test_a_dataset_json_full_of_small_things_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "dataset.json").write_bytes(text)
    assert said in outcome("open_dataset('.')", tmp_path)


def test_no_dataset_json_is_written_that_would_be_refused(tmp_path: Path) -> None:
    dataset = clean_dataset(tmp_path / "clean")
    facts = json.loads((dataset.path / "dataset.json").read_text())
    text = json.dumps(facts)
    facts["source"] = {"lists": [[]] * (MAX_CONTAINERS - 1 - text.count("[") - text.count("{"))}
    (dataset.path / "dataset.json").write_text(json.dumps(facts))
    said = outcome("corruption.corrupt(open_dataset('clean'), noise='pair', rate=0.4)", tmp_path)
    assert "could not be read again: more than 200,000 objects and lists" in said
    assert [path.name for path in tmp_path.iterdir()] == ["clean"]


@needs_proc
@pytest.mark.parametrize("data", [b"0," * (31 << 20), b"0\n" * (31 << 20), b"\n" * (60 << 20), b",\n" * (31 << 20)])
def test_a_matrix_file_of_millions_of_cells_makes_no_number_of_each(tmp_path: Path, data: bytes) -> None:
    clean_dataset(tmp_path / "clean")
    (tmp_path / "matrix.csv").write_bytes(data)
    said = outcome("corruption.corrupt(open_dataset('clean'), noise='matrix', matrix=Path('matrix.csv'))", tmp_path)
    assert said.startswith("matrix.csv: ")


@needs_proc
def test_a_matrix_in_bytes_is_not_made_eight_times_as_large(tmp_path: Path) -> None:
    clean_dataset(tmp_path / "clean")
    np.save(tmp_path / "matrix.npy", np.zeros((7000, 8000), np.uint8))
    said = outcome("corruption.corrupt(open_dataset('clean'), noise='matrix', matrix=Path('matrix.npy'))", tmp_path)
    assert said.startswith("matrix.npy: 7000 x 8000, a 4 x 4 matrix is expected")


@needs_proc
def test_a_manifest_whose_matrix_is_nowhere_stored_is_refused(tmp_path: Path) -> None:
    dataset = noisy_dataset(clean_dataset(tmp_path / "clean"), out=tmp_path / "noisy")
    classes = 30_000
    facts = json.loads((dataset.path / "dataset.json").read_text())
    facts |= {"num_classes": classes, "class_names": ["a"] * classes}
    (dataset.path / "dataset.json").write_text(json.dumps(facts))
    with h5py.File(dataset.manifest_path, "r+") as file:
        file.attrs["num_classes"] = classes
        for name in ("realised_matrix", "transition_matrix"):
            del file[name]
            file.create_dataset(name, (classes, classes), np.float64)  # 7.2 GB of zeros that take no room
    assert "'realised_matrix' is not stored whole" in outcome("open_dataset('noisy').manifest()", tmp_path)


@needs_proc
@pytest.mark.parametrize("opcode", [b"]", b"}", b"\x8f"], ids=["lists", "dictionaries", "sets"])
def test_a_pickle_of_millions_of_empty_containers_is_refused(tmp_path: Path, opcode: bytes) -> None:
    (tmp_path / "batch").write_bytes(b"\x80\x04" + opcode * (20 << 20) + b".")
    said = outcome(
        "from datatools.files.pickles import load_pickle; load_pickle(Path('batch').read_bytes(), 'batch')", tmp_path
    )
    assert "more than 1,000,000 opcodes" in said


def test_a_tar_packed_by_xz_is_read_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(lzma.compress(tar_header(b"x", b"00000000000\0") + bytes(1024)))
    assert "no CIFAR-10 batches there" in converted("cifar10", tmp_path / "a.tar.xz")
