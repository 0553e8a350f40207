"""One split of a dataset, record by record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from datatools.format.dataset import Dataset


class Record(NamedTuple):
    """One record: its id, its label as it stands there, and its image, (height, width, depth) uint8."""

    id: int
    label: int
    image: np.ndarray


class Split:
    """The records of a split, in record order: `len`, indexing and iteration, each giving a `Record`.

    Nothing is read before it is asked for. It pickles as the path that it is read from, for programs that read in
    several processes.

    Args:
        dataset: an opened dataset. name: "train" or "test".

    Raises:
        DataToolsError: on access, a batch file is missing or not as long as dataset.json says.
    """

    def __init__(self, dataset: Dataset, name: str) -> None:
        self.dataset, self.name = dataset, name

    def __len__(self) -> int:
        return self.dataset.metadata.num_records(self.name)

    def __getitem__(self, number: int) -> Record:
        record = self.raw(number)
        return Record(int(record["id"]), int(record["label"]), np.array(record["pixels"].transpose(1, 2, 0), order="C"))

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self.name} split of {self.dataset!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Split, (self.dataset, self.name)  # memory maps would be pickled with all that they hold

    def raw(self, number: int) -> np.void:
        """Record `number` as it lies in its batch file, see `records.record_dtype`; a negative one from the end.

        Raises:
            IndexError: there is none.
        """
        if not -len(self) <= number < len(self):
            raise IndexError(f"record {number} of {len(self):,} {self.name} records")
        number %= len(self)
        batches, starts = self._batches
        file = int(np.searchsorted(starts, number, side="right")) - 1
        record: np.void = batches[file][number - starts[file]]
        return record

    @cached_property
    def _batches(self) -> tuple[list[np.ndarray], np.ndarray]:
        """The memory maps, and the number of the first record of each."""
        batches = list(self.dataset.batches(self.name))
        return batches, np.cumsum([0, *(len(batch) for batch in batches[:-1])])
