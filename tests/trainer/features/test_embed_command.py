"""`trainer embed` and `trainer run --features`, as a person calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.reference import efficientnet_lite
from tests.support.feature_runs import COUNT, TESTS, noisy, tiny_backbone
from tests.support.torch_saved import saved
from tests.support.trainer_command import TRAINER, Answer, Ask, python
from tests.trainer.commands.conftest import answer, here

__all__ = ["answer", "here"]


@pytest.fixture
def tiny(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone that is quickly made in the place of every other."""
    monkeypatch.setattr("trainer.features.embedding.load_backbone", tiny_backbone)


def ok(answered: Answer) -> str:
    assert answered.code == 0, answered.err
    return answered.out


def test_features_are_made_once_and_trained_on_in_every_noisy_version(tiny: None, here: Path, answer: Ask) -> None:
    noisy(here / "data" / "one")
    noisy(here / "data" / "two", wrong=3)
    said = ok(answer("embed", "--data", "data/one", "--size", "32"))
    file = next((here / "data" / "features").iterdir())
    assert said == (
        f"{file}: features of 60 train and 24 test images by efficientnet-lite0; train on them with --features "
        "efficientnet-lite0\n"
    )
    assert ok(answer("embed", "--data", "data/two", "--size", "32")) == f"{file}: there already\n"
    arguments = ["run", "selfie", "--data", "data/two", "--features", "efficientnet-lite0", "--epochs", "2"]
    said = ok(answer(*arguments, "--batch-size", "20", "--restarts", "0"))
    assert "as 6 features each (efficientnet-lite0), 3 classes" in said
    assert "preset features, but for --epochs 2, --batch-size 20:" in said
    directory = here / "runs" / "two" / "selfie-linear-seed0"
    assert (directory / "result.json").is_file()
    again = answer("run", "selfie", "--run-dir", str(directory), "--resume")
    assert "finished already, nothing to resume" in ok(again) + again.err


def test_what_is_wrong_is_one_line(tiny: None, here: Path, answer: Ask) -> None:
    noisy(here / "data" / "one")
    cases = [
        (["embed", "--data", "data/none"], "data/none: "),
        (["embed", "--data", "data/one", "--size", "8"], "--size 8: 32 to 1024 pixels are expected"),
        (["embed", "--data", "data/one", "--backbone", "resnet"], "backbone 'resnet': not known"),
        (["embed", "--data", "data/one", "--out", "x.npz"], "--out x.npz: a file name that ends in .h5 is expected"),
        (["run", "default", "--data", "data/one", "--features", "efficientnet-lite0"], "make them with `trainer embed"),
        (["run", "default", "--data", "data/one", "--features", "x.npy"], "x.npy: no such file of features"),
        (["run", "default", "--data", "data/one", "--features", "x.csv"], "--features x.csv: neither a backbone"),
        (["run", "default", "--data", "data/one", "--network", "mlp"], "--network mlp: takes features"),
    ]
    for arguments, part in cases:
        answered = answer(*arguments)
        assert answered.code == 1
        assert part in answered.err
        assert answered.err.count("\n") == 1, answered.err
    assert sorted(path.name for path in here.iterdir()) == ["data"]


def test_progress_tells_images_a_second_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainer.commands.embed import _Speed

    times = iter([100.0, 102.0, 110.0, 111.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    speed = _Speed("embed photos")
    for done in (100, 200, 600, 1000):
        speed(done, 1000)
    speed.end()
    assert capsys.readouterr().err == "embed photos: 600 of 1,000 images, 50 images/s, 8 s left\n"


def test_both_engines_give_the_same_features(here: Path) -> None:
    noisy(here / "data" / "one", depth=3)
    weights = here / "made-up.pth"
    weights.write_bytes(saved(efficientnet_lite.made_up_state()))
    arguments = ["embed", "--data", "data/one", "--size", "32", "--weights", "made-up.pth", "--dtype", "float32"]
    features = {}
    for engine in ("tensorflow", "jax"):
        done = python(TRAINER, *arguments, "--engine", engine, "--out", f"{engine}.h5")
        assert (done.returncode, done.stderr) == (0, "")
        with h5py.File(f"{engine}.h5") as file:
            features[engine] = file["train"][:]
            assert file["test"].shape == (TESTS, 1280)
    assert features["jax"].shape == (COUNT, 1280)
    np.testing.assert_allclose(features["jax"], features["tensorflow"], rtol=2e-3, atol=2e-4)
