"""A run directory whose files are damaged or forged: one line that names the file, by whichever way it is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import cli
import trainer
from tests.support.relabel_runs import finished, noisy
from trainer.audit.evidence import read_evidence
from trainer.errors import TrainerError
from trainer.report import collect
from trainer.runs.directory import write_arrays
from trainer.runs.reading import MAX_BYTES, MAX_CONTAINERS


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with weights that fit no network."""
    directory = finished(tmp_path / "run", noisy(tmp_path / "noisy"))
    (directory / "metrics.csv").write_text("run,epoch,test_error\n1,1,0.5\n1,2,0.25\n")
    write_arrays(directory / "weights.h5", {"last/network_1/0000-kernel": np.zeros(3, np.float32)})
    return directory


def line(error: BaseException) -> str:
    assert isinstance(error, TrainerError)
    assert "\n" not in str(error)
    return str(error)


def changed(run: Path, name: str, **values: Any) -> None:
    """Put values into a JSON file; those that are None are taken out."""
    content = {**json.loads((run / name).read_text()), **values}
    content = {key: value for key, value in content.items() if value is not None}
    (run / name).write_text(json.dumps(content))


WRONG_SETTINGS: dict[str, Any] = {
    "method": ["default", 3, "no-such", ""],
    "network": [None, "no-such", 1.5],
    "engine": ["torch", 3, ["tensorflow"]],
    "precision": ["float8"],
    "preset": [{}],
    "epochs": [0, -1, 1.5, "3", True, 1 << 40, None],
    "batch_size": [1, "128", None],
    "learning_rate": ["0.1", float("inf"), float("nan"), -1],
    "drop_epochs": [3, [0.5], ["1"]],
    "noise_rate": [1.0, -0.1, float("nan"), "0.4"],
    "seed": [-1, 0.5, None],
    "method_settings": [3, [1], "restarts"],
    "deterministic": [0, "yes"],
    "validation_fraction": [2, "0.1"],
    "device_memory": [0, 1.5, "64"],
    "device_asked": [3, "tpu"],
    "dataset": [None, 3, [], {}],
}
CASES = [(key, value) for key, values in WRONG_SETTINGS.items() for value in values if value != "default"]


@pytest.mark.parametrize(("key", "value"), CASES, ids=str)
def test_a_wrong_setting_is_one_line(key: str, value: Any, run: Path) -> None:
    changed(run, "config.json", **{key: value})
    with pytest.raises(TrainerError) as error:
        trainer.load_run(run)
    assert f"{run}/config.json: cannot be read (" in line(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 3),
        ("name", ""),
        ("train_records", 0),
        ("train_records", 1 << 60),
        ("train_records", "40"),
        ("path", 3),
        ("path", "a\0b"),
        ("path", "\ud800"),
        ("sha256", None),
        ("noise", "pair"),
    ],
)
def test_a_wrong_dataset_is_one_line(key: str, value: Any, run: Path) -> None:
    dataset = json.loads((run / "config.json").read_text())["dataset"]
    changed(run, "config.json", dataset={**dataset, key: value})
    with pytest.raises(TrainerError) as error:
        trainer.load_run(run)
    assert f"{run}/config.json: cannot be read (" in line(error.value)


def test_a_dataset_path_that_no_system_takes_is_one_line(run: Path) -> None:
    dataset = json.loads((run / "config.json").read_text())["dataset"]
    changed(run, "config.json", dataset={**dataset, "path": "x" * 5000})
    for use in (lambda: trainer.load_run(run).dataset, lambda: read_evidence(run)):
        with pytest.raises(TrainerError) as error:
            use()
        assert "cannot be opened (File name too long)" in line(error.value)


TEXTS = {
    "nothing": "",
    "no object": "[]",
    "half": '{"method": "default", ',
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "no text": "\xff\xfe",
    "many lists": "[" + "[]," * MAX_CONTAINERS + "[]]",
    "a number without end": f'{{"epochs": {"9" * 10_000}}}',
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", ["config.json", "result.json", "metrics.csv"])
def test_what_is_no_such_file_is_one_line(name: str, kind: str, run: Path) -> None:
    (run / name).write_bytes(TEXTS[kind].encode("latin-1"))
    refused(run, name)


@pytest.mark.parametrize("name", ["config.json", "result.json", "metrics.csv"])
def test_a_file_too_large_is_one_line(name: str, run: Path) -> None:
    os.truncate(run / name, MAX_BYTES + 1)
    refused(run, name)


def refused(run: Path, name: str) -> None:
    """See that a file of the run is refused by the Python API and by the report."""
    with pytest.raises(TrainerError) as error:
        read(run)
    assert f"{run}/{name}: cannot be read (" in line(error.value)
    with pytest.raises(TrainerError) as error:
        collect([run])
    assert f"{run}: cannot be read ({name}: " in line(error.value)


def read(run: Path) -> None:
    opened = trainer.load_run(run)
    _ = opened.result, opened.metrics


@pytest.mark.parametrize("key", ["best_test_error", "last_test_error", "mean_last10_test_error"])
@pytest.mark.parametrize("value", [None, "0.5", True, 1.5, -0.1, float("nan"), 10**400, [0.5]])
def test_a_result_without_its_figures_is_one_line(key: str, value: Any, run: Path) -> None:
    changed(run, "result.json", **{key: value})
    with pytest.raises(TrainerError) as error:
        _ = trainer.load_run(run).result
    assert f"result.json: cannot be read ('{key}' is " in line(error.value)


@pytest.mark.parametrize("value", ["75", True, 10**400, float("inf"), [1]])
def test_odd_figures_beside_the_headlines_are_passed_over(value: Any, run: Path) -> None:
    changed(run, "result.json", wall_seconds=value, best_test_error_all_runs=value, confusion_matrix={"last": value})
    result = trainer.load_run(run).result
    assert (result.wall_seconds, result.best_test_error_all_runs, result.confusion("last", 10)) == (None, None, None)


def _linked(file: h5py.File) -> None:
    del file["last"]
    file["last"] = h5py.ExternalLink("/etc/passwd", "last")


def _other_kind(file: h5py.File) -> None:
    del file["last/network_1/0000-kernel"]
    file["last/network_1/0000-kernel"] = np.zeros(3, np.float64)


def _no_values(file: h5py.File) -> None:
    del file["last/network_1/0000-kernel"]
    file["last/network_1"].create_dataset("0000-kernel", (1 << 40,), "f4")


def _group_for_array(file: h5py.File) -> None:
    file.create_group("last/network_1/0001-bias")


def _array_for_group(file: h5py.File) -> None:
    del file["last/network_1"]
    file["last/network_1"] = np.zeros(3, np.float32)


@pytest.mark.parametrize("damage", [_linked, _other_kind, _no_values, _group_for_array, _array_for_group])
def test_damaged_weights_are_one_line(damage: Callable[[h5py.File], None], run: Path) -> None:
    with h5py.File(run / "weights.h5", "a") as file:
        damage(file)
    images = np.zeros((2, 8, 8, 1), np.uint8)
    opened = trainer.load_run(run)
    for use in (opened.weights, opened.network, lambda: trainer.predict(run, images)):
        with pytest.raises(TrainerError) as error:
            use()
        assert "weights.h5: cannot be read (" in line(error.value)


def test_every_command_ends_in_one_line(run: Path, tmp_path: Path) -> None:
    (run / "config.json").write_text("[" * 100_000)
    for arguments in (
        ["relabel", str(run), "--out", str(tmp_path / "out")],
        ["report", str(run), "--out", str(tmp_path / "out")],
        ["run", "default", "--resume", "--run-dir", str(run)],
    ):
        done = CliRunner().invoke(cli.trainer, arguments)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "config.json" in done.stderr
    assert not (tmp_path / "out").exists()
