"""A split as PyTorch's map-style dataset. Imported by `loaders.to_torch` alone: it needs PyTorch.

The class stands in a module, and not in that function, so that a DataLoader can pickle it for its workers.
"""

from __future__ import annotations

import numpy as np
import torch

from datatools.format.split import Split


class TorchRecords(torch.utils.data.Dataset):
    """(image, label) of each record: a (depth, height, width) uint8 tensor, a copy, and an int."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        record = self.split.raw(number)
        return torch.from_numpy(np.array(record["pixels"])), int(record["label"])
