"""Where cells run: the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trainer.sweep.grid import Cell


@dataclass(frozen=True)
class Job:
    """A cell with its dataset's and its run's directory, both absolute."""

    cell: Cell
    dataset: Path
    directory: Path


@dataclass(frozen=True)
class Resources:
    """What is asked for, for each cell.

    Attributes:
        threads: of the CPU. gpus: a share of a GPU, 0 for none. memory: MiB, or None for no demand.
        jobs: cells at a time, or None for what fits. address: of a running cluster, or None to start one.
        force: resume cells in spite of other code, packages or device.
    """

    threads: int = 1
    gpus: float = 0.0
    memory: int | None = None
    jobs: int | None = None
    address: str | None = None
    force: bool = False


class Executor(Protocol):
    """Runs cells, some at a time."""

    def start(self, jobs: Sequence[Job]) -> None:
        """Take the cells; they begin in this order."""

    def finished(self, timeout: float) -> list[tuple[Job, dict[str, Any]]]:
        """Cells that ended since the last call, with their outcomes; waits up to `timeout` seconds for one."""

    def stop(self) -> None:
        """End the cells under way, which save their checkpoints, and begin no other; returns when all have ended."""
