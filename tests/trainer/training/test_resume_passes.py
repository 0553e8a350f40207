"""Methods of several passes and stages: a run that is stopped in any of them ends as if it had not been."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datatools import convert, corrupt
from datatools.format.dataset import Dataset
from tests.support.interrupted import Silent, StopAt, assert_same, config_for, stopped
from trainer.api import predict
from trainer.errors import TrainerError
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train

CASES: dict[str, tuple[dict[str, Any], list[StopAt]]] = {
    # five mini-batches for each network
    "elr-plus": ({"augmentation": "crop-flip"}, [StopAt(0, 4), StopAt(1, 5), StopAt(2, 9)]),
    # three in the warm-up for each; divided epochs have as many as the labelled samples fill
    "dividemix": (
        {"augmentation": "crop-flip", "validation_fraction": 0.1, "method_options": {"warm_up": 1}},
        [StopAt(0, 4), StopAt(1, 1), StopAt(2, 3)],
    ),
}


@pytest.fixture(scope="module")
def dataset(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """131 digits, four in ten of their labels wrong."""
    clean = convert("digits", root=tmp_path_factory.mktemp("data"), limit=131).dataset
    return corrupt(clean, rate=0.4, noise="pair").dataset


@pytest.fixture(autouse=True)
def step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.training.epochs.CPU_SLICE_SECONDS", 0.0)


@pytest.mark.parametrize("method", CASES)
def test_a_run_that_is_stopped_in_its_passes_ends_as_if_it_had_not_been(
    method: str, dataset: Dataset, tmp_path: Path
) -> None:
    settings, places = CASES[method]
    config = config_for(method, dataset, epochs=4, **settings)
    result = train(config, dataset, tmp_path / "whole", Silent())
    for number, place in enumerate(places):
        message = stopped(config, dataset, tmp_path / "parts", place, resume=number > 0)
        assert f"epoch {place.epochs + 1}, after step {place.step} of " in message
    checkpoint = read_checkpoint(tmp_path / "parts" / "checkpoint.h5")
    train(config, dataset, tmp_path / "parts", Silent(), resume=True)
    assert_same(tmp_path / "parts", tmp_path / "whole")
    # What its passes depend on is in the checkpoint, and its headline is of both networks
    if method == "dividemix":
        assert 0 < checkpoint.memory["clean_probability"].max() <= 1
    with (tmp_path / "whole" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    errors = {mark: [float(row[f"test_error{mark}"]) for row in rows] for mark in ("", "_1", "_2")}
    assert result["last_test_error"] == errors[""][-1]
    assert result["first_network"]["last_test_error"] == errors["_1"][-1]
    assert result["second_network"]["last_test_error"] == errors["_2"][-1]
    assert len({tuple(values) for values in errors.values()}) == 3
    # and so are predictions
    records = list(dataset.split("test"))
    probabilities = predict(tmp_path / "whole", np.stack([record.image for record in records]))
    wrong = probabilities.argmax(axis=1) != [record.label for record in records]
    assert wrong.mean() == pytest.approx(result["last_test_error"], abs=1e-12)


def test_a_run_says_what_was_labelled_and_how_clean_each_sample_was(dataset: Dataset, tmp_path: Path) -> None:
    from trainer.runs.run import load_run

    config = config_for("dividemix", dataset, epochs=3, method_options={"warm_up": 1, "unlabelled_weight": 0.0})
    result = train(config, dataset, tmp_path / "run", Silent())
    run = load_run(tmp_path / "run")
    for column in ("labelled_share", "labelled_share_2", "label_precision", "label_precision_2"):
        values = run.metrics[column]
        assert np.isnan(values[0]), "there is no split in the warm-up"
        assert ((values[1:] > 0) & (values[1:] <= 1)).all()
    clean = run.samples["clean_probability"]
    assert clean.shape == (131,)
    assert ((clean >= 0) & (clean <= 1)).all()
    assert result["told"]["noise_settings"] == {
        "confidence_penalty": False,
        "unlabelled_weight": 0.0,
        "clean_threshold": 0.5,
        "loss_epochs": 1,
    }


@pytest.mark.parametrize(("method", "sampling"), [("elr-plus", "balanced"), ("dividemix", "independent")])
def test_mini_batches_that_a_method_does_not_make_are_refused(
    method: str, sampling: str, dataset: Dataset, tmp_path: Path
) -> None:
    config = config_for(method, dataset, sampling=sampling)
    with pytest.raises(TrainerError, match=rf"--sampling {sampling}: {method} draws mini-batches of its own; "):
        train(config, dataset, tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()
