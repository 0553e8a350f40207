"""Finished runs of tiny noisy datasets, as `relabel` reads them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import DATASET_FILE
from tests.support.factories import tree
from tests.support.report_runs import result
from tests.support.tiny import examples, run_config, write_dataset
from trainer.audit.output import relabel
from trainer.data import load
from trainer.runs.directory import write_config, write_json, write_samples

COUNT = 40
WRONG = np.arange(COUNT) % 4 == 0


def noisy(folder: Path, *, known: bool = True, depth: int = 1) -> Dataset:
    """40 images of 3 classes, every fourth with the next label."""
    ids, clean, pixels = examples(COUNT)
    pixels = np.repeat(pixels, depth, axis=1)
    labels = np.where(WRONG, (clean + 1) % 3, clean)
    test = examples(6)
    test_split = (test[0], test[1], np.repeat(test[2], depth, axis=1))
    state: dict[str, Any] = {"labels": "noisy", "clean_labels": clean} if known else {"labels": "unknown"}
    return write_dataset(folder, (ids, labels, pixels), test_split, train_files=3, **state)


def memory(labels: np.ndarray, clean: np.ndarray) -> dict[str, np.ndarray]:
    """What a run would remember that saw through all wrong labels but those of ids 0 and 4."""
    believed = clean.copy()
    believed[[0, 4]] = labels[[0, 4]]
    probability = np.full((len(labels), 3), 0.1, np.float32)
    probability[np.arange(len(labels)), believed] = 0.8
    label_probability = probability[np.arange(len(labels)), labels]
    return {
        "last_loss": -np.log(label_probability),
        "last_prediction": believed.astype(np.int32),
        "mean_loss": -np.log(label_probability),
        "mean_probability": probability,
        "visits": np.full(len(labels), 4, np.int32),
    }


def finished(
    directory: Path,
    dataset: Dataset,
    *,
    more: dict[str, np.ndarray] | None = None,
    held_out: float = 0.0,
    **settings: Any,
) -> Path:
    """A run directory as `trainer run` leaves it, with `memory` in it."""
    directory.mkdir(parents=True)
    data = load(dataset, held_out, 0)
    _, clean, _ = examples(COUNT)
    config = run_config(validation_fraction=held_out, **settings)
    write_config(directory, config, dataset, {"dataset": dataset.sha256, "device": "cpu", "code": "0" * 64})
    write_samples(
        directory / "samples.h5",
        data,
        {**memory(data.train_labels, clean[data.ids]), **(more or {})},
        config.make_method(),
    )
    write_json(directory / "result.json", result(config.method, [0.5, 0.25], 3))
    return directory


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def renamed(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    path = dataset.path / DATASET_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "class_names": list(names)}), encoding="utf-8")
    return open_dataset(dataset.path)


def refusal(run: Path, out: Path, **more: Any) -> str:
    """The one line, and nothing is written."""
    before = tree(out.parent)
    with pytest.raises(DataToolsError) as caught:
        relabel(run, out, **more)
    assert tree(out.parent) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)
