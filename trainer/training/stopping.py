"""What ends a run early: a signal, a loss that is no number, a dataset that changes under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datatools.format.dataset import Dataset
from datatools.format.metadata import DATASET_FILE
from datatools.format.records import file_sha256
from trainer.errors import TrainerError
from trainer.training.signals import Stop


class RunStoppedError(TrainerError):
    """A signal ended the run; what it trained is saved in its checkpoint."""


def check_not_stopped(stop: Stop, directory: Path) -> None:
    """Raise RunStoppedError if a signal has come before the first step, when there is nothing to save as yet."""
    if stop.signal:
        raise RunStoppedError(
            f"{directory}: stopped by {stop.signal} before the first step; nothing was changed there, run it again"
        )


def check_finite(losses: dict[str, np.ndarray], where: str, first_step: int) -> None:
    """Raise TrainerError at the first step whose loss is no finite number.

    Args:
        losses: (steps,) floats by what they are. where: the run directory, run and epoch.
        first_step: its number, from 0.
    """
    for name, values in losses.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise TrainerError(
                f"{where}, step {first_step + bad[0] + 1}: the {name} is {values[bad[0]]}; lower "
                "--learning-rate and start anew with --overwrite"
            )


def check_state(state: dict[str, np.ndarray], where: str) -> None:
    """Raise TrainerError if a weight, statistic or velocity is no finite number.

    The last step's loss can be finite and its update not be.

    Args:
        where: the run directory, run, epoch and step after which `state` stands.
    """
    for name, values in state.items():
        if not np.isfinite(values).all():
            raise TrainerError(
                f"{where}: {name} is not finite any more; lower --learning-rate and start anew with --overwrite"
            )


class DatasetWatch:
    """Notices when a dataset is not, or is no longer, what its dataset.json says."""

    def __init__(self, dataset: Dataset) -> None:
        """Check every file once.

        Raises:
            TrainerError: a batch file's SHA-256 is not the one in dataset.json, or it cannot be read.
        """
        self.dataset = dataset
        self.sha256 = dataset.sha256
        self._expected = {
            dataset.path / file.name: file.sha256 for files in dataset.metadata.splits.values() for file in files
        }
        paths = [*self._expected, dataset.path / DATASET_FILE, dataset.manifest_path]
        # before they are read: what changes meanwhile is noticed by the first `check`
        self._seen = {path: _stamp(path) for path in paths if path.is_file()}
        for path, sha256 in self._expected.items():
            try:
                actual = file_sha256(path)
            except OSError as error:
                raise TrainerError(
                    f"{path}: cannot be read ({error.strerror}); put it back, or make the dataset anew"
                ) from None
            if actual != sha256:
                raise TrainerError(
                    f"{path}: its SHA-256 is not the one in {DATASET_FILE}; see `datatools verify`, and make the "
                    "dataset anew"
                )
        self._expected[dataset.path / DATASET_FILE] = self.sha256
        self.manifest_sha256: str | None = None
        if dataset.manifest_path in self._seen:
            self.manifest_sha256 = file_sha256(dataset.manifest_path)
            self._expected[dataset.manifest_path] = self.manifest_sha256

    def check(self) -> None:
        """Raise TrainerError if a file has changed since; cheap while none was touched."""
        for path, stamp in self._seen.items():
            now = _stamp(path)
            if now == stamp:
                continue
            if now is None or file_sha256(path) != self._expected[path]:
                raise TrainerError(
                    f"{path}: {'gone' if now is None else 'changed'} while the run was under way; put the dataset back "
                    "as it was and go on with --resume"
                )
            self._seen[path] = now


def _stamp(path: Path) -> Any:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
