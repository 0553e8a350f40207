"""A finished run directory and its dataset -> what the run remembers of each training sample."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from trainer.data import TrainingData, load
from trainer.engine.step import LAST_LOSS, LAST_PREDICTION, MEAN_LOSS, MEAN_PROBABILITY, VISITS
from trainer.errors import TrainerError
from trainer.runs.directory import CONFIG_FILE, RESULT_FILE, SAMPLES_FILE, read_config

TOLERANCE = 1e-3
"""What float32 means over many passes may be off."""


@dataclass(frozen=True)
class Evidence:
    """What a run remembers, a row a training sample of the dataset, in id order.

    Attributes:
        directory: the run's. method, network, seed, noise_rate: its settings; the rate is what its method was told.
        given_labels: (N,) int64. held_out: (N,) bool, not trained on, so that nothing is known of them.
        mean_loss: (N,) float64 and mean_probability: (N, K) float64, over the forward passes that trained; not-a-number
            where held out. last_loss: (N,) float64; last_prediction: (N,) int64, -1 where held out.
        refurbished_label: (N,) int64, -1 where there is none; uncertainty: (N,) float64, not-a-number where none.
        clean_labels: (N,) int64, or None where nobody knows them. wrong: (N,) bool, what noise changed, label or image;
            or None.
    """

    directory: Path
    dataset: Dataset
    data: TrainingData
    method: str
    network: str
    seed: int
    noise_rate: float
    given_labels: np.ndarray
    held_out: np.ndarray
    mean_loss: np.ndarray
    mean_probability: np.ndarray
    last_loss: np.ndarray
    last_prediction: np.ndarray
    refurbished_label: np.ndarray
    uncertainty: np.ndarray
    clean_labels: np.ndarray | None
    wrong: np.ndarray | None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.dataset.metadata.class_names


def read_evidence(directory: Path, data: Path | None = None) -> Evidence:
    """Read a finished run.

    Args:
        data: where its dataset is now; None for the path in its config.json.

    Raises:
        TrainerError: no run directory, an unfinished run, a damaged file, or a dataset that is another one by now.
        DataToolsError: the dataset is gone or damaged.
    """
    if not (directory / CONFIG_FILE).is_file():
        what = "no run directory, it has no config.json" if directory.is_dir() else "no such run directory"
        raise TrainerError(f"{directory}: {what}; name one that `trainer run` made")
    told = _told_dataset(directory)
    config, _ = read_config(directory)
    if not (directory / RESULT_FILE).is_file():
        raise TrainerError(f"{directory}: the run is not finished; go on with `trainer run {config.method} --resume`")
    dataset = _open(directory, told, data)
    loaded = load(dataset)
    count, num_classes = loaded.num_samples, loaded.num_classes
    columns = _read_samples(directory / SAMPLES_FILE, count, num_classes)
    if not np.array_equal(columns["given_label"], loaded.train_labels):
        raise TrainerError(
            f"{directory / SAMPLES_FILE}: its given labels are not those of {dataset.path}; one of the two changed "
            "since the run, see `datatools verify`"
        )
    held_out = columns["visits"] == 0
    if held_out.all():
        raise TrainerError(f"{directory / SAMPLES_FILE}: tells of no sample that was trained on; train the run anew")
    clean, wrong = _truth(dataset, loaded)
    return Evidence(
        directory=directory,
        dataset=dataset,
        data=loaded,
        method=config.method,
        network=config.network,
        seed=config.seed,
        noise_rate=config.noise_rate,
        given_labels=columns["given_label"].astype(np.int64),
        held_out=held_out,
        mean_loss=_unless(held_out, columns[MEAN_LOSS]),
        mean_probability=_unless(held_out, columns[MEAN_PROBABILITY]),
        last_loss=_unless(held_out, columns[LAST_LOSS]),
        last_prediction=columns[LAST_PREDICTION].astype(np.int64),
        refurbished_label=columns["refurbished_label"].astype(np.int64),
        uncertainty=columns["uncertainty"].astype(np.float64),
        clean_labels=clean,
        wrong=wrong,
    )


def _told_dataset(directory: Path) -> dict[str, Any]:
    """What config.json says of the dataset."""
    try:
        values = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))["dataset"]
        return {"path": values.get("path"), "sha256": str(values["sha256"])}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise TrainerError(
            f"{directory / CONFIG_FILE}: does not say which dataset the run is of ({error}); train the run anew"
        ) from None


def _open(directory: Path, told: dict[str, Any], data: Path | None) -> Dataset:
    """The dataset of the run, and no other."""
    if data is None and not isinstance(told["path"], str):
        raise TrainerError(f"{directory / CONFIG_FILE}: has no path of a dataset; name the dataset with --data")
    try:
        dataset = open_dataset(data or Path(told["path"]))
    except DataToolsError as error:
        if data is not None:
            raise
        raise TrainerError(f"{error}; the run is of it: where it is now, tell with --data") from None
    if dataset.sha256 != told["sha256"]:
        raise TrainerError(
            f"{dataset.path}: not the dataset the run was trained on, or changed since (dataset.json "
            f"{dataset.sha256[:12]}…, the run has {told['sha256'][:12]}…); name that one with --data"
        )
    return dataset


def _read_samples(path: Path, count: int, num_classes: int) -> dict[str, np.ndarray]:
    """The columns of samples.h5; shapes are checked before anything is read."""
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        "id": (np.uint32, (count,)),
        "given_label": (np.int32, (count,)),
        "refurbished_label": (np.int32, (count,)),
        "uncertainty": (np.float32, (count,)),
        LAST_LOSS: (np.float32, (count,)),
        LAST_PREDICTION: (np.int32, (count,)),
        MEAN_LOSS: (np.float32, (count,)),
        MEAN_PROBABILITY: (np.float32, (count, num_classes)),
        VISITS: (np.int32, (count,)),
    }
    if not path.is_file():
        raise TrainerError(f"{path}: not there, though the run is finished; train it anew with --overwrite")
    try:
        with h5py.File(path, "r") as file:
            samples = {name: _column(file, name, *form) for name, form in expected.items()}
        _check_samples(samples, num_classes)
    # h5py raises whatever the HDF5 library met
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainerError(
            f"{path}: not what a run of this version and dataset writes ({reason}); train the run anew with --overwrite"
        ) from None
    return samples


def _column(file: h5py.File, name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    # getlink first: a link that points into another file is not followed
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"no dataset '{name}'")
    values = file[name]
    if not isinstance(values, h5py.Dataset) or values.is_virtual or values.external:
        raise ValueError(f"'{name}' is not a plain dataset")
    if values.shape != shape or values.dtype != dtype:
        raise ValueError(f"'{name}' is {values.dtype}{values.shape}, expected {np.dtype(dtype)}{shape}")
    return np.asarray(values[()])


def _check_samples(samples: dict[str, np.ndarray], num_classes: int) -> None:
    """Raise ValueError where the numbers cannot be a run's."""
    if not np.array_equal(samples["id"], np.arange(len(samples["id"]))):
        raise ValueError("ids are not 0, 1, 2, …")
    for name, least in (("given_label", 0), ("refurbished_label", -1), (LAST_PREDICTION, -1)):
        if not (least <= samples[name].min() and samples[name].max() < num_classes):
            raise ValueError(f"'{name}' outside {least}..{num_classes - 1}")
    seen = samples[VISITS] > 0
    loss, probability = samples[MEAN_LOSS][seen], samples[MEAN_PROBABILITY][seen]
    if not (np.isfinite(loss).all() and (loss > -TOLERANCE).all()):
        raise ValueError(f"'{MEAN_LOSS}' holds what is no loss")
    if not (
        (probability > -TOLERANCE).all() and (np.abs(probability.sum(axis=1, dtype=np.float64) - 1) < TOLERANCE).all()
    ):
        raise ValueError(f"'{MEAN_PROBABILITY}' holds rows that are no probabilities")


def _unless(held_out: np.ndarray, values: np.ndarray) -> np.ndarray:
    """As float64, not-a-number where held out."""
    numbers = values.astype(np.float64)
    numbers[held_out] = np.nan
    return numbers


def _truth(dataset: Dataset, data: TrainingData) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(N,) clean labels and (N,) bool which samples noise changed; None for both where nobody knows."""
    if data.clean_labels is None:
        return None, None
    clean = data.clean_labels.astype(np.int64)
    manifest = dataset.manifest()
    return clean, np.zeros(len(clean), bool) if manifest is None else manifest.is_changed
