"""What a resume is refused for: one line that names it, and nothing changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from datatools import corrupt
from datatools.format.dataset import Dataset
from tests.support.interrupted import Silent, assert_same, refusal
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.metrics import EpochRow
from trainer.runs.directory import versions
from trainer.training import checkpoint
from trainer.training.code_identity import code_sha256
from trainer.training.loop import train

REPOSITORY = Path(__file__).parents[4]


# Another run


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("others", "named"),
    [
        ({"epochs": 4}, ["--epochs 4 (the run has 3)"]),
        ({"seed": 7, "learning_rate": 0.1}, ["--seed 7 (the run has 0)", "--learning-rate 0.1 (the run has 0.05)"]),
        ({"batch_size": 16}, ["--batch-size 16 (the run has 30)"]),
        ({"noise_rate": 0.25}, ["--noise-rate 0.25 (the run has 0.3833"]),
        ({"precision": "bfloat16"}, ["--precision bfloat16 (the run has float32)"]),
        ({"validation_fraction": 0.2}, ["--validation-fraction 0.2 (the run has 0.0)"]),
        ({"sampling": "independent"}, ["--sampling independent (the run has permutation)"]),
        (
            {"method_settings": {"warm_up": 2, "smoothing": 0.5}},
            ["--warm-up 2 (the run has 1)", "--smoothing 0.5 (the run has 0.2)"],
        ),
        ({"method": "default", "method_settings": {}}, ["in method default (the run has active-bias)"]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused_each_by_its_name_and_both_values(
    others: dict[str, Any], named: list[str], config: RunConfig, dataset: Dataset, run: Path
) -> None:
    for force in (False, True):
        message = refusal(replace(config, **others), dataset, run, resume=True, force=force)
        assert str(run) in message
        for difference in named:
            assert difference in message
        assert message.count("(the run has") == len(named)


@pytest.mark.usefixtures("no_engine")
def test_a_setting_that_fits_no_longer_is_named_before_what_it_breaks(
    config: RunConfig, dataset: Dataset, run: Path
) -> None:
    # a warm-up of 3 in 2 epochs would be an error of its own; what was changed is the epochs
    long = replace(config, method_settings={**config.method_settings, "warm_up": 3})
    shutil.rmtree(run)
    run.mkdir()
    message = refusal_of_epochs(long, dataset, run)
    assert "--epochs 2 (the run has 3)" in message
    assert "longer than" not in message


def refusal_of_epochs(config: RunConfig, dataset: Dataset, run: Path) -> str:
    saved = checkpoint.Checkpoint(
        {
            "settings": config.to_json(),
            "dataset": dataset.sha256,
            "packages": {},
            "code": code_sha256(),
            "device": "CPU",
        },
        checkpoint.Progress(checkpoint.Place(0, 1, 0), 0.4),
    )
    checkpoint.write_checkpoint(run / "checkpoint.h5", saved)
    (run / "config.json").write_text(json.dumps({**config.to_json(), "dataset": {"sha256": dataset.sha256}}))
    return refusal(replace(config, epochs=2), dataset, run, resume=True)


@pytest.mark.usefixtures("no_engine")
def test_another_dataset_is_refused(clean: Dataset, config: RunConfig, run: Path, tmp_path: Path) -> None:
    other = corrupt(clean, rate=0.4, noise="pair", seed=1, out=tmp_path / "other").dataset
    message = refusal(config, other, run, resume=True, force=True)
    assert "dataset.json" in message
    assert message.count("(the run has") == 1


@pytest.mark.usefixtures("no_engine")
def test_another_manifest_is_refused(dataset: Dataset, config: RunConfig, run: Path, tmp_path: Path) -> None:
    # the same labels to train on, but another truth to measure by
    copy = Path(shutil.copytree(dataset.path, tmp_path / "copy"))
    with h5py.File(copy / "manifest.h5", "r+") as file:
        file["clean_label"][0] = (int(file["clean_label"][0]) + 5) % 10
    from datatools.format.dataset import open_dataset

    message = refusal(config, open_dataset(copy), run, resume=True, force=True)
    assert "manifest" in message


def test_a_dataset_may_move(dataset: Dataset, config: RunConfig, run: Path, whole: Path, tmp_path: Path) -> None:
    from datatools.format.dataset import open_dataset

    copy = open_dataset(shutil.copytree(dataset.path, tmp_path / "elsewhere"))
    train(config, copy, run, Silent(), resume=True)
    assert_same(run, whole)


def test_where_images_are_kept_and_how_the_device_is_called_may_change(
    dataset: Dataset, config: RunConfig, run: Path, whole: Path
) -> None:
    said = Silent()
    train(replace(config, device="cpu", device_memory=1), dataset, run, said, resume=True)
    assert said.notes == []
    assert_same(run, whole)


@pytest.mark.usefixtures("no_engine")
def test_a_finished_run_with_other_settings_is_not_taken_for_what_was_asked(
    dataset: Dataset, config: RunConfig, whole: Path
) -> None:
    message = refusal(replace(config, epochs=30), dataset, whole, resume=True)
    assert "--epochs 30 (the run has 3)" in message


# Other surroundings


def new_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.training.resume.code_sha256", lambda: "f" * 64)


def new_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**versions(), "keras": "99.0"}
    monkeypatch.setattr("trainer.training.resume.versions", lambda: changed)


def new_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.engine.tensorflow._describe", lambda gpu: "CPU, 1024 cores")


@pytest.mark.parametrize(
    ("change", "named"),
    [(new_code, "code ffffffffffff"), (new_keras, "keras 99.0"), (new_device, "device CPU, 1024 cores (the run has")],
)
def test_other_surroundings_are_refused_unless_forced(
    change: Callable[[pytest.MonkeyPatch], None],
    named: str,
    dataset: Dataset,
    config: RunConfig,
    run: Path,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(monkeypatch)
    message = refusal(config, dataset, run, resume=True)
    assert named in message
    assert message.count("(the run has") == 1
    assert "--force" in message
    said = Silent()
    train(config, dataset, run, said, resume=True, force=True)
    assert len(said.notes) == 1
    assert named in said.notes[0]
    assert_same(run, whole)


# A run that is under way


HOLDER = """
import sys
from pathlib import Path
from trainer.runs.replacing import run_directory
with run_directory(Path(sys.argv[1])):
    print("holds it", flush=True)
    sys.stdin.read()
"""


@pytest.mark.usefixtures("no_engine")
def test_two_processes_cannot_train_into_one_directory(
    dataset: Dataset, config: RunConfig, run: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holds it\n"
        for settings in ({"resume": True}, {"overwrite": True}):
            message = refusal(config, dataset, run, **settings)
            assert str(run) in message
            assert "another run is writing there" in message
        holder.kill()  # a lock ends with its process, however that ends
    with pytest.raises(AssertionError, match="an engine was made"):
        train(config, dataset, run, Silent(), resume=True)


def test_a_second_start_within_a_run_is_refused_and_the_first_goes_on(
    dataset: Dataset, config: RunConfig, whole: Path, tmp_path: Path
) -> None:
    messages: list[str] = []

    class Meddler(Silent):
        def epoch(self, row: EpochRow, seconds_left: float) -> None:
            for settings in ({"resume": True}, {"overwrite": True}):
                with pytest.raises(TrainerError) as said:
                    train(config, dataset, tmp_path / "run", Silent(), **settings)
                messages.append(str(said.value))

    train(config, dataset, tmp_path / "run", Meddler())
    assert len(messages) == 2 * config.epochs
    assert all("another run is writing there" in message for message in messages)
    assert_same(tmp_path / "run", whole)
