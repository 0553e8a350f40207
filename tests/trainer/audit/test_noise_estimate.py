"""`trainer estimate-noise`: the file, who may read it, and the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer.audit.estimation as estimation
from cli import trainer
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from tests.support.factories import tree
from tests.support.noise_runs import noisy
from tests.support.tiny import examples, write_dataset
from trainer.audit.estimation import (
    Predictions,
)
from trainer.audit.noise_estimate import default_path, estimate_noise, read_estimate, summary
from trainer.errors import TrainerError


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions without training: those of a network that sees through every wrong label."""
    pytest.importorskip("cleanlab")

    def predictions(dataset: Dataset, config: Any, folds: int, progress: Any) -> Predictions:
        labels = dataset.labels("train").astype(np.int64)
        clean = np.arange(len(labels)) % 3
        probability = np.full((len(labels), 3), 0.05)
        probability[np.arange(len(labels)), clean] = 0.9
        return Predictions(labels, probability, np.arange(len(labels)) % folds, (1,) * folds)

    monkeypatch.setattr(estimation, "predict_out_of_sample", predictions)


@pytest.mark.usefixtures("quick")
def test_the_file_is_read_for_its_dataset_alone(tmp_path: Path) -> None:
    dataset, other = noisy(tmp_path / "noisy"), noisy(tmp_path / "other")
    path = default_path(dataset)
    assert path == tmp_path / "noisy.noise-estimate.json"
    content = estimate_noise(dataset, path, repeats=20)
    assert json.loads(path.read_text()) == content
    assert read_estimate(path, dataset) == content["noise_rate"]["value"] == pytest.approx(0.25)
    assert content["agreement"] == 0.75
    assert content["truth"]["noise_rate"] == 0.25
    assert content["truth"]["error"] == pytest.approx(0)
    assert content["transition_matrix"] == pytest.approx(np.array(content["truth"]["transition_matrix"]))
    assert "truth 25.0%, so the estimate is off by" in summary(content)[-1]
    with pytest.raises(TrainerError, match=r"estimated on another dataset, or .*other changed since"):
        read_estimate(path, other)
    with pytest.raises(
        TrainerError, match=r"no estimate of the noise rate there; make one with `trainer estimate-noise"
    ):
        read_estimate(default_path(other), other)


@pytest.mark.usefixtures("quick")
def test_the_same_dataset_gives_the_same_bytes_and_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    dataset = noisy(tmp_path / "noisy")
    inside = tree(dataset.path)
    estimate_noise(dataset, tmp_path / "a.json", repeats=20)
    estimate_noise(dataset, tmp_path / "b.json", repeats=20)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert tree(dataset.path) == inside
    with pytest.raises(DataToolsError, match="pass --overwrite"):
        estimate_noise(dataset, tmp_path / "a.json", repeats=20)
    with pytest.raises(DataToolsError, match=r"ends in \.json"):
        estimate_noise(dataset, tmp_path / "a.txt", repeats=20)
    estimate_noise(dataset, tmp_path / "a.json", repeats=20, seed=1, overwrite=True)
    assert (tmp_path / "a.json").read_bytes() != (tmp_path / "b.json").read_bytes()


@pytest.mark.usefixtures("quick")
def test_nobody_claims_a_truth_for_unknown_labels(tmp_path: Path) -> None:
    content = estimate_noise(noisy(tmp_path / "noisy", labels="unknown"), tmp_path / "out.json", repeats=20)
    assert content["truth"] is None
    assert not any("truth" in line for line in summary(content))


BAD: dict[str, str] = {
    "not JSON": "{",
    "a list": "[]",
    "nothing": "{}",
    "a version from tomorrow": '{"format_version": 2, "dataset": {"sha256": ""}, "noise_rate": {"value": 0.1}}',
    "a rate of 1": '{"format_version": 1, "dataset": {"sha256": ""}, "noise_rate": {"value": 1}}',
    "no number": '{"format_version": 1, "dataset": {"sha256": ""}, "noise_rate": {"value": "0.1"}}',
    "true": '{"format_version": 1, "dataset": {"sha256": ""}, "noise_rate": {"value": true}}',
    "NaN": '{"format_version": 1, "dataset": {"sha256": ""}, "noise_rate": {"value": NaN}}',
    "nested": "[" * 100_000,
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_estimate_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(BAD[kind])
    with pytest.raises(TrainerError, match="not an estimate of a noise rate") as caught:
        read_estimate(path, noisy(tmp_path / "noisy"))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("quick")
def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = noisy(tmp_path / "noisy")
    before = tree(tmp_path)

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_noise(dataset, tmp_path / "new" / "out.json", repeats=20, bootstrap_progress=interrupt)
    assert tree(tmp_path) == before


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit:
        trainer.main(["estimate-noise", *arguments])
    said = capsys.readouterr()
    return int(exit.value.code or 0), said.out, said.err


@pytest.mark.usefixtures("quick")
def test_the_command_takes_the_only_unknown_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = noisy(tmp_path / "photos", labels="unknown")
    noisy(tmp_path / "noisy")
    code, said, err = answer(capsys, "--root", str(tmp_path), "--bootstrap", "20")
    assert (code, err) == (0, "")
    assert said.splitlines()[0].startswith("noise rate 25.0% (95% of the bootstrap: ")
    assert said.splitlines()[-1] == (
        f"{tmp_path / 'photos.noise-estimate.json'}: the estimate; `trainer run selfie --data {dataset.path} "
        "--noise-rate estimated` reads it"
    )
    path = str(tmp_path / "own.json")
    said = answer(capsys, "--data", str(dataset.path), "--bootstrap", "20", "--out", path)[1]
    assert said.endswith(f"--noise-rate estimated --noise-estimate {path}` reads it\n")
    assert read_estimate(default_path(dataset), dataset) == pytest.approx(0.25)


def test_without_cleanlab_one_line_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy(tmp_path / "noisy")
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    before = tree(tmp_path)
    code, said, err = answer(capsys, "--data", str(tmp_path / "noisy"))
    assert (code, said) == (1, "")
    assert err.count("\n") == 1
    assert "install it with pip install 'selfie-noisy-labels[estimate]'" in err
    assert tree(tmp_path) == before


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cleanlab")
    data = str(noisy(tmp_path / "noisy").path)
    _, _, pixels = examples(20, 2)
    write_dataset(tmp_path / "one", (np.arange(20), np.zeros(20, int), pixels), examples(6, 2), num_classes=1)
    for arguments, said in (
        (("--data", data, "--folds", "30"), "too few samples for so many"),
        (("--data", data, "--learning-rate", "-1"), "--learning-rate -1.0: above 0 is expected"),
        (("--data", str(tmp_path / "one")), "has one class"),
        (("--data", str(tmp_path / "gone")), "no such dataset directory"),
        (("--root", str(tmp_path)), "no unknown dataset"),
        (("--data", data, "--device", "moon"), "--device moon"),
    ):
        code, _, err = answer(capsys, *arguments)
        assert (code, err.count("\n")) == (1, 1), err
        assert said in err
    assert not list(tmp_path.glob("*noise-estimate*"))
