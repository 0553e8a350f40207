"""`trainer estimate-noise`: figures worked out by hand, folds, the file and who may read it, and digits."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trainer.audit.estimation as estimation
from cli import trainer
from datatools import convert, corrupt
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset
from tests.support.factories import tree
from tests.support.tiny import examples, write_dataset
from trainer.audit.estimation import (
    Predictions,
    bootstrap_rows,
    estimate,
    estimate_settings,
    fold_numbers,
    joint_distribution,
    mixture_rate,
    predict_out_of_sample,
    rate_of,
    relative_losses,
    transition_matrix,
)
from trainer.audit.noise_estimate import default_path, estimate_noise, read_estimate, summary
from trainer.errors import TrainerError

FAST: dict[str, Any] = {"network": "small-cnn", "epochs": 2, "batch_size": 16, "learning_rate": 0.05, "seed": 0}


def noisy(folder: Path, count: int = 60, labels: str = "noisy") -> Dataset:
    """Images of 3 classes, every fourth with the next label."""
    ids, clean, pixels = examples(count)
    given = np.where(np.arange(count) % 4 == 0, (clean + 1) % 3, clean)
    more: dict[str, Any] = {"labels": "noisy", "clean_labels": clean} if labels == "noisy" else {"labels": labels}
    return write_dataset(folder, (ids, given, pixels), examples(6), train_files=2, **more)


def noisy_predictions(count: int, rate: float, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) labels with symmetric noise, and what a perfect network of them would say."""
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, count)
    wrong = random.random(count) < rate
    labels = np.where(wrong, (true + random.integers(1, classes, count)) % classes, true)
    probability = np.full((count, classes), rate / (classes - 1))
    probability[np.arange(count), true] = 1 - rate
    return labels, probability


# --- folds -----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=80).map(lambda extra: np.array([*range(5)] * 3 + extra)),
    st.integers(2, 3),
    st.integers(0, 9),
)
def test_folds_spread_every_label_evenly(labels: np.ndarray, folds: int, seed: int) -> None:
    numbers = fold_numbers(labels, folds, seed)
    assert np.array_equal(numbers, fold_numbers(labels, folds, seed))
    sizes = np.bincount(numbers, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label in range(5):
        own = np.bincount(numbers[labels == label], minlength=folds)
        assert own.max() - own.min() <= 1


def test_another_seed_gives_other_folds() -> None:
    labels = np.arange(60) % 3
    assert not np.array_equal(fold_numbers(labels, 3, 0), fold_numbers(labels, 3, 1))


def test_too_few_samples_for_the_folds() -> None:
    with pytest.raises(TrainerError, match="--folds 5: too few samples for so many, label 1 has 4; lower --folds"):
        fold_numbers(np.array([0] * 9 + [1] * 4), 5, 0)
    with pytest.raises(TrainerError, match="--folds 1: at least 2 are expected"):
        fold_numbers(np.arange(4), 1, 0)


def test_a_fold_is_predicted_by_a_network_that_has_not_seen_it(
    tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    whole = estimation._train

    def spied(data: Any, *arguments: Any) -> Any:
        seen.append((data.train_images[:], data.test_images[:], data.train_labels))
        return whole(data, *arguments)

    monkeypatch.setattr(estimation, "_train", spied)
    dataset = noisy(tmp_path / "noisy")
    found = predict_out_of_sample(dataset, estimate_settings(dataset, **FAST), 2)
    pixels = examples(60)[2].transpose(0, 2, 3, 1)
    for fold, (trained, held_out, labels) in enumerate(seen):
        assert np.array_equal(trained, pixels[found.folds != fold])
        assert np.array_equal(held_out, pixels[found.folds == fold])
        assert np.array_equal(labels, found.labels[found.folds != fold])
    assert found.probability.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert np.array_equal(found.labels, dataset.labels("train"))
    again = predict_out_of_sample(dataset, estimate_settings(dataset, **FAST), 2)
    assert np.array_equal(again.probability, found.probability)


# --- figures ---------------------------------------------------------------------------------------------------------


def test_the_matrix_of_a_joint_distribution_worked_out_by_hand() -> None:
    joint = np.array([[0.4, 0.1], [0.0, 0.5]])  # rows given, columns true
    assert rate_of(joint) == pytest.approx(0.1)
    assert transition_matrix(joint) == pytest.approx(np.array([[1.0, 0.0], [1 / 6, 5 / 6]]))


def test_a_class_that_nothing_is_taken_for_keeps_its_labels() -> None:
    assert transition_matrix(np.array([[0.5, 0.0], [0.5, 0.0]])).tolist() == [[0.5, 0.5], [0.0, 1.0]]


def test_relative_losses_worked_out_by_hand() -> None:
    probability = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    found = relative_losses(np.array([0, 1, 2]), probability)
    assert found == pytest.approx([-np.log(2), np.log(2), np.log(1e4)])


@pytest.mark.parametrize(("rate", "classes"), [(0.1, 4), (0.3, 10), (0.45, 10)])
def test_the_confident_joint_reads_a_perfect_network(rate: float, classes: int) -> None:
    pytest.importorskip("cleanlab")
    labels, probability = noisy_predictions(4000, rate, classes, seed=1)
    joint = joint_distribution(labels, probability)
    assert joint.sum() == pytest.approx(1)
    assert rate_of(joint) == pytest.approx(rate, abs=0.02)
    expected = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(expected, 1 - rate)
    assert transition_matrix(joint) == pytest.approx(expected, abs=0.06)


def test_the_mixture_reads_two_heaps() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(-3, 1, 700), random.normal(4, 1, 300)])
    rate, means = mixture_rate(values)
    assert rate == pytest.approx(0.3, abs=0.01)
    assert means == pytest.approx([-3, 4], abs=0.2)


def test_the_bootstrap_holds_the_figure_between_its_ends() -> None:
    pytest.importorskip("cleanlab")
    labels, probability = noisy_predictions(500, 0.3, 5, seed=2)
    random = np.random.default_rng(3)
    probability = probability * random.uniform(0.5, 1.5, probability.shape)
    probability /= probability.sum(axis=1, keepdims=True)
    found = Predictions(labels, probability, np.zeros(500, np.int64), (1,))
    for figure in (first := estimate(found, 0, 40))[:2]:
        assert figure.low < figure.value < figure.high
        assert figure.high - figure.low < 0.25
    again = estimate(found, 0, 40)
    assert (again[:2], again[2].tolist()) == (first[:2], first[2].tolist())
    assert estimate(found, 1, 40)[:2] != first[:2]


def test_bootstrap_rows_are_a_function_of_seed_and_number() -> None:
    rows = bootstrap_rows(1000, 0, 3)
    assert np.array_equal(rows, bootstrap_rows(1000, 0, 3))
    assert not np.array_equal(rows, bootstrap_rows(1000, 0, 4))
    assert 0 <= rows.min() <= rows.max() < 1000
    assert len(np.unique(rows)) == pytest.approx(632, abs=40)


# --- the file --------------------------------------------------------------------------------------------------------


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


# --- the command -----------------------------------------------------------------------------------------------------


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
    own = str(tmp_path / "own.json")
    said = answer(capsys, "--data", str(dataset.path), "--bootstrap", "20", "--out", own)[1]
    assert said.endswith(f"--noise-rate estimated --noise-estimate {own}` reads it\n")
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


# --- digits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "rate"), [("pair", 0.2), ("symmetric", 0.4)])
def test_digits_within_five_points(tf: Any, tmp_path: Path, noise: str, rate: float) -> None:
    """With three folds and 8 epochs, to be fast; bench/estimate_noise.py has the command's own settings."""
    pytest.importorskip("cleanlab")
    dataset = corrupt(convert("digits", out=tmp_path / "digits").dataset, noise=noise, rate=rate).dataset
    settings = {**FAST, "epochs": 8, "batch_size": 64}
    content = estimate_noise(dataset, tmp_path / "out.json", folds=3, repeats=20, **settings)
    assert content["noise_rate"]["value"] == pytest.approx(rate, abs=0.05)
    assert content["noise_rate"]["low"] < content["noise_rate"]["value"] < content["noise_rate"]["high"]
    assert content["truth"]["transition_matrix_mean_error"] < 0.03
