"""manifest.h5: what is written, and what a forged one can do."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.format.manifest import Manifest, read_manifest, realised_matrix, realised_rate, write_manifest
from tests.support.children import PEAK_MEMORY, needs_proc, run_python

RECORDS, CLASSES = 6, 3
CLEAN = np.array([0, 1, 2, 0, 1, 2], np.int32)
NOISY = np.array([1, 1, 2, 0, 2, 0], np.int32)
MANIFEST = Manifest(
    ids=np.arange(RECORDS, dtype=np.uint32),
    clean_labels=CLEAN,
    noisy_labels=NOISY,
    realised_matrix=realised_matrix(CLEAN, NOISY, CLASSES),
    transition_matrix=np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]),
    noise_type="pair",
    rate=0.5,
    realised_rate=0.5,
    sampling="exact",
    seed=7,
)
COLUMNS = ("id", "clean_label", "noisy_label", "realised_matrix", "transition_matrix")
ATTRIBUTES = ("noise_type", "rate", "realised_rate", "sampling", "seed", "num_classes", "format_version")

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.h5"
    write_manifest(path, MANIFEST)
    return path


def refusal(path: Path, records: int = RECORDS, classes: int = CLASSES) -> str:
    """The message with which a manifest is refused, one line that names the file."""
    with pytest.raises(DataToolsError) as caught:
        read_manifest(path, records, classes)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def assert_same(found: Manifest, expected: Manifest) -> None:
    for field in ("ids", "clean_labels", "noisy_labels", "realised_matrix"):
        value = getattr(found, field)
        np.testing.assert_array_equal(value, getattr(expected, field))
        assert value.dtype == getattr(expected, field).dtype
    for field in ("noise_type", "rate", "realised_rate", "sampling", "seed", "num_classes"):
        assert getattr(found, field) == getattr(expected, field)


def test_what_is_written_reads_back(path: Path) -> None:
    found = read_manifest(path, RECORDS, CLASSES)
    assert_same(found, MANIFEST)
    assert found.transition_matrix is not None
    np.testing.assert_array_equal(found.transition_matrix, MANIFEST.transition_matrix)


def test_what_was_not_asked_for_stays_unsaid(tmp_path: Path) -> None:
    human = replace(MANIFEST, transition_matrix=None, rate=None, seed=None)
    write_manifest(tmp_path / "manifest.h5", human)
    found = read_manifest(tmp_path / "manifest.h5", RECORDS, CLASSES)
    assert_same(found, human)
    assert found.transition_matrix is None


def test_the_format_is_the_documented_one(path: Path) -> None:
    with h5py.File(path) as file:
        assert set(file) == set(COLUMNS)
        assert {name: file[name].dtype.str for name in COLUMNS} == {
            "id": "<u4",
            "clean_label": "<i4",
            "noisy_label": "<i4",
            "realised_matrix": "<f8",
            "transition_matrix": "<f8",
        }
        assert set(file.attrs) == set(ATTRIBUTES)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, path: Path) -> None:
    write_manifest(tmp_path / "again.h5", MANIFEST)
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_a_manifest_is_not_written_over_another(path: Path) -> None:
    with pytest.raises(OSError, match="exist"):
        write_manifest(path, MANIFEST)


def test_the_realised_matrix_is_counted_by_class() -> None:
    expected = [[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]
    np.testing.assert_array_equal(realised_matrix(CLEAN, NOISY, 3), expected)
    with_empty_class = realised_matrix(CLEAN, NOISY, 4)
    assert with_empty_class.shape == (4, 4)
    assert with_empty_class[3].tolist() == [0, 0, 0, 0]


def test_the_realised_rate_is_the_share_that_differs() -> None:
    assert realised_rate(CLEAN, NOISY) == 0.5
    assert realised_rate(CLEAN[:0], NOISY[:0]) == 0


# --- what a broken or forged file does -------------------------------------------------------------------------------


def test_a_missing_manifest_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "no manifest" in refusal(tmp_path / "manifest.h5")


@pytest.mark.parametrize(
    "content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\xff" * 400]
)
def test_what_is_no_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.h5").write_bytes(content)
    refusal(tmp_path / "manifest.h5")


def test_a_manifest_cut_by_one_byte_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    refusal(path)


@pytest.mark.parametrize(("records", "classes"), [(RECORDS + 1, CLASSES), (RECORDS, CLASSES + 1), (RECORDS, 2)])
def test_the_manifest_of_another_dataset_is_refused(path: Path, records: int, classes: int) -> None:
    refusal(path, records, classes)


@pytest.mark.parametrize("name", COLUMNS[:-1])
def test_a_missing_dataset_is_refused(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
    assert name in refusal(path)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_missing_attribute_is_refused(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
    refusal(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format_version", 2),
        ("format_version", "one"),
        ("format_version", [1, 1]),
        ("rate", "a lot"),
        ("rate", [0.1, 0.2]),
        ("realised_rate", "0.5x"),
        ("seed", "seven"),
        ("seed", h5py.Empty("i8")),
        ("num_classes", CLASSES + 1),
    ],
)
def test_an_attribute_of_another_kind_is_refused(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    refusal(path)


@pytest.mark.parametrize("label", [-1, CLASSES, np.iinfo(np.int32).max])
@pytest.mark.parametrize("name", ["clean_label", "noisy_label"])
def test_labels_out_of_range_are_refused(path: Path, name: str, label: int) -> None:
    with h5py.File(path, "r+") as file:
        file[name][2] = label
    assert name in refusal(path)


def link_softly(file: h5py.File, name: str) -> None:
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def link_to_another_file(file: h5py.File, name: str) -> None:
    other = Path(file.filename).with_name("other.h5")
    write_manifest(other, MANIFEST)
    del file[name]
    file[name] = h5py.ExternalLink("other.h5", f"/{name}")


def link_to_a_missing_file(file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = h5py.ExternalLink("missing.h5", f"/{name}")


def store_outside(file: h5py.File, name: str) -> None:
    data = file[name][()]
    outside = Path(file.filename).with_name("outside.bin")
    outside.write_bytes(data.tobytes())
    del file[name]
    file.create_dataset(name, data.shape, data.dtype, external=[(str(outside), 0, data.nbytes)])


def make_virtual(file: h5py.File, name: str) -> None:
    other = Path(file.filename).with_name("other.h5")
    write_manifest(other, MANIFEST)
    shape, dtype = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(str(other), name, shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def make_group(file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)


def change_type(file: h5py.File, name: str) -> None:
    data = file[name][()]
    del file[name]
    file[name] = data.astype(np.int16)


def change_shape(file: h5py.File, name: str) -> None:
    data = file[name][()]
    del file[name]
    file[name] = data.reshape(1, -1)


def declare_huge(file: h5py.File, name: str) -> None:
    dtype = file[name].dtype
    del file[name]
    file.create_dataset(name, (1 << 40,), dtype, chunks=(1 << 20,))  # takes no room until it is written


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(
    "forge",
    [
        link_softly,
        link_to_another_file,
        link_to_a_missing_file,
        store_outside,
        make_virtual,
        make_group,
        change_type,
        change_shape,
        declare_huge,
    ],
)
def test_a_forged_dataset_is_refused(path: Path, name: str, forge: Callable[[h5py.File, str], None]) -> None:
    with h5py.File(path, "r+") as file:
        forge(file, name)
    refusal(path)


@needs_proc
def test_a_small_file_cannot_ask_for_much_memory(path: Path) -> None:
    chunk = 64 << 20  # entries of four bytes, far more than the six that are shown
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(chunk * 4 >> 20)) + packer.flush()
    with h5py.File(path, "r+") as file:
        del file["id"]
        forged = file.create_dataset("id", (RECORDS,), np.uint32, maxshape=(None,), chunks=(chunk,), compression="gzip")
        forged.id.write_direct_chunk((0,), packed)
    child = run_python(
        PEAK_MEMORY
        + """
import pathlib, sys
from datatools.errors import DataToolsError
from datatools.format.manifest import read_manifest
before = peak_memory()
try:
    read_manifest(pathlib.Path(sys.argv[1]), 6, 3)
except DataToolsError:
    pass
print(peak_memory() - before)
""",
        path,
    )
    assert int(child.stdout) < 100 << 10, child.stderr  # KiB
