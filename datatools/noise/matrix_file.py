"""A transition matrix from a file: CSV, or NumPy's .npy."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError
from datatools.files.bounded import read_file
from datatools.files.npy import MAGIC, number_array
from datatools.noise.base import Drawn, NoiseRequest, draw_from_matrix

CONVENTION = (
    "row i of a matrix from a file is P(given label | clean label i); no rate was asked for, the realised one is over "
    "all labels"
)
ROW_SUM_TOLERANCE = 1e-6
MAX_LINES = 100_000
EXPECTED = "a CSV or .npy file with one row a class, each a list of probabilities that sum to 1"


def draw(request: NoiseRequest) -> Drawn:
    """Labels drawn from the matrix in the file `request.matrix`."""
    path: Path = request.required("matrix")
    data = read_file(path, EXPECTED)
    matrix = parse(data, path, request.class_names)
    facts = {"name": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    return draw_from_matrix(request, matrix, matrix_file=facts)


def parse(data: bytes, origin: Path, class_names: tuple[str, ...]) -> np.ndarray:
    """The (K, K) float64 transition matrix in the bytes of a file.

    CSV: a line a row, cells parted by commas, empty lines skipped. Rows that sum to 1 within ROW_SUM_TOLERANCE are
    divided by their sums.

    Raises:
        DataToolsError: not K x K numbers in [0, 1] whose rows sum to 1; the message names the row.
    """
    num_classes = len(class_names)
    matrix = number_array(data, origin) if data.startswith(MAGIC) else _csv(data, origin, num_classes)
    _check_shape(matrix.shape, num_classes, origin)
    matrix = matrix.astype(np.float64)
    for row, name in enumerate(class_names):
        cells = matrix[row]
        wrong = np.flatnonzero(~(np.isfinite(cells) & (cells >= 0)))
        if len(wrong):
            raise DataToolsError(
                f"{origin}: row {row + 1} ({name}), column {wrong[0] + 1} is {cells[wrong[0]]:g}; "
                "a probability from 0 to 1 is expected"
            )
        if not abs(cells.sum() - 1) <= ROW_SUM_TOLERANCE:
            raise DataToolsError(
                f"{origin}: row {row + 1} ({name}) sums to {cells.sum():.9g}; each row must sum to 1, as it says "
                "what becomes of all labels of a class"
            )
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def _check_shape(shape: tuple[int, ...], num_classes: int, origin: Path) -> None:
    if shape != (num_classes, num_classes):
        sides = " x ".join(map(str, shape)) or "a single number"
        raise DataToolsError(f"{origin}: {sides}, a {num_classes} x {num_classes} matrix is expected, one row a class")


def _csv(data: bytes, origin: Path, num_classes: int) -> np.ndarray:
    """The numbers of a CSV file; of one that is too large the cells are counted and no number is made."""
    rows: list[np.ndarray] = []
    lengths: set[int] = set()
    num_rows = 0
    try:
        for number, line in enumerate(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig"), 1):
            if number > MAX_LINES:
                raise DataToolsError(f"{origin}: more than {MAX_LINES:,} lines; name {EXPECTED}")
            if not line.strip():
                continue
            num_rows += 1
            lengths.add(line.count(",") + 1)
            if num_rows <= num_classes and max(lengths) <= num_classes:
                rows.append(_numbers(line, number, origin))
    except UnicodeDecodeError:
        raise DataToolsError(f"{origin}: neither text nor .npy; name {EXPECTED}") from None
    if not num_rows:
        raise DataToolsError(f"{origin}: empty; name {EXPECTED}")
    if len(lengths) > 1:
        raise DataToolsError(f"{origin}: rows of {min(lengths)} to {max(lengths)} numbers; every row needs as many")
    _check_shape((num_rows, *lengths), num_classes, origin)
    return np.array(rows)


def _numbers(line: str, number: int, origin: Path) -> np.ndarray:
    try:
        return np.array([float(cell) for cell in line.split(",")])
    except ValueError:
        raise DataToolsError(f"{origin}: line {number}, {line.rstrip()[:40]!r}: not numbers parted by commas") from None
