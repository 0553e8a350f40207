"""checkpoint.h5: everything that an exact resume needs.

A checkpoint stands between two mini-batches. It holds what training changes (weights, statistics, seeds, velocities,
the per-sample memory), the place, the rows of metrics.csv so far, the per-step sums of an epoch under way, and the
settings, dataset, code and packages of the run. It is replaced atomically: a kill leaves the last one or the new one.
It begins with its own SHA-256, so that a run never goes on from a damaged one.
"""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from datatools.files.output import atomic_hdf5
from trainer.errors import TrainerError
from trainer.metrics import EpochRow
from trainer.runs.directory import write_errors

FORMAT_VERSION = 2
USER_BLOCK_BYTES = 512
"""What HDF5 leaves alone at the beginning of a file; here it holds the SHA-256 of the rest."""
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Place(NamedTuple):
    """How far a run is: run and epoch under way, and how many of the epoch's steps are done; all from 0."""

    run: int = 0
    epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a run stands, beside what its engine holds.

    Attributes:
        noise_rate: τ of the run under way, which restarts lower. rows: of metrics.csv so far.
        seconds: training time of the epoch under way, up to now.
        sums: (steps done,) float32 each, of the epoch under way.
        kept: confusion matrices and weights of the best and selected epochs of the run under way.
    """

    place: Place
    noise_rate: float
    rows: tuple[EpochRow, ...] = ()
    seconds: float = 0.0
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    kept: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """What is in checkpoint.h5.

    Attributes:
        identity: what the run is: "settings", "dataset", "manifest", "code", "packages", "device" (see
            `resume.differences`).
        state, memory: of the engine.
    """

    identity: dict[str, Any]
    progress: Progress
    state: dict[str, np.ndarray] = field(default_factory=dict)
    memory: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, dict[str, np.ndarray]]:
        """All arrays, by group of the file."""
        progress = self.progress
        return {"state": self.state, "memory": self.memory, "sums": progress.sums, "kept": progress.kept}


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        TrainerError: it cannot be written; the one that stands there stays.
    """
    with write_errors(path), stamped_hdf5(path) as file:
        file.attrs["format_version"] = FORMAT_VERSION
        progress = checkpoint.progress
        head = {
            "identity": checkpoint.identity,
            "place": progress.place,
            "noise_rate": progress.noise_rate,
            "seconds": progress.seconds,
            "rows": [row.to_json() for row in progress.rows],
        }
        # a data set, since attributes end at 64 KiB
        file.create_dataset("head", data=np.frombuffer(json.dumps(head).encode(), np.uint8))
        for group, arrays in checkpoint.groups.items():
            for name, values in arrays.items():
                file.create_dataset(f"{group}/{name}", data=values)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        TrainerError: not one, or damaged.
    """
    try:
        # looked at as a whole before HDF5 believes any of it
        with h5py.File(io.BytesIO(_checked(path.read_bytes())), "r") as file:
            version = int(file.attrs["format_version"])
            if version != FORMAT_VERSION:
                raise ValueError(f"format_version {version} is not {FORMAT_VERSION}, the one this version reads")
            head = json.loads(bytes(file["head"][()]))
            state, memory, sums, kept = (_arrays(file, group) for group in ("state", "memory", "sums", "kept"))
        progress = Progress(
            place=Place(*(int(part) for part in head["place"])),
            noise_rate=float(head["noise_rate"]),
            rows=tuple(EpochRow.from_json(row) for row in head["rows"]),
            seconds=float(head["seconds"]),
            sums=sums,
            kept=kept,
        )
        return Checkpoint(dict(head["identity"]), progress, state, memory)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise TrainerError(f"{path}: cannot be read ({error}); start the run anew with --overwrite") from None


def _checked(data: bytes) -> bytes:
    """`data`; raises ValueError unless it begins with the SHA-256 of the rest."""
    if data.startswith(HDF5_SIGNATURE):
        raise ValueError(f"no checkpoint, or one of an earlier format_version than {FORMAT_VERSION}, the one read here")
    if data[:USER_BLOCK_BYTES] != _user_block(data[USER_BLOCK_BYTES:]):
        raise ValueError("damaged: its SHA-256 is not the one that it begins with")
    return data


def _user_block(image: bytes | memoryview) -> bytes:
    return hashlib.sha256(image).hexdigest().encode().ljust(USER_BLOCK_BYTES, b"\0")


def _arrays(file: h5py.File, group: str) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    if group in file:
        file[group].visititems(visit)
    return arrays


def stamped_hdf5(path: Path) -> AbstractContextManager[h5py.File]:
    """An HDF5 file to fill, which takes the place `path` whole, with the SHA-256 of the file before it."""
    return atomic_hdf5(path, sole_writer=True, core=True, head=_user_block, head_bytes=USER_BLOCK_BYTES)
