"""Run directories as `trainer run` leaves them, made of chosen test errors: what the tests of the report read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datatools.format.dataset import Dataset, open_dataset
from datatools.format.manifest import read_manifest
from datatools.format.metadata import DATASET_FILE
from tests.support import tiny
from trainer.report.collect import collect
from trainer.report.figures import Figures, describe
from trainer.report.summary import panels, table_rows
from trainer.runs.samples import promised_columns

REFURBISHES = ("selfie",)
CHOOSES = ("selfie", "co-teaching")


def made_data(folder: Path) -> Dataset:
    """Twelve samples of three classes, a quarter of them with the next class's label."""
    ids, clean, pixels = tiny.examples(12)
    noisy = np.where(ids % 4 == 0, (clean + 1) % 3, clean)
    return tiny.write_dataset(
        folder / "data", (ids, noisy, pixels), tiny.examples(6), labels="noisy", clean_labels=clean
    )


def made_runs(folder: Path, data: Dataset) -> Path:
    for seed in (0, 1):
        made_run(folder / "runs" / f"default{seed}", "default", seed, [0.5, 0.3 + seed / 50], data=data)
        made_run(folder / "runs" / f"selfie{seed}", "selfie", seed, [0.5, 0.2, 0.4, 0.1], data=data, epochs=2)
    return folder / "runs"


def described(folder: Path) -> Figures:
    """The figures of all runs in a folder, without their matrices."""
    rows = table_rows(collect([folder])[0])
    return describe(rows, panels(rows), {}, {})


def rename_classes(data: Dataset, names: list[str]) -> Dataset:
    file = data.path / DATASET_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "class_names": names}))
    return open_dataset(data.path)


def made_run(directory: Path, method: str, seed: int, errors: list[float], **more: Any) -> Path:
    """A run directory with the files that a report reads.

    Args:
        errors: the test error of each epoch, of all restarts together.
        more: "epochs" (of one run; all by default), "noise" (of config.json's dataset), "name" and "train_records" of
            the dataset, "data" (a Dataset that is there: path, SHA-256, noise and samples.h5 follow from it),
            "num_classes" of the confusion matrix, "result" (more keys of result.json), and any other
            key of config.json.
    """
    directory.mkdir(parents=True)
    data: Dataset | None = more.pop("data", None)
    noise = more.pop("noise", {"type": "pair", "rate": 0.4, "seed": seed, "parent": {"name": "digits"}})
    dataset = {
        "name": more.pop("name", f"digits-pair-0.4-seed{seed}"),
        "train_records": more.pop("train_records", 200),
        "noise": noise if data is None else data.metadata.noise,
    }
    if data is not None:
        dataset |= {"name": data.metadata.name, "path": str(data.path), "sha256": data.sha256}
        dataset["train_records"] = data.metadata.num_records("train")
        write_samples(directory / "samples.h5", data, refurbish=method in REFURBISHES)
    more_results = more.pop("result", {})
    classes = more.pop("num_classes", 3 if data is None else data.metadata.num_classes)
    config = {
        "method": method,
        "network": "small-cnn",
        "epochs": len(errors),
        "seed": seed,
        "device": "CPU, 2 cores",
        "versions": {"python": "3.11.0", "keras": "3.10.0", "jax": None},
        **more,
        "dataset": dataset,
    }
    (directory / "config.json").write_text(json.dumps(config))
    write_metrics(directory / "metrics.csv", method, errors)
    (directory / "result.json").write_text(json.dumps({**result(method, errors, classes), **more_results}))
    return directory


def write_metrics(path: Path, method: str, errors: list[float]) -> None:
    """metrics.csv with the columns that the method fills; its first epoch is a warm-up."""
    refurbishes, chooses = method in REFURBISHES, method in CHOOSES
    columns = ["epoch", "test_error", *(["label_precision", "label_recall"] if chooses else [])]
    columns += ["refurbished", "refurbishment_accuracy"] if refurbishes else []
    lines = [",".join(columns)]
    for epoch, error in enumerate(errors):
        cells = [str(epoch + 1), repr(error)]
        cells += (["", ""] if epoch == 0 else ["0.8", "0.7"]) if chooses else []
        cells += (["0", ""] if epoch == 0 else ["100", "0.9"]) if refurbishes else []
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")


def result(method: str, errors: list[float], classes: int) -> dict[str, Any]:
    """result.json."""
    confusion = np.full((classes, classes), 1) + 9 * np.eye(classes, dtype=int)
    return {
        "method": method,
        "best_test_error": min(errors),
        "last_test_error": errors[-1],
        "mean_last10_test_error": float(np.mean(errors[-10:])),
        "best_test_error_all_runs": min(errors),
        "confusion_matrix": {"last": confusion.tolist()},
        "wall_seconds": 75.0,
    }


def write_samples(path: Path, data: Dataset, refurbish: bool) -> None:
    """samples.h5 of a run that gave every second sample its clean label back, or none."""
    count = data.metadata.num_records("train")
    labels = data.labels("train").astype(np.int32)
    clean = labels
    if data.metadata.noise is not None:
        clean = read_manifest(data.manifest_path, count, data.metadata.num_classes).clean_labels
    refurbished = np.where((np.arange(count) % 2 == 0) & refurbish, clean, -1).astype(np.int32)
    classes = data.metadata.num_classes
    values: dict[str, np.ndarray] = {"id": np.arange(count), "given_label": labels, "refurbished_label": refurbished}
    values["mean_probability"] = np.full((count, classes), 1 / classes)
    with h5py.File(path, "w") as file:
        for column in promised_columns():
            file[column.name] = values.get(column.name, np.full(count, column.missing)).astype(column.dtype)
