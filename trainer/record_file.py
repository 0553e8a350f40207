"""A batch file, read while it is somebody else's too: what happens to it meanwhile is one line, and no crash."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

import numpy as np

from trainer.errors import TrainerError


class RecordFile:
    """Reads records of a batch file by number.

    A memory map would be as fast, but where the file is cut short meanwhile it ends the process (SIGBUS).
    """

    def __init__(self, batch: np.ndarray) -> None:
        """`batch`: a memory map of all its records, which tells path and dtype."""
        assert isinstance(batch, np.memmap)
        self.path, self.dtype = Path(str(batch.filename)), batch.dtype
        self._descriptor = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """(n,) records of the numbers (n,); neighbours that follow each other in the file are read at once.

        Raises:
            TrainerError: the file has become shorter, or cannot be read.
        """
        records = np.empty(len(numbers), self.dtype)
        target, size = records.view(np.uint8).data, self.dtype.itemsize
        starts = np.flatnonzero(np.diff(numbers, prepend=-2) != 1).tolist()
        for start, stop in zip(starts, [*starts[1:], len(numbers)], strict=True):
            self._fill(target[start * size : stop * size], int(numbers[start]) * size)
        return records

    def _fill(self, target: memoryview, offset: int) -> None:
        while target:
            try:
                count = os.preadv(self._descriptor, [target], offset)
            except OSError as error:
                raise self._error(f"cannot be read ({error.strerror})") from None
            if not count:
                raise self._error("was cut short")
            target, offset = target[count:], offset + count

    def _error(self, problem: str) -> TrainerError:
        return TrainerError(
            f"{self.path}: {problem} while the run was under way; put the dataset back as it was and go on with "
            "--resume"
        )
