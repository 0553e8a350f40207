"""A finished run directory and its dataset -> what the run remembers of each training sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from trainer.data import TrainingData, load
from trainer.engine.step import LAST_LOSS, LAST_PREDICTION, MEAN_LOSS, MEAN_PROBABILITY, VISITS
from trainer.errors import TrainerError
from trainer.runs.directory import SAMPLES_FILE
from trainer.runs.run import Run, load_run
from trainer.runs.samples import GIVEN_LABEL, replacing_labels, shared_columns


@dataclass(frozen=True)
class Evidence:
    """What a run remembers, a row a training sample of the dataset, in id order.

    Attributes:
        directory: the run's. method, network, seed, noise_rate: its settings; the rate is what its method was told.
        given_labels: (N,) int64. held_out: (N,) bool, not trained on, so that nothing is known of them.
        mean_loss: (N,) float64 and mean_probability: (N, K) float64, over the forward passes that trained; not-a-number
            where held out. last_loss: (N,) float64; last_prediction: (N,) int64, -1 where held out.
        replacing_label: (N,) int64, what the method put in the place of the given label, -1 where nothing.
        of_method: the columns of samples.h5 that methods declare for every run (`samples.shared_columns`), by name.
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
    replacing_label: np.ndarray
    of_method: dict[str, np.ndarray]
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
    run = load_run(directory)
    config = run.config
    if not run.finished:
        raise TrainerError(f"{directory}: the run is not finished; go on with `trainer run {config.method} --resume`")
    dataset = _open(run, data)
    loaded = load(dataset)
    columns = run.read_samples(num_classes=loaded.num_classes)
    if not np.array_equal(columns[GIVEN_LABEL], loaded.train_labels):
        raise TrainerError(
            f"{directory / SAMPLES_FILE}: its given labels are not those of {dataset.path}; one of the two changed "
            "since the run, see `datatools verify`"
        )
    held_out = columns[VISITS] == 0
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
        given_labels=columns[GIVEN_LABEL].astype(np.int64),
        held_out=held_out,
        mean_loss=_unless(held_out, columns[MEAN_LOSS]),
        mean_probability=_unless(held_out, columns[MEAN_PROBABILITY]),
        last_loss=_unless(held_out, columns[LAST_LOSS]),
        last_prediction=columns[LAST_PREDICTION].astype(np.int64),
        replacing_label=replacing_labels(columns),
        of_method={column.name: columns[column.name] for column in shared_columns()},
        clean_labels=clean,
        wrong=wrong,
    )


def _open(run: Run, data: Path | None) -> Dataset:
    """The dataset of the run, and no other.

    Args:
        data: where it is now; None for the path in config.json.
    """
    try:
        dataset = run.dataset if data is None else open_dataset(data)
    except DataToolsError as error:
        if data is not None:
            raise
        raise TrainerError(f"{error}; the run is of it: where it is now, tell with --data") from None
    sha256 = run.config_file.dataset_sha256()
    if dataset.sha256 != sha256:
        raise TrainerError(
            f"{dataset.path}: not the dataset the run was trained on, or changed since (dataset.json "
            f"{dataset.sha256[:12]}…, the run has {sha256[:12]}…); name that one with --data"
        )
    return dataset


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
