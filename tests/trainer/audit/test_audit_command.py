"""`trainer audit` of a dataset and of a folder of files, from the labels to the corrected folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sklearn.datasets import load_digits

from datatools import convert, corrupt, open_dataset
from tests.support.tiny import examples, write_dataset
from trainer.audit.noise_estimate import default_path
from trainer.commands import main as trainer
from trainer.data import load

pytest.importorskip("cleanlab")


def invoke(arguments: list[str]) -> Result:
    return CliRunner().invoke(trainer, arguments)


def pixels_file(dataset: Any, path: Path) -> Path:
    """Pixels of a dataset, at most 16 a side, as its features."""
    data = load(dataset)
    step = -(-data.image_shape[0] // 16)
    splits = {"train": data.train_images, "test": data.test_images}
    arrays = {
        name: images[np.arange(images.shape[0])][:, ::step, ::step, 0].reshape(images.shape[0], -1).astype(np.float32)
        for name, images in splits.items()
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    clean = convert("digits", root=root).dataset
    made = corrupt(clean, noise="symmetric", rate=0.2, seed=0).dataset
    pixels_file(made, root / "pixels.npz")
    return made.path


def audited(noisy: Path, out: Path, *more: str) -> Any:
    features = noisy.parent / "pixels.npz"
    return invoke(["audit", str(noisy), "--features", str(features), "--out", str(out), "--bootstrap", "20", *more])


def test_a_dataset_s_wrong_labels_are_found_counted_and_told_apart_from_the_truth(noisy: Path, tmp_path: Path) -> None:
    done = audited(noisy, tmp_path / "audit")
    assert done.exit_code == 0, done.output
    facts = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    truth = facts["truth"]
    assert facts["not_usable"] is None
    assert facts["noise_rate"]["value"] == pytest.approx(truth["noise_rate"], abs=0.05)
    assert truth["f1"] > 0.85
    assert f"F1 {truth['f1']:.3f}" in done.output
    with np.load(tmp_path / "audit" / "probabilities.npz") as arrays:
        assert arrays["train"].shape == (1442, 10)
        np.testing.assert_allclose(arrays["test"].sum(axis=1), 1, rtol=1e-5)


def test_the_same_command_gives_the_same_bytes(noisy: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert audited(noisy, tmp_path / name / "audit").exit_code == 0
    for path in sorted((tmp_path / "one" / "audit").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / "audit" / path.name).read_bytes(), path.name


def test_weak_features_are_not_usable_and_nothing_is_suggested(noisy: Path, tmp_path: Path) -> None:
    dataset = open_dataset(noisy)
    random = np.random.default_rng(0)
    counts = {split: dataset.metadata.num_records(split) for split in ("train", "test")}
    np.savez(tmp_path / "noise.npz", **{k: random.normal(size=(n, 5)).astype(np.float32) for k, n in counts.items()})  # type: ignore[arg-type]
    out = tmp_path / "audit"
    done = invoke(["audit", str(noisy), "--features", str(tmp_path / "noise.npz"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "not usable: the model agrees with" in done.output
    assert "no change is suggested unseen" in done.output
    assert len((out / "suggestions.csv").read_text().splitlines()) == 1
    assert 'id="not-usable"' in (out / "review.html").read_text(encoding="utf-8")


def test_images_of_one_class_alone_are_one_line(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "tiny", examples(12, 1), examples(6, 1), num_classes=3)
    features = pixels_file(dataset, tmp_path / "pixels.npz")
    done = invoke(["audit", str(dataset.path), "--features", str(features), "--out", str(tmp_path / "audit")])
    assert done.exit_code == 1
    assert "all images have one label, two or more are expected" in done.output
    assert not (tmp_path / "audit").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Digits as files, a sixth of them in a wrong folder; the right class by path."""
    home = tmp_path_factory.mktemp("photos") / "digits"
    images, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    truth = {}
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        given = int(label) if random.random() > 1 / 6 else int((label + random.integers(1, 10)) % 10)
        path = home / f"class{given}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image.reshape(8, 8) * 15).astype(np.uint8)).resize((16, 16)).save(path)
        truth[f"class{given}/{number}.png"] = f"class{label}"
    return home, truth


def test_a_folder_is_audited_its_suggestions_applied_and_more_of_it_is_right(
    folder: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, truth = folder
    monkeypatch.chdir(tmp_path)
    dataset = convert("image-folder", source=home, root=tmp_path / "other", size=160).dataset
    features = pixels_file(dataset, tmp_path / "pixels.npz")
    done = invoke(["audit", str(home), "--features", str(features), "--bootstrap", "20"])
    assert done.exit_code == 0, done.output
    wrong = np.mean([path.split("/")[0] != label for path, label in truth.items()])
    facts = json.loads(Path("audit/audit.json").read_text(encoding="utf-8"))
    assert facts["noise_rate"]["value"] == pytest.approx(wrong, abs=0.05)
    assert facts["truth"] is None, "nobody knows it"
    with Path("audit/suggestions.csv").open(encoding="utf-8", newline="") as file:
        changes = list(csv.DictReader(file))
    assert len(changes) > 100
    applied = invoke(["apply", "audit/suggestions.csv", "--to", "better"])
    assert applied.exit_code == 0, applied.output
    after = {path.name: path.parent.name for path in Path("better").rglob("*.png")}
    assert len(after) == len(truth)
    still = np.mean([after[path.split("/")[1]] != label for path, label in truth.items()])
    assert still < wrong / 2
    # the rate is passed on, to a run that asks for it
    estimated = json.loads(default_path(open_dataset(Path("data/digits-160x160"))).read_text(encoding="utf-8"))
    assert estimated["noise_rate"]["value"] == facts["noise_rate"]["value"]
    again = invoke(["audit", str(home), "--features", str(features), "--bootstrap", "20", "--overwrite"])
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "nowhere: no such folder; name a folder of images, a sub-folder a class, or a dataset"),
        (["{noisy}", "--features", "gone.npz"], "gone.npz: no such file of features"),
        (["{noisy}", "--folds", "900", "--features", "{pixels}"], "--folds 900: too few samples for so many"),
        (["{noisy}", "--out", "{noisy}", "--overwrite"], "holds what no audit made"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str], line: str, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"noisy": str(noisy), "pixels": str(noisy.parent / "pixels.npz")}
    done = invoke(["audit", *(argument.format(**names) for argument in arguments)])
    assert done.exit_code == 1
    assert line in done.output
    assert not Path("audit").exists()
