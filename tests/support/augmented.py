"""Images and numbers for augmentations, and what an engine makes of them in a process of its own.

    python -m tests.support.augmented ENGINE OUT.npz

OUT.npz has the images of each augmentation and case as "augmentation/case": on JAX compiled, on NumPy eagerly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from trainer.augmentation import AUGMENTATIONS, Augmentation, draw
from trainer.engine import load_backend

SHAPES = {
    "cifar": (84, 32, 32, 3),
    "digits": (20, 8, 8, 1),
    "oblong": (20, 9, 14, 2),
    "pixel": (3, 1, 1, 1),
}
"""(B, H, W, C) by case."""


def photographs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """(B, H, W, C) float32 whole numbers of 0…255 with smooth parts, edges, noise, and contrasts from none to full."""
    random = np.random.default_rng(seed)
    batch, height, width, channels = shape
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([np.sin(rows / 3 + n) * np.cos(columns / 5 - n) for n in range(channels)], axis=-1)
    edges = (rows + columns > height)[..., None] * 1.0
    images = waves + edges + random.normal(0, 0.3, (batch, height, width, channels))
    contrast = np.linspace(0, 120, batch).reshape(-1, 1, 1, 1)
    level = random.uniform(40, 200, (batch, 1, 1, channels))
    return np.clip(np.rint(level + contrast * images), 0, 255).astype(np.float32)


def numbers_for(augmentation: Augmentation, batch: int) -> np.ndarray:
    """(B, n) float32; the first two images have the least and the largest numbers that are drawn."""
    numbers = draw(augmentation, seed=1, run=0, epoch=0, steps=1, batch_size=batch)[0]
    numbers[0], numbers[1] = 0.0, 1 - 2.0**-24
    return numbers


def outcomes(way: Callable[..., Any]) -> dict[str, np.ndarray]:
    """What each augmentation makes of each case, where `way` makes of `apply` what is called."""
    return {
        f"{name}/{case}": np.asarray(way(augmentation.apply)(photographs(shape), numbers))
        for name, augmentation in AUGMENTATIONS.items()
        for case, shape in SHAPES.items()
        for numbers in [numbers_for(augmentation, shape[0])]
    }


def main(engine: str, out: str) -> None:
    load_backend(engine)
    way: Callable[..., Any] = eager
    if engine == "jax":
        import jax

        way = jax.jit
    images: dict[str, Any] = outcomes(way)
    np.savez(out, **images)


def eager(apply: Callable[..., Any]) -> Callable[..., Any]:
    return apply


if __name__ == "__main__":
    main(*sys.argv[1:])
