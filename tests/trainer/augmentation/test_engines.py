"""What holds for every augmentation, and that all engines make the same images, eagerly and compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import augmented
from trainer.augmentation import AUGMENTATIONS

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tensorflow_images(tf: Any) -> dict[str, np.ndarray]:
    return augmented.outcomes(augmented.eager)


@pytest.fixture(scope="module")
def other_images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What JAX and NumPy make of the same images; each runs in a process of its own."""
    directory = tmp_path_factory.mktemp("engines")
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": "-1"}
    images: dict[str, np.ndarray] = {}
    for engine in ("jax", "numpy"):
        out = directory / f"{engine}.npz"
        command = [sys.executable, "-m", "tests.support.augmented", engine, str(out)]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        with np.load(out) as arrays:
            images |= {f"{engine}/{key}": values for key, values in arrays.items()}
    return images


def test_images_keep_shape_dtype_and_range(tensorflow_images: dict[str, np.ndarray]) -> None:
    assert len(tensorflow_images) == len(AUGMENTATIONS) * len(augmented.SHAPES)
    for key, images in tensorflow_images.items():
        assert images.shape == augmented.SHAPES[key.partition("/")[2]], key
        assert images.dtype == np.float32, key
        assert 0 <= images.min() <= images.max() <= 255, key


@pytest.mark.parametrize("engine", ["jax", "numpy"])
def test_jax_and_numpy_make_the_images_of_tensorflow(
    tensorflow_images: dict[str, np.ndarray], other_images: dict[str, np.ndarray], engine: str
) -> None:
    for key, images in tensorflow_images.items():
        assert np.array_equal(other_images[f"{engine}/{key}"], images), key


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_a_tf_function_makes_the_images_of_eager_calls(
    tf: Any, tensorflow_images: dict[str, np.ndarray], compiled: bool
) -> None:
    def traced(apply: Any) -> Any:
        return tf.function(apply, jit_compile=compiled, autograph=False)

    for key, images in augmented.outcomes(traced).items():
        assert np.array_equal(images, tensorflow_images[key]), key


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_the_batch_size_may_be_unknown_in_a_graph(tf: Any, augmentation: Any) -> None:
    specs = [tf.TensorSpec((None, 8, 8, 1)), tf.TensorSpec((None, augmentation.numbers))]
    traced = tf.function(augmentation.apply, input_signature=specs, autograph=False)
    for batch in (3, 5):
        images = augmented.photographs((batch, 8, 8, 1))
        numbers = augmented.numbers_for(augmentation, batch)
        assert np.array_equal(traced(images, numbers), np.asarray(augmentation.apply(images, numbers)))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_an_image_depends_on_its_own_numbers_alone(tf: Any, augmentation: Any) -> None:
    images = augmented.photographs((30, 12, 12, 3))
    numbers = augmented.numbers_for(augmentation, 30)
    together = np.asarray(augmentation.apply(images, numbers))
    order = np.random.default_rng(0).permutation(30)[:11]
    assert np.array_equal(np.asarray(augmentation.apply(images[order], numbers[order])), together[order])


def test_only_none_leaves_images_as_they_are(tensorflow_images: dict[str, np.ndarray]) -> None:
    images = augmented.photographs(augmented.SHAPES["cifar"])
    unchanged = {name for name in AUGMENTATIONS if np.array_equal(tensorflow_images[f"{name}/cifar"], images)}
    assert unchanged == {"none"}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_entry_is_under_its_own_name_and_says_where_it_is_from(name: str) -> None:
    augmentation = AUGMENTATIONS[name]
    assert augmentation.name == name
    assert augmentation.title
    assert augmentation.source
