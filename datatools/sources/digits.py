"""The UCI handwritten digits that scikit-learn carries: 1,797 grey images of 8x8, no file needed.

(Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", the test part.) Images stay 8x8; their
0..16 grey values are spread over 0..255. The split is fixed and stratified: of each class, every fifth image in
the package's order is a test image, which spreads the writers, who follow one another, over both splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from datatools.decoding.chunks import Chunk
from datatools.errors import DataToolsError
from datatools.format.records import ImageShape
from datatools.sources.base import Request, Source, SourceSplit

TEST_EVERY = 5
GREY_LEVELS = 16


def open_digits(request: Request) -> Source:
    """The digits, from the installed scikit-learn."""
    if request.location is not None:
        raise DataToolsError("--source: digits come with scikit-learn; leave --source out")
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = digits.target.astype(np.int64)
    pixels = np.rint(digits.images * (255 / GREY_LEVELS)).astype(np.uint8)[:, np.newaxis]
    test = _is_test(labels)
    return Source(
        image_shape=ImageShape(*pixels.shape[1:]),
        class_names=tuple(str(name) for name in digits.target_names),
        splits={"train": _split(labels[~test], pixels[~test]), "test": _split(labels[test], pixels[test])},
        location="sklearn.datasets.load_digits",
    )


def _is_test(labels: np.ndarray) -> np.ndarray:
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        test[members[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return test


def _split(labels: np.ndarray, pixels: np.ndarray) -> SourceSplit:
    def chunks() -> Iterator[Chunk]:
        yield Chunk(labels, partial(np.asarray, pixels))

    return SourceSplit(len(labels), chunks)
