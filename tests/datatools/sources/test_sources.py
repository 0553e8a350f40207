"""Every source gives its examples as they are; every broken one is refused with one line and leaves nothing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.sources import SOURCES, open_source, source_spec
from datatools.sources.base import Request, Source
from tests.support.children import PEAK_MEMORY, needs_proc, run_python
from tests.support.factories import (
    SOURCE_FACTORIES,
    ImageSet,
    add_member,
    cifar10_set,
    cifar100_set,
    mnist_set,
    pack,
    python2_pickle,
    python3_pickle,
    tar_header,
    tiny_imagenet_set,
    tree,
    write_cifar10_binary,
    write_cifar10_python,
    write_cifar100_binary,
    write_cifar100_python,
    write_mnist,
    write_tiny_imagenet,
    zipped,
)
from tests.support.reader import read_split

Damage = Callable[[Path], object]


def opened(name: str, location: Path | None, label_set: str | None = None) -> Source:
    return open_source(name, Request(location, Path("nowhere"), label_set))


def everything(source: Source, split: str) -> tuple[np.ndarray, np.ndarray]:
    """All labels and all pixels of a split."""
    chunks = list(source.splits[split].chunks())
    return np.concatenate([chunk.labels for chunk in chunks]), np.concatenate([chunk.decode() for chunk in chunks])


def assert_holds(source: Source, content: ImageSet, label_set: str = "fine") -> None:
    """The source gives exactly what the factory wrote."""
    assert source.class_names == content.names[label_set]
    for split, batch in content.splits.items():
        labels, pixels = everything(source, split)
        assert source.splits[split].records == len(batch)
        assert labels.tolist() == batch.labels[label_set].tolist()
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, batch.pixels)


def refusal(name: str, location: Path | None, tmp_path: Path, **more: Any) -> str:
    """The message with which converting is refused: one line; and nothing was written."""
    out = tmp_path / "made" / "out"
    out.parent.mkdir()
    with pytest.raises(DataToolsError) as caught:
        convert(name, root=tmp_path / "root", source=location, out=out, **more)
    assert tree(out.parent) == {}
    assert not (tmp_path / "root").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- the registry's contract -----------------------------------------------------------------------------------------


def test_every_source_has_a_factory() -> None:
    assert set(SOURCE_FACTORIES) == set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_what_its_registry_line_and_its_facts_say(tmp_path: Path, name: str) -> None:
    made = SOURCE_FACTORIES[name](tmp_path)
    source = opened(name, made.location)
    assert set(source.splits) == {"train", "test"}
    for split in source.splits.values():
        chunks = list(split.chunks())
        assert sum(len(chunk.labels) for chunk in chunks) == split.records > 0
        for chunk in chunks:
            pixels = chunk.decode()
            assert isinstance(pixels, np.ndarray)
            assert pixels.shape == (len(chunk.labels), *source.image_shape)
            assert pixels.dtype == np.uint8
            assert ((chunk.labels >= 0) & (chunk.labels < len(source.class_names))).all()
    if made.content is not None:
        label_sets = SOURCES[name].label_sets
        assert_holds(source, made.content, label_sets[0] if label_sets else "fine")


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_can_be_read_twice(tmp_path: Path, name: str) -> None:
    source = opened(name, SOURCE_FACTORIES[name](tmp_path).location)
    for first, second in zip(everything(source, "train"), everything(source, "train"), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_parts_read_at_the_same_time_hold_what_the_split_holds(tmp_path: Path, name: str, split: str) -> None:
    source = opened(name, SOURCE_FACTORIES[name](tmp_path).location)
    parts = source.splits[split].parts
    assert bool(parts) == (name in ("cifar10", "cifar100"))
    if not parts:
        return
    in_turn = list(zip_longest(*(part.chunks() for part in reversed(parts))))  # every part is open at once
    labels, pixels = everything(source, split)
    found = [chunk for part in reversed(list(zip(*in_turn, strict=True))) for chunk in part if chunk is not None]
    assert [part.records for part in parts] == [len(labels) // len(parts)] * len(parts)
    np.testing.assert_array_equal(np.concatenate([chunk.labels for chunk in found]), labels)
    np.testing.assert_array_equal(np.concatenate([chunk.decode() for chunk in found]), pixels)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_becomes_records_with_dense_ids(tmp_path: Path, name: str) -> None:
    location = SOURCE_FACTORIES[name](tmp_path).location
    source = opened(name, location)
    made = convert(name, source=location, out=tmp_path / "out").dataset
    for split in ("train", "test"):
        labels, pixels = everything(source, split)
        records = read_split(made.path, split, int(np.prod(source.image_shape)))
        assert [record[0] for record in records] == list(range(len(labels)))
        assert [record[1] for record in records] == labels.tolist()
        assert b"".join(record[2] for record in records) == pixels.tobytes()


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "digits"])
def test_a_missing_source_is_refused_with_the_place(tmp_path: Path, name: str) -> None:
    assert "missing" in refusal(name, tmp_path / "missing", tmp_path)


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "digits"])
def test_an_empty_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in refusal(name, tmp_path / "empty", tmp_path)


@pytest.mark.parametrize("name", [name for name in SOURCES if not SOURCES[name].label_sets])
def test_a_label_set_that_a_source_has_not_is_refused(tmp_path: Path, name: str) -> None:
    assert "one label set" in refusal(name, SOURCE_FACTORIES[name](tmp_path).location, tmp_path, label_set="coarse")


def test_an_unknown_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataToolsError, match=r"'svhn'.*cifar10"):
        source_spec("svhn")


# --- digits ----------------------------------------------------------------------------------------------------------


def test_the_digits_are_split_for_good_and_by_class() -> None:
    source = opened("digits", None)
    assert source.image_shape == (1, 8, 8)
    assert source.class_names == tuple("0123456789")
    assert {split: content.records for split, content in source.splits.items()} == {"train": 1442, "test": 355}
    train, test = (np.bincount(everything(source, split)[0]) for split in ("train", "test"))
    assert (np.abs(test / (train + test) - 0.2) < 0.01).all()


def test_the_digits_reach_from_black_to_white_and_no_image_is_in_both_splits() -> None:
    source = opened("digits", None)
    train, test = (everything(source, split)[1].reshape(-1, 64) for split in ("train", "test"))
    assert (train.min(), train.max()) == (0, 255)
    assert np.unique(train).size == 17
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}


def test_the_digits_take_no_source(tmp_path: Path) -> None:
    assert "leave --source out" in refusal("digits", tmp_path, tmp_path)


# --- CIFAR: every form gives the same --------------------------------------------------------------------------------

CIFAR_FORMS: dict[str, dict[str, Callable[[Path, ImageSet], Path]]] = {
    "cifar10": {
        "binary": lambda folder, content: write_cifar10_binary(folder / "cifar-10-batches-bin", content),
        "python 2": lambda folder, content: write_cifar10_python(folder / "cifar-10-batches-py", content),
        "python 3": lambda folder, content: write_cifar10_python(
            folder / "cifar-10-batches-py", content, python3_pickle
        ),
    },
    "cifar100": {
        "binary": lambda folder, content: write_cifar100_binary(folder / "cifar-100-binary", content),
        "python 2": lambda folder, content: write_cifar100_python(folder / "cifar-100-python", content),
        "python 3": lambda folder, content: write_cifar100_python(folder / "cifar-100-python", content, python3_pickle),
    },
}
CIFAR_SETS = {"cifar10": cifar10_set(), "cifar100": cifar100_set()}
EVERY_FORM = [(name, form) for name, forms in CIFAR_FORMS.items() for form in forms]


@pytest.mark.parametrize(("name", "form"), EVERY_FORM)
@pytest.mark.parametrize("packing", ["folder", "folder above", "w:gz", "w", "w:bz2", "w:xz"])
def test_every_form_of_cifar_holds_the_same(tmp_path: Path, name: str, form: str, packing: str) -> None:
    location = CIFAR_FORMS[name][form](tmp_path, CIFAR_SETS[name])
    if packing == "folder above":
        location = tmp_path
    elif packing != "folder":
        location = pack(location, tmp_path / "archive.tar", packing)
    source = opened(name, location)
    assert_holds(source, CIFAR_SETS[name])
    assert source.location == str(location)
    assert source.archive == (location if location.is_file() else None)
    parted = form == "binary" and location.is_dir()  # a tar archive is one stream
    assert all(bool(split.parts) == parted for split in source.splits.values())


@pytest.mark.parametrize("form", CIFAR_FORMS["cifar100"])
@pytest.mark.parametrize("label_set", ["fine", "coarse"])
def test_cifar100_has_fine_and_coarse_labels(tmp_path: Path, form: str, label_set: str) -> None:
    content = CIFAR_SETS["cifar100"]
    source = opened("cifar100", CIFAR_FORMS["cifar100"][form](tmp_path, content), label_set)
    assert len(source.class_names) == {"fine": 100, "coarse": 20}[label_set]
    assert_holds(source, content, label_set)


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "cifar-10-batches-bin"])
def test_a_source_under_raw_is_found(tmp_path: Path, name: str) -> None:
    folder = write_cifar10_binary(tmp_path / "raw" / "cifar-10-batches-bin", cifar10_set())
    if name.endswith(".gz"):
        pack(folder, tmp_path / "raw" / name)
    source = open_source("cifar10", Request(None, tmp_path / "raw"))
    assert source.location == str(tmp_path / "raw" / name)


def test_where_no_source_is_under_raw_the_address_is_given(tmp_path: Path) -> None:
    message = refusal("cifar10", None, tmp_path)
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in message
    assert "--source" in message


def test_class_names_with_windows_line_ends_are_read(tmp_path: Path) -> None:
    content = cifar10_set()
    folder = write_cifar10_binary(tmp_path / "source", content)
    (folder / "batches.meta.txt").write_bytes("\r\n".join(content.names["fine"]).encode())
    assert_holds(opened("cifar10", folder), content)


# --- CIFAR: damage ---------------------------------------------------------------------------------------------------


def cut(name: str, by: int = 1) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-by])


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def replace(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def set_byte(name: str, place: int, value: int) -> Damage:
    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[place] = value
        (folder / name).write_bytes(data)

    return damage


def batch_with(**changes: Any) -> bytes:
    """A python batch of ten good images, but for `changes`."""
    values = {"labels": list(range(10)), "data": np.zeros((10, 3072), np.uint8), **changes}
    return python3_pickle({key: value for key, value in values.items() if value is not None})


BINARY_DAMAGE: dict[str, tuple[Damage, str]] = {
    "one byte short": (cut("data_batch_3.bin"), "data_batch_3.bin"),
    "one byte long": (lambda folder: (folder / "test_batch.bin").open("ab").write(b"\0"), "test_batch.bin"),
    "another record size": (replace("data_batch_2.bin", bytes(3072 * 5)), "data_batch_2.bin"),
    "an empty batch": (replace("data_batch_2.bin", b""), "data_batch_2.bin"),
    "a label out of range in the last batch": (set_byte("test_batch.bin", 3073 * 4, 10), "record 4 has label 10"),
    "a label of 255": (set_byte("data_batch_1.bin", 0, 255), "record 0 has label 255"),
    "no first batch": (remove("data_batch_1.bin"), "data_batch_1.bin"),
    "no last batch": (remove("data_batch_5.bin"), "data_batch_5.bin"),
    "no test batch": (remove("test_batch.bin"), "test_batch.bin"),
    "no names": (remove("batches.meta.txt"), "batches.meta.txt"),
    "nine names": (replace("batches.meta.txt", b"a\n" * 9), "9 class names, 10 expected"),
    "eleven names": (replace("batches.meta.txt", b"a\n" * 11), "11 class names, 10 expected"),
    "a huge names file": (lambda folder: (folder / "batches.meta.txt").open("r+b").truncate(1 << 40), "bytes"),
}
PYTHON_DAMAGE: dict[str, tuple[Damage, str]] = {
    "one byte short": (cut("data_batch_3"), "data_batch_3"),
    "half a batch": (cut("data_batch_3", 15_000), "data_batch_3"),
    "an empty batch": (replace("data_batch_2", b""), "data_batch_2"),
    "a label out of range": (replace("test_batch", batch_with(labels=[*range(9), 10])), "record 9 has label 10"),
    "a negative label": (replace("test_batch", batch_with(labels=[-1] * 10)), "record 0 has label -1"),
    "a huge label": (replace("test_batch", batch_with(labels=[1 << 70] * 10)), "record 0 has label"),
    "labels that are no numbers": (replace("test_batch", batch_with(labels=["1"] * 10)), "labels are not"),
    "labels that are truth values": (replace("test_batch", batch_with(labels=[True] * 10)), "labels are not"),
    "fewer labels than images": (replace("test_batch", batch_with(labels=[1])), "labels are not 10"),
    "no labels": (replace("test_batch", batch_with(labels=None)), "labels are not"),
    "no images": (replace("test_batch", batch_with(data=None)), "'data'"),
    "images of another size": (replace("test_batch", batch_with(data=np.zeros((10, 12), np.uint8))), "'data'"),
    "images of another type": (replace("test_batch", batch_with(data=np.zeros((10, 3072)))), "'data'"),
    "a number for images": (replace("test_batch", batch_with(data=np.array(5, np.uint8))), "'data'"),
    "no last batch": (remove("data_batch_5"), "data_batch_5"),
    "no test batch": (remove("test_batch"), "test_batch"),
    "no names": (remove("batches.meta"), "batches.meta"),
    "names that are no list": (replace("batches.meta", python2_pickle({"label_names": 10})), "0 class names"),
    "a payload": (replace("data_batch_4", b"cos\nsystem\n(S'true'\ntR."), "os.system"),
}


@pytest.mark.parametrize("damage", BINARY_DAMAGE)
def test_a_damaged_binary_cifar_is_refused(tmp_path: Path, damage: str) -> None:
    folder = write_cifar10_binary(tmp_path / "source", cifar10_set())
    break_it, said = BINARY_DAMAGE[damage]
    break_it(folder)
    assert said in refusal("cifar10", folder, tmp_path)


@pytest.mark.parametrize("damage", PYTHON_DAMAGE)
def test_a_damaged_python_cifar_is_refused(tmp_path: Path, damage: str) -> None:
    folder = write_cifar10_python(tmp_path / "source", cifar10_set(), python3_pickle)
    break_it, said = PYTHON_DAMAGE[damage]
    break_it(folder)
    assert said in refusal("cifar10", folder, tmp_path)


@pytest.mark.parametrize(("label_set", "place", "label"), [("fine", 1, 100), ("coarse", 0, 20)], ids=["fine", "coarse"])
def test_a_cifar100_label_out_of_range_is_refused(tmp_path: Path, label_set: str, place: int, label: int) -> None:
    folder = write_cifar100_binary(tmp_path / "source", cifar100_set())
    set_byte("train.bin", 3074 * 7 + place, label)(folder)
    assert f"record 7 has label {label}" in refusal("cifar100", folder, tmp_path, label_set=label_set)


def test_cifar10_given_as_cifar100_is_refused(tmp_path: Path) -> None:
    refusal("cifar100", write_cifar10_binary(tmp_path / "source", cifar10_set()), tmp_path)


# --- archives --------------------------------------------------------------------------------------------------------


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    return write_cifar10_binary(tmp_path / "cifar-10-batches-bin", cifar10_set())


def base256(number: int) -> bytes:
    """The size field of a tar header for numbers that octal digits cannot hold."""
    if number < 0:
        return b"\xff" + (256**11 + number).to_bytes(11, "big")
    return b"\x80" + number.to_bytes(11, "big")


def test_members_outside_the_folder_write_nothing_outside(tmp_path: Path, batches: Path) -> None:
    archive, inner = tmp_path / "evil.tar.gz", tmp_path / "inner"
    absolute = tmp_path / "absolute"
    with tarfile.open(archive, "w:gz") as tar:
        for number, path in enumerate(sorted(batches.iterdir())):
            add_member(tar, f"{'../' * number}x/{path.name}", path.read_bytes())
        for name in ("../escaped", "../../escaped", str(absolute / "escaped"), "a/../../escaped"):
            add_member(tar, name, b"outside")
    inner.mkdir()
    before = tree(tmp_path)
    convert("cifar10", source=archive, out=inner / "out")
    after = {path: content for path, content in tree(tmp_path).items() if not path.startswith("inner/")}
    assert after == before
    assert sorted(path.name for path in inner.iterdir()) == ["out"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_no_plain_files_are_not_followed(tmp_path: Path, batches: Path, kind: bytes) -> None:
    archive = tmp_path / "links.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(batches.iterdir()):
            if path.name == "data_batch_2.bin":
                link = tarfile.TarInfo("x/data_batch_2.bin")
                link.type, link.linkname = kind, str(path)
                tar.addfile(link)
            else:
                add_member(tar, f"x/{path.name}", path.read_bytes())
    assert "data_batch_2.bin missing" in refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize("size", [1 << 31, 1 << 40, 1 << 80])
def test_a_member_that_claims_to_be_huge_is_refused(tmp_path: Path, size: int) -> None:
    archive = tmp_path / "huge.tar"
    archive.write_bytes(tar_header(b"data_batch_1.bin", base256(size)) + bytes(10_240))
    assert "1 GiB" in refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"], ids=["pax", "global pax", "long name", "long link"])
@pytest.mark.parametrize("size", [1 << 62, 1 << 80])
@pytest.mark.parametrize("mode", ["plain", "gz"])
def test_a_header_that_claims_to_be_huge_is_refused(tmp_path: Path, kind: bytes, size: int, mode: str) -> None:
    archive = tmp_path / "huge.tar"
    content = tar_header(b"name", base256(size), kind) + bytes(10_240)
    archive.write_bytes(gzip.compress(content) if mode == "gz" else content)
    refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize("size", [-512, -1024, -1])
def test_a_member_of_negative_size_does_not_hang(tmp_path: Path, size: int) -> None:
    good = tar_header(b"a", b"00000000000\0")
    (tmp_path / "negative.tar").write_bytes(good + tar_header(b"b", base256(size)) + bytes(10_240))
    child = run_python(
        """
import pathlib, sys
from datatools.errors import DataToolsError
from datatools.sources import open_source
from datatools.sources.base import Request
try:
    open_source("cifar10", Request(pathlib.Path(sys.argv[1]), pathlib.Path("raw")))
except DataToolsError:
    print("refused")
""",
        tmp_path / "negative.tar",
        timeout=5,
    )
    assert child.stdout == "refused\n", child.stderr


@needs_proc
def test_an_archive_that_unpacks_to_much_takes_little_memory(tmp_path: Path) -> None:
    # a long name of 300 MB, in 300 kB: tarfile reads it whole unless it is stopped
    size = 300 << 20
    with gzip.open(tmp_path / "bomb.tar.gz", "wb", compresslevel=1) as file:
        file.write(tar_header(b"././@LongLink", b"%011o\0" % size, b"L"))
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
        file.write(bytes(10_240))
    child = run_python(
        PEAK_MEMORY
        + """
import pathlib, sys
from datatools.errors import DataToolsError
from datatools.sources import cifar, open_source
from datatools.sources.base import Request
before = peak_memory()
try:
    open_source("cifar10", Request(pathlib.Path(sys.argv[1]), pathlib.Path("raw")))
except DataToolsError:
    print(peak_memory() - before)
""",
        tmp_path / "bomb.tar.gz",
    )
    assert child.stdout, child.stderr
    assert int(child.stdout) < 100 << 10  # KiB


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.95])
def test_an_archive_cut_short_is_refused(tmp_path: Path, batches: Path, mode: str, share: float) -> None:
    archive = pack(batches, tmp_path / "archive.tar", mode)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    assert str(archive) in refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_a_packed_archive_that_is_damaged_is_refused(tmp_path: Path, batches: Path, mode: str, share: float) -> None:
    archive = pack(batches, tmp_path / "archive.tar", mode)
    data = bytearray(archive.read_bytes())
    start = int(len(data) * share)
    data[start : start + 400] = bytes(byte ^ 0x55 for byte in data[start : start + 400])
    archive.write_bytes(data)
    refusal("cifar10", archive, tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"no tar", mtime=0), bz2.compress(b"no tar"), lzma.compress(b"no tar")],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    assert str(tmp_path / "archive") in refusal("cifar10", tmp_path / "archive", tmp_path)


def test_an_archive_within_an_archive_is_not_unpacked(tmp_path: Path, batches: Path) -> None:
    inner = pack(batches, tmp_path / "inner.tar.gz")
    with tarfile.open(tmp_path / "outer.tar.gz", "w:gz") as tar:
        tar.add(inner, "data_batch_1.bin")
    assert "missing" in refusal("cifar10", tmp_path / "outer.tar.gz", tmp_path)


# --- MNIST -----------------------------------------------------------------------------------------------------------


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


# --- Tiny-ImageNet ---------------------------------------------------------------------------------------------------


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
