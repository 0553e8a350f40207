"""The data beside the page: means, deviations, epochs, and matrices before and after."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from datatools.format.dataset import Dataset
from tests.support.report_runs import rename_classes
from trainer.report import collect
from trainer.report.matrices import Datasets, transitions


def test_the_data_have_mean_deviation_and_every_epoch(finished: tuple[Path, list[str]]) -> None:
    with (finished[0] / "groups.csv").open() as file:
        default, selfie = csv.DictReader(file)
    assert float(default["best_test_error_mean"]) == pytest.approx(0.31)
    assert float(default["best_test_error_deviation"]) == pytest.approx(0.02 / 2**0.5)
    assert (default["refurbishment_accuracy_mean"], selfie["refurbishment_accuracy_mean"]) == ("", "0.9")
    assert default["paper_best_test_error"] == ""
    with (finished[0] / "curves.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "selfie" and row["seed"] == "1"]
    assert [(row["epoch_in_all"], row["test_error"]) for row in rows] == [
        ("1", "0.5"),
        ("2", "0.2"),
        ("3", "0.4"),
        ("4", "0.1"),
    ]
    (panel,) = json.loads((finished[0] / "report.json").read_text())["panels"]
    assert [point["seeds"] for point in panel["points"] if point["method"] == "default"] == [[0, 1]]


def test_matrices_before_and_after(finished: tuple[Path, list[str]]) -> None:
    members = [run for run in collect([finished[0].parent / "runs"])[0] if run.group.method == "selfie"]
    matrix, notes = transitions(members, Datasets())
    assert notes == []
    assert matrix is not None
    assert matrix.after is not None
    # ids 0, 4, 8 carry the next class's label; all three are even, so each has its clean label back
    assert matrix.before.tolist() == [[6, 2, 0], [0, 6, 2], [2, 0, 6]]
    assert matrix.after.tolist() == [[8, 0, 0], [0, 8, 0], [0, 0, 8]]
    with (finished[0] / "matrices.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "selfie"]
    assert sum(int(row["samples"]) for row in rows if row["matrix"] == "before") == 24


def _another_dataset(data: Dataset, run: Path) -> None:
    rename_classes(data, ["x", "y", "z"])


def _no_dataset(data: Dataset, run: Path) -> None:
    data.path.rename(data.path.with_name("elsewhere"))


def _no_samples(data: Dataset, run: Path) -> None:
    (run / "samples.h5").write_bytes(b"")


def _no_manifest(data: Dataset, run: Path) -> None:
    data.manifest_path.unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_another_dataset, "another SHA-256"),
        (_no_dataset, "not there any more"),
        (_no_samples, "samples.h5 cannot be read"),
        (_no_manifest, "no manifest"),
    ],
)
def test_matrices_that_cannot_be_had_are_left_out_with_the_reason(
    runs: Path, data: Dataset, spoil: Callable[[Dataset, Path], None], reason: str
) -> None:
    spoil(data, runs / "selfie0")
    matrix, notes = transitions(collect([runs / "selfie0"])[0], Datasets())
    assert matrix is None
    assert [reason in note for note in notes] == [True]
