"""Weights read back: the network classifies as the run says it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datatools.format.dataset import Dataset, open_dataset
from tests.support.tiny import examples, write_dataset
from trainer.config import resolve
from trainer.errors import TrainerError
from trainer.reporters.base import Quiet
from trainer.runs.weights import classify, load_network
from trainer.training.loop import train


@pytest.fixture(scope="module")
def dataset(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three classes of 8x8 images, and noise enough in the labels that errors are left."""
    train_examples, test_examples = examples(90, seed=1), examples(60, seed=2)
    clean = train_examples[1]
    noisy = np.where(np.arange(90) % 4 == 0, (clean + 1) % 3, clean)
    folder = tmp_path_factory.mktemp("data") / "noisy"
    return write_dataset(
        folder, (train_examples[0], noisy, train_examples[2]), test_examples, labels="noisy", clean_labels=clean
    )


def finished(dataset: Dataset, directory: Path, method: str = "default", **settings: Any) -> Path:
    values = {"preset": "quick", "epochs": 2, "batch_size": 30, "learning_rate": 0.02, **settings}
    train(resolve(method, dataset, **values), dataset, directory, Quiet())
    return directory


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(dataset, tmp_path_factory.mktemp("runs") / "run")


def held_out(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, C) uint8 test images and their (N,) labels."""
    images = np.concatenate([batch["pixels"].transpose(0, 2, 3, 1) for batch in dataset.batches("test")])
    return images, dataset.labels("test")


def confusion(network: Any, dataset: Dataset) -> list[list[int]]:
    images, labels = held_out(dataset)
    matrix = np.zeros((3, 3), int)
    np.add.at(matrix, (labels, classify(network, images)), 1)
    return matrix.tolist()


@pytest.mark.parametrize(
    ("method", "settings"),
    [("default", {}), ("default", {"precision": "bfloat16"}), ("default", {"network": "densenet-10-12"})],
    ids=["small-cnn", "bfloat16", "densenet"],
)
def test_the_network_makes_the_mistakes_that_the_result_counts(
    method: str, settings: dict[str, Any], dataset: Dataset, tmp_path: Path
) -> None:
    directory = finished(dataset, tmp_path / "run", method, **settings)
    result = json.loads((directory / "result.json").read_text())
    matrix = confusion(load_network(directory), dataset)
    assert matrix == result["confusion_matrix"]["last"]
    assert 1 - np.trace(matrix) / np.sum(matrix) == pytest.approx(result["last_test_error"], abs=1e-12)
    assert result["last_test_error"] > 0, "nothing is shown by a network without mistakes"


def test_the_selected_epoch_has_weights_of_its_own(dataset: Dataset, tmp_path: Path) -> None:
    directory = finished(dataset, tmp_path / "run", validation_fraction=0.2, epochs=4)
    result = json.loads((directory / "result.json").read_text())
    assert result["selected"]["epoch"] < 4, "the last epoch would show nothing"
    for which in ("selected", "last"):
        assert confusion(load_network(directory, which), dataset) == result["confusion_matrix"][which]
    assert result["confusion_matrix"]["selected"] != result["confusion_matrix"]["last"]


def test_each_network_of_a_method_can_be_had(dataset: Dataset, tmp_path: Path) -> None:
    directory = finished(dataset, tmp_path / "run", "co-teaching")
    result = json.loads((directory / "result.json").read_text())
    first, second = (confusion(load_network(directory, number=number), dataset) for number in (1, 2))
    assert first == result["confusion_matrix"]["last"]
    share = 1 - np.trace(second) / np.sum(second)
    assert share == pytest.approx(result["second_network"]["last_test_error"], abs=1e-12)
    with pytest.raises(TrainerError, match="has no network 3, but 2, numbered from 1"):
        load_network(directory, number=3)


def test_the_dataset_may_have_moved(dataset: Dataset, run: Path, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    other = tmp_path / "run"
    other.mkdir()
    (other / "weights.h5").write_bytes((run / "weights.h5").read_bytes())
    config["dataset"]["path"] = str(tmp_path / "gone")
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(Exception, match="gone"):
        load_network(other)
    assert confusion(load_network(other, dataset=dataset), dataset) == confusion(load_network(run), dataset)


def test_no_images_have_no_classes(dataset: Dataset, run: Path) -> None:
    assert classify(load_network(run), np.empty((0, 8, 8, 1), np.uint8)).shape == (0,)


def test_more_images_than_a_batch(run: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    network, (images, _) = load_network(run), held_out(dataset)
    whole = classify(network, images)
    assert whole.dtype == np.int32
    monkeypatch.setattr("trainer.runs.weights.PREDICTION_BATCH", 7)
    assert np.array_equal(classify(network, images), whole)


def test_the_other_engine_reads_them_too(dataset: Dataset, run: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from datatools import open_dataset\n"
        "from trainer.runs.weights import classify, load_network\n"
        "dataset = open_dataset(sys.argv[2])\n"
        "network = load_network(Path(sys.argv[1]), engine='jax')\n"
        "images = next(dataset.batches('test'))['pixels'].transpose(0, 2, 3, 1)\n"
        "print(classify(network, images).tolist(), 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(run), str(dataset.path)], capture_output=True, text=True, check=True
    )
    images, _ = held_out(dataset)
    assert done.stdout.strip() == f"{classify(load_network(run), images).tolist()} False"


def test_what_cannot_be_read_is_one_line(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"^weights 'best': not known; known are last, selected$"):
        load_network(run, "best")
    with pytest.raises(TrainerError, match=r"has no weights of a selected epoch; a run with --validation-fraction"):
        load_network(run, "selected")
    with pytest.raises(TrainerError, match=r"config\.json: not there; name a run directory"):
        load_network(tmp_path)
    (tmp_path / "config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(TrainerError, match=r"weights\.h5: not there; weights are written when a run is finished"):
        load_network(tmp_path)
    (tmp_path / "weights.h5").write_bytes(b"no HDF5")
    with pytest.raises(TrainerError, match=r"weights\.h5: cannot be read"):
        load_network(tmp_path)


def test_weights_of_another_shape_are_refused(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "four", examples(20, 4), examples(12, 4), num_classes=4)
    with pytest.raises(TrainerError, match="not the weights of small-cnn for 4 classes of 8x8x1 images; name the"):
        load_network(run, dataset=other)
    assert open_dataset(other.path).metadata.num_classes == 4


def test_a_file_that_lacks_an_array_is_refused(run: Path, tmp_path: Path) -> None:
    for name in ("config.json", "weights.h5"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    with h5py.File(tmp_path / "weights.h5", "a") as file:
        arrays = file["last/network_1"]
        del arrays[sorted(arrays)[0]]
    with pytest.raises(TrainerError, match="not the weights of small-cnn for 3 classes"):
        load_network(tmp_path)
