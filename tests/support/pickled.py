"""Pickles as data files have them, parts to forge others from, and how those are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.files.pickles import load_pickle
from tests.support.cifar_files import python2_pickle, python3_pickle

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 12)
VALUES: dict[str, Any] = {"batch_label": "batch 1", "labels": [3, 300], "data": PIXELS}
GOOD = [python2_pickle(VALUES), python3_pickle(VALUES)]


def refusal(data: bytes) -> str:
    """The message with which a pickle is refused, one line that names the file."""
    with pytest.raises(DataToolsError) as caught:
        load_pickle(data, "data_batch_1")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("data_batch_1: ")
    return message


def dictionary_of(value: bytes) -> bytes:
    """A pickle of {"data": what the opcodes `value` push}."""
    return b"\x80\x02}X\x04\x00\x00\x00data" + value + b"s."


DTYPE = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
