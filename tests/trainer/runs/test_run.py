"""A run directory, opened from Python; and `train` and `predict` of the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import trainer
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from tests.support.interrupted import Silent, StopAt, config_for, stopped
from tests.support.tiny import examples, write_dataset
from trainer.engine.prediction import predict as predict_probabilities
from trainer.errors import TrainerError

SETTINGS: dict[str, Any] = {"preset": "quick", "epochs": 2, "batch_size": 20, "learning_rate": 0.05, "seed": 3}


@pytest.fixture(scope="module")
def dataset(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    ids, clean, pixels = examples(60)
    labels = (clean + (ids % 4 == 0)) % 3
    directory = tmp_path_factory.mktemp("data") / "noisy"
    return write_dataset(directory, (ids, labels, pixels), examples(9), labels="noisy", clean_labels=clean)


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> trainer.Run:
    directory = tmp_path_factory.mktemp("runs") / "selfie"
    options: dict[str, Any] = {"warm_up": 1, "history_length": 1, "restarts": 1}
    return trainer.train("selfie", str(dataset.path), str(directory), reporter=Silent(), **SETTINGS, **options)


def test_train_gives_the_finished_run_with_its_settings(run: trainer.Run, dataset: Dataset) -> None:
    assert run.finished
    assert (run.config.method, run.config.seed, run.config.method_settings["restarts"]) == ("selfie", 3, 1)
    assert run.dataset.sha256 == dataset.sha256
    assert len(run.result["runs"]) == 2


def test_metrics_and_samples_are_the_files_columns(run: trainer.Run) -> None:
    assert run.metrics["run"].tolist() == [1, 1, 2, 2]
    assert run.metrics["test_error"][-1] == run.result["last_test_error"]
    with h5py.File(run.directory / "samples.h5", "r") as file:
        assert run.samples.keys() == set(file)
        for name, values in run.samples.items():
            np.testing.assert_array_equal(values, file[name][()])


def test_a_run_shows_itself_in_a_line(run: trainer.Run) -> None:
    best = f"{run.result['best_test_error']:.2%}"
    assert repr(run).startswith(f"<Run selfie, small-cnn, seed 3 at {run.directory}: test error best {best}, last ")
    assert run.to_dict()["result"] == run.result
    assert run.to_dict()["epochs"] == 2


def test_predict_gives_the_probabilities_of_the_run_s_network(run: trainer.Run) -> None:
    images = np.stack([record.image for record in run.dataset.split("test")])
    probabilities = trainer.predict(run, images)
    np.testing.assert_array_equal(probabilities, predict_probabilities([run.network()], images))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(trainer.predict(str(run.directory), images), probabilities)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8, 1)), np.zeros((2, 4, 4, 1), np.uint8), np.zeros((8, 8), np.uint8)]
)
def test_images_of_another_kind_are_refused_in_one_line(images: np.ndarray, run: trainer.Run) -> None:
    with pytest.raises(TrainerError, match=r"\(N, 8, 8, 1\) uint8 is expected"):
        trainer.predict(run, images)


def test_an_unfinished_run_has_metrics_and_no_result(dataset: Dataset, tmp_path: Path) -> None:
    config = config_for("default", dataset, epochs=3)
    stopped(config, dataset, tmp_path / "run", StopAt(1, 2))
    run = trainer.load_run(tmp_path / "run")
    assert not run.finished
    assert run.metrics["epoch"].tolist() == [1]
    assert "not finished" in repr(run)
    assert "result" not in run.to_dict()
    with pytest.raises(TrainerError, match="not finished"):
        _ = run.result
    with pytest.raises(TrainerError, match=r"samples\.h5: not there"):
        _ = run.samples


def test_what_is_no_run_and_what_is_damaged_is_one_line(run: trainer.Run, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"config\.json: not there; name a run directory"):
        trainer.load_run(tmp_path)
    (tmp_path / "config.json").write_bytes((run.directory / "config.json").read_bytes())
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "metrics.csv").write_text("run,epoch,test_error\n1,one,0.5\n")
    with h5py.File(tmp_path / "samples.h5", "w") as file:
        file["elsewhere"] = h5py.ExternalLink(str(run.directory / "samples.h5"), "id")
    damaged = trainer.load_run(tmp_path)
    for name in ("metrics", "samples"):
        with pytest.raises(TrainerError, match=f"{name}.*cannot be read") as error:
            getattr(damaged, name)
        assert "\n" not in str(error.value)


def test_the_default_directory_is_the_command_s(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = trainer.train("default", dataset, reporter=Silent(), **SETTINGS)
    assert run.directory == Path("runs/noisy/default-small-cnn-seed3")


@pytest.mark.parametrize("name", ["../elsewhere", "/elsewhere", "..", "a/b"])
def test_the_name_of_a_dataset_leads_nowhere_else(
    name: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(dataset.path, tmp_path / "data")
    path = tmp_path / "data" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": name}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataToolsError, match="should be a plain name") as error:
        trainer.train("default", "data", reporter=Silent(), **SETTINGS)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_setting_that_nobody_has_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="method 'no-such'"):
        trainer.train("no-such", dataset, tmp_path / "run")
    with pytest.raises(TypeError, match="epoch"):
        trainer.train("default", dataset, tmp_path / "run", epoch=3)
    assert not (tmp_path / "run").exists()


def test_dir_lists_the_names_and_importing_them_loads_no_framework() -> None:
    assert set(trainer.__all__) <= set(dir(trainer))
    assert trainer.METHODS["selfie"].name == "selfie"
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        _ = trainer.no_such
