"""A transition matrix from a file: read, put right, or refused with one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.corruption import corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from datatools.noise import matrix_file
from tests.support.noise_options import matrix_path

SKEWED = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])


def parsed(data: bytes, classes: int = 3) -> np.ndarray:
    return matrix_file.parse(data, Path("m"), tuple("abcdefgh"[:classes]))


def csv(matrix: Any) -> bytes:
    return "\n".join(",".join(str(cell) for cell in row) for row in matrix).encode()


def npy(folder: Path, array: Any) -> bytes:
    np.save(folder / "m.npy", np.asarray(array))
    return (folder / "m.npy").read_bytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f8"])
def test_a_matrix_is_read_from_csv_and_npy(tmp_path: Path, dtype: Any) -> None:
    for array in (SKEWED.astype(dtype), np.asfortranarray(SKEWED.astype(dtype))):
        np.testing.assert_allclose(parsed(npy(tmp_path, array)), SKEWED, atol=1e-7)
    np.testing.assert_array_equal(parsed(csv(SKEWED.tolist())), SKEWED)
    np.testing.assert_array_equal(parsed(b"\xef\xbb\xbf" + csv(SKEWED.tolist()) + b"\r\n\r\n"), SKEWED)
    np.testing.assert_array_equal(parsed(b"1, 0 ,0\n0,1,0\n0,0,1"), np.eye(3))


def test_rows_that_nearly_sum_to_one_are_made_to() -> None:
    matrix = parsed(csv([[0.3333333, 0.3333333, 0.3333333], [0, 1, 0], [0, 0, 1]]))
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([[0.5, 0.6, 0], [0, 1, 0], [0, 0, 1]], r"row 1 \(a\) sums to 1.1"),
        ([[1, 0, 0], [0, 1, 0], [0, 0.99, 0]], r"row 3 \(c\) sums to 0.99"),
        ([[1, 0, 0], [0, 1, 0], [0, 1.000002, 0]], "sums to 1.000002"),
        ([[1, 0, 0], [-0.5, 1.5, 0], [0, 0, 1]], r"row 2 \(b\), column 1 is -0.5"),
        ([[1, 0, 0], [0, "nan", 1], [0, 0, 1]], "column 2 is nan"),
        ([[1, 0, 0], [0, "inf", 1], [0, 0, 1]], "column 2 is inf"),
        ([[1, 0], [0, 1]], "2 x 2, a 3 x 3 matrix is expected"),
        ([[1, 0, 0], [0, 1, 0]], "2 x 3"),
        ([[1, 0, 0], [0, 1], [0, 0, 1]], "rows of 2 to 3"),
        ([["a", "b", "c"], [1, 0, 0], [0, 1, 0], [0, 0, 1]], "line 1, 'a,b,c'"),
        ([], "m: empty"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(tmp_path: Path, matrix: Any, said: str) -> None:
    with pytest.raises(DataToolsError, match=said) as caught:
        parsed(csv(matrix))
    assert "\n" not in str(caught.value)
    if said.startswith(("row ", "column", "sums")):
        with pytest.raises(DataToolsError, match=said):
            parsed(npy(tmp_path, [[float(cell) for cell in row] for row in matrix]))


def test_other_files_are_no_matrix(tmp_path: Path, parent: Dataset) -> None:
    for data, said in (
        (b"\xff\xfe", "neither text nor"),
        (npy(tmp_path, SKEWED)[:-1], "cut short"),
        (npy(tmp_path, SKEWED)[:20], "not a .npy"),
        (npy(tmp_path, SKEWED).replace(b"(3, 3)", b"(9, 9)"), "cut short"),
        (npy(tmp_path, SKEWED).replace(b"(3, 3), }  ", b"(999999, 9)}"), "cut short"),
        (npy(tmp_path, np.array(["a"])), "plain numbers"),
        (npy(tmp_path, np.eye(3) * 1j), "plain numbers"),
        (npy(tmp_path, 0.5), "a single number"),
        (npy(tmp_path, np.array([{}], object)), "plain numbers"),
    ):
        with pytest.raises(DataToolsError, match=said) as caught:
            parsed(data)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataToolsError, match="no such file"):
        corrupt(parent, noise="matrix", matrix=tmp_path / "missing.csv")
    large = tmp_path / "large.csv"
    large.touch()
    with large.open("r+b") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(DataToolsError, match="larger than 64 MiB"):
        corrupt(parent, noise="matrix", matrix=large)


def test_the_file_is_named_with_its_checksum(tmp_path: Path, parent: Dataset) -> None:
    noise = corrupt(parent, noise="matrix", matrix=matrix_path(tmp_path)).dataset.metadata.noise or {}
    assert noise["matrix_file"]["name"] == "confusion.csv"
    assert len(noise["matrix_file"]["sha256"]) == 64
