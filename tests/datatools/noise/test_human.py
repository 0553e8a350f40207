"""Human labels: the label files of CIFAR-10N and CIFAR-100N, the real ones where they are at hand, and hostile ones."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datatools.conversion import convert
from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest
from datatools.noise import label_files
from datatools.noise.asymmetric import CIFAR100_SUPERCLASSES
from datatools.verification import verify
from tests.support.children import PEAK_MEMORY, needs_proc, run_python
from tests.support.factories import clean_dataset, convert_source, made_up_source, real, tree

# --- label files without torch ---------------------------------------------------------------------------------------


def pickled(columns: dict[str, Any]) -> bytes:
    """Protocol 2 with NumPy's old module name, as in the official files."""
    return pickle.dumps(columns, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def write_pt(path: Path, columns: dict[str, Any], data: bytes | None = None) -> Path:
    """A .pt file of `columns`, or of the pickle `data`: a zip of stored members in one folder, as torch writes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickled(columns) if data is None else data)
        archive.writestr(f"{path.stem}/version", b"3\n")
    return path


def write_npy(path: Path, columns: dict[str, Any]) -> Path:
    """A .npy file of `columns`: an array of objects with one item."""
    np.save(path, np.array(columns, object))
    return path


def by_hand() -> bytes:
    """{"clean_label": array([1, 0]), "noisy_label": [0, 0]} opcode by opcode, as the official .pt files have it."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04c_codecs\nencode\nq\x05"
        b"X\x01\x00\x00\x00bq\x06X\x06\x00\x00\x00latin1q\x07\x86q\x08Rq\x09\x87q\x0aRq\x0b"
    )
    dtype = (
        b"cnumpy\ndtype\nq\x0dX\x02\x00\x00\x00i8q\x0e\x89\x88\x87q\x0fRq\x10(K\x03X\x01\x00\x00\x00<q\x11NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b"
    )
    text = struct.pack("<2q", 1, 0)
    content = b"\x89h\x05X" + struct.pack("<I", len(text)) + text + b"q\x13h\x07\x86q\x14Rq\x15tq\x16b"
    clean = b"X\x0b\x00\x00\x00clean_labelq\x01" + array + b"(K\x01K\x02\x85q\x0c" + dtype + content
    return b"\x80\x02}q\x00(" + clean + b"X\x0b\x00\x00\x00noisy_labelq\x17]q\x18(K\x00K\x00eu."


def human_columns(clean: np.ndarray, num_classes: int, seed: int = 0) -> dict[str, Any]:
    """Columns like those of CIFAR-10N: clean labels, and two of which a part is wrong."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {"clean_label": clean.astype(np.int64)}
    for name, share in (("aggre_label", 0.1), ("worse_label", 0.4)):
        wrong = generator.random(len(clean)) < share
        columns[name] = np.where(wrong, (clean + 1) % num_classes, clean).astype(np.int64)
    return columns


WRITERS: dict[str, Callable[[Path, dict[str, Any]], Path]] = {".pt": write_pt, ".npy": write_npy}


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    return clean_dataset(tmp_path / "clean", train=60, num_classes=4)


@pytest.fixture
def columns(parent: Dataset) -> dict[str, Any]:
    return human_columns(parent.labels("train"), 4)


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("column", ["aggre_label", "worse_label"])
def test_the_labels_of_a_column_become_the_noisy_ones(
    tmp_path: Path, parent: Dataset, columns: dict[str, Any], suffix: str, column: str
) -> None:
    file = WRITERS[suffix](tmp_path / f"human{suffix}", columns)
    made = corrupt(parent, noise="human", labels=file, column=column)
    assert made.dataset.path.name == f"clean-human-{column}"
    assert made.dataset.labels("train").tolist() == columns[column].tolist()
    manifest = read_manifest(made.dataset.manifest_path, 60, 4)
    assert manifest.clean_labels.tolist() == columns["clean_label"].tolist()
    assert manifest.transition_matrix is None
    assert (manifest.rate, manifest.seed, manifest.sampling) == (None, None, "given")
    assert manifest.realised_rate == np.mean(columns[column] != columns["clean_label"]) > 0
    noise = made.dataset.metadata.noise or {}
    assert (noise["rate"], noise["seed"], noise["column"]) == (None, None, column)
    assert noise["labels_file"] == {"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    file.unlink()  # the dataset stands on its own
    assert [check for check in verify(open_dataset(made.dataset.path)) if check.passed is not True] == []


def test_a_pickle_written_opcode_by_opcode_is_read(tmp_path: Path) -> None:
    columns, _ = label_files.read(write_pt(tmp_path / "x.pt", {}, by_hand()))
    assert {name: column.tolist() for name, column in columns.items()} == {
        "clean_label": [1, 0],
        "noisy_label": [0, 0],
    }


def test_lists_arrays_and_other_values_are_told_apart(tmp_path: Path) -> None:
    values = {"clean_label": [0, 1], "a": np.array([1, 0], np.uint8), "b": [0.5], "c": "text", "d": np.eye(2), "e": []}
    columns, _ = label_files.read(write_pt(tmp_path / "x.pt", values))
    assert {name: column.tolist() for name, column in columns.items()} == {"clean_label": [0, 1], "a": [1, 0]}


def test_coarse_columns_go_with_coarse_clean_labels(tmp_path: Path) -> None:
    names = {"fine": np.arange(40) % 4, "coarse": np.arange(40) % 2}
    values: dict[str, Any] = {"clean_label": names["fine"], "noisy_label": names["fine"][::-1].copy()}
    values |= {"clean_coarse_label": names["coarse"].tolist(), "noisy_coarse_label": names["coarse"][::-1].tolist()}
    file = write_pt(tmp_path / "human.pt", values)
    coarse = convert_source(made_up_source(names["coarse"], [0, 1], 2), tmp_path / "coarse").dataset
    made = corrupt(coarse, noise="human", labels=file, column="noisy_coarse_label")
    assert made.manifest.realised_rate == 1
    with pytest.raises(DataToolsError, match="another order"):
        corrupt(coarse, noise="human", labels=file, column="noisy_label")


def test_the_first_labels_serve_a_limited_set_that_agrees(tmp_path: Path) -> None:
    clean = np.arange(60) % 4
    source = made_up_source(clean, [0, 1], 4)
    file = write_pt(tmp_path / "human.pt", human_columns(clean, 4))
    limited = convert_source(source, tmp_path / "limited", limit=20).dataset
    made = corrupt(limited, noise="human", labels=file, column="worse_label")
    assert made.notices == (f"{file}: the first 20 of its 60 labels are used",)
    part = convert_source(made_up_source(clean[:20], [0, 1], 4), tmp_path / "part").dataset
    with pytest.raises(DataToolsError, match=r"60 labels, .* has 20 training images"):
        corrupt(part, noise="human", labels=file, column="worse_label")


# --- what is refused -------------------------------------------------------------------------------------------------


class Payload:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.sentinel}",)


def swapped(columns: dict[str, Any]) -> dict[str, Any]:
    """Two images of different classes change places."""
    other = int(np.flatnonzero(columns["clean_label"] != columns["clean_label"][7])[-1])
    order = np.arange(len(columns["clean_label"]))
    order[[7, other]] = order[[other, 7]]
    return {name: column[order] for name, column in columns.items()}


def changed(columns: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {name: column for name, column in {**columns, **values}.items() if column is not None}


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "two rows swapped": (swapped, "2 of 60 differ, first at ids 7"),
    "another order": (lambda c: {k: v[::-1].copy() for k, v in c.items()}, "_ordered"),
    "too short": (lambda c: {k: v[:-1] for k, v in c.items()}, "59 labels"),
    "too long": (lambda c: {k: np.append(v, 0) for k, v in c.items()}, "61 labels"),
    "one column shorter": (lambda c: changed(c, worse_label=c["worse_label"][:-1]), "59 labels in worse_label"),
    "no clean labels": (lambda c: changed(c, clean_label=None), "no clean_label"),
    "no such column": (lambda c: changed(c, worse_label=None), "'worse_label'.*it has aggre_label"),
    "a label too high": (lambda c: changed(c, worse_label=c["worse_label"] + 9), "in row 0, 0..3 expected"),
    "a negative label": (lambda c: changed(c, worse_label=c["worse_label"] - 9), "in row 0, 0..3 expected"),
    "floats": (lambda c: changed(c, worse_label=c["worse_label"] * 1.0), "no column 'worse_label'"),
    "two dimensions": (lambda c: changed(c, worse_label=c["worse_label"][None]), "no column 'worse_label'"),
    "nothing": (lambda c: {}, "no column of labels"),
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_does_not_fit_gets_one_line_and_writes_nothing(
    tmp_path: Path, parent: Dataset, columns: dict[str, Any], suffix: str, mistake: str
) -> None:
    change, said = MISTAKES[mistake]
    file = WRITERS[suffix](tmp_path / f"human{suffix}", change(columns))
    before = tree(tmp_path)
    with pytest.raises(DataToolsError, match=said) as caught:
        corrupt(parent, noise="human", labels=file, column="worse_label")
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


def test_clean_labels_are_no_noisy_ones(tmp_path: Path, parent: Dataset, columns: dict[str, Any]) -> None:
    with pytest.raises(DataToolsError, match="'clean_label' of given labels"):
        corrupt(parent, noise="human", labels=write_pt(tmp_path / "h.pt", columns), column="clean_label")


def refusal(path: Path) -> str:
    with pytest.raises(DataToolsError) as caught:
        label_files.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_payload_does_not_run(tmp_path: Path, suffix: str) -> None:
    sentinel = tmp_path / "sentinel"
    file = WRITERS[suffix](tmp_path / f"x{suffix}", {"clean_label": [0], "evil": Payload(sentinel)})
    assert "was not executed" in refusal(file)
    assert not sentinel.exists()


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    file = WRITERS[suffix](tmp_path / f"x{suffix}", {"clean_label": np.arange(9), "noisy_label": np.arange(9)})
    data = file.read_bytes()
    for end in range(0, len(data), 7):
        file.write_bytes(data[:end])
        refusal(file)


def zip_of(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"N.")
    return path


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.pt")
    (tmp_path / "text.pt").write_text("labels")
    assert "neither a .pt" in refusal(tmp_path / "text.pt")
    assert "0 files data.pkl" in refusal(zip_of(tmp_path / "a.pt", "x/other"))
    assert "2 files data.pkl" in refusal(zip_of(tmp_path / "b.pt", "x/data.pkl", "y/data.pkl"))
    assert "NoneType" in refusal(zip_of(tmp_path / "c.pt", "x/data.pkl"))
    np.save(tmp_path / "bare.npy", np.arange(5))
    assert "without names" in refusal(tmp_path / "bare.npy")
    np.save(tmp_path / "many.npy", np.array([{}, {}], object))
    assert "without names" in refusal(tmp_path / "many.npy")
    (tmp_path / "magic.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16)
    assert "not a .npy file" in refusal(tmp_path / "magic.npy")


def test_a_dictionary_in_an_array_is_read_from_npy_only(tmp_path: Path) -> None:
    data = pickle.dumps(np.array({"clean_label": [0]}, object), protocol=2)
    refusal(write_pt(tmp_path / "x.pt", {}, data))


@needs_proc
def test_a_small_zip_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x/data.pkl", "w", force_zip64=True) as file,
    ):
        for _ in range(600):
            file.write(bytes(1 << 20))
    code = """
import pathlib, sys
from datatools.errors import DataToolsError
from datatools.noise import label_files
before = peak_memory()
try:
    label_files.read(pathlib.Path(sys.argv[1]))
except DataToolsError as error:
    assert "MiB" in str(error), error
    print(peak_memory() - before)
"""
    child = run_python(PEAK_MEMORY + code, tmp_path / "bomb.pt")
    assert int(child.stdout) < 250 << 10, child.stderr  # KiB


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("good")
    values = {"clean_label": np.arange(9), "noisy_label": [0, 1]}
    return [write(folder / f"x{suffix}", values).read_bytes() for suffix, write in WRITERS.items()]


@settings(max_examples=150)
@given(which=st.integers(0, 1), edits=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=4))
def test_a_damaged_file_is_read_or_refused(good: list[bytes], which: int, edits: list[tuple[int, int]]) -> None:
    data = bytearray(good[which])
    for place, byte in edits:
        data[place % len(data)] = byte
    try:
        columns = label_files.parse(bytes(data), Path("x"))
    except DataToolsError as error:
        message = str(error)
    else:
        message = ""
        assert all(column.dtype == np.int64 for column in columns.values())
    assert "\n" not in message


# --- the real files --------------------------------------------------------------------------------------------------

PUBLISHED = {
    "aggre_label": 0.0901,
    "random_label1": 0.1723,
    "random_label2": 0.1812,
    "random_label3": 0.1764,
    "worse_label": 0.4021,
}
"""Noise rates of CIFAR-10N (Wei et al. 2022, table 1), rounded."""


def test_cifar10n_has_the_published_rates(tmp_path: Path) -> None:
    labels, source = real("cifar-n", "CIFAR-10_human.pt"), real("cifar-10-batches-bin")
    parent = convert("cifar10", source=source, out=tmp_path / "cifar10").dataset
    found = {}
    for column in PUBLISHED:
        made = corrupt(parent, noise="human", labels=labels, column=column)
        found[column] = round(made.manifest.realised_rate, 4)
    assert found == PUBLISHED
    assert all(check.passed for check in verify(open_dataset(made.dataset.path)))


def test_cifar100n_has_the_published_rate_and_agrees_with_a_piece_of_the_set(tmp_path: Path) -> None:
    labels, source = real("cifar-n", "CIFAR-100_human.pt"), real("cifar-100-binary")
    columns, _ = label_files.read(labels)
    assert round(float(np.mean(columns["noisy_label"] != columns["clean_label"])), 4) == 0.4020
    for label_set, column in (("fine", "noisy_label"), ("coarse", "noisy_coarse_label")):
        out = tmp_path / label_set
        parent = convert("cifar100", source=source, out=out, label_set=label_set, limit=486).dataset
        made = corrupt(parent, noise="human", labels=labels, column=column)
        assert "the first 486 of its 50,000 labels" in made.notices[0]
        assert made.dataset.labels("train").tolist() == columns[column][:486].tolist()


def test_the_superclasses_are_those_of_the_official_labels() -> None:
    columns, _ = label_files.read(real("cifar-n", "CIFAR-100_human.pt"))
    fine, coarse = (
        real("cifar-100-binary", f"{name}_label_names.txt").read_text().split() for name in ("fine", "coarse")
    )
    pairs = zip(columns["clean_coarse_label"].tolist(), columns["clean_label"].tolist(), strict=True)
    official = {(coarse[superclass], fine[member]) for superclass, member in set(pairs)}
    assert official == {(name, member) for name, members in CIFAR100_SUPERCLASSES.items() for member in members}
