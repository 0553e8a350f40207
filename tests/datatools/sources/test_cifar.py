"""CIFAR gives the same in every form; a damaged one is refused with one line and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.sources import open_source
from datatools.sources.base import Request
from tests.support.archives import pack
from tests.support.cifar_files import (
    cifar10_set,
    cifar100_set,
    python2_pickle,
    python3_pickle,
    write_cifar10_binary,
    write_cifar10_python,
    write_cifar100_binary,
    write_cifar100_python,
)
from tests.support.image_sets import ImageSet
from tests.support.opened_sources import Damage, assert_holds, cut, opened, refusal, remove, replace, set_byte

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
