"""What happens to images on the device before they are standardised. Adding one: a function, and a line.

Every random number is drawn on the host, as a function of (seed, run, epoch, step): see `draw`.
"""

from __future__ import annotations

from trainer.augmentation.base import Augmentation, draw
from trainer.augmentation.crop_flip import CROP_FLIP_NUMBERS, CUTOUT_NUMBERS, crop_flip, cutout
from trainer.ops import Tensor

__all__ = ["AUGMENTATIONS", "Augmentation", "draw"]


def _unchanged(images: Tensor, numbers: Tensor) -> Tensor:
    return images


AUGMENTATIONS: dict[str, Augmentation] = {
    augmentation.name: augmentation
    for augmentation in (
        Augmentation("none", "images as they are", "SELFIE's experiments", 0, _unchanged),
        Augmentation(
            "crop-flip",
            "random crop out of 4 pixels of black padding, and random horizontal flip",
            "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2",
            CROP_FLIP_NUMBERS,
            crop_flip,
        ),
        Augmentation(
            "cutout",
            "crop-flip, and a square hole of half the image's side",
            "DeVries, Taylor: Improved Regularization of Convolutional Neural Networks with Cutout, arXiv 2017",
            CUTOUT_NUMBERS,
            cutout,
        ),
    )
}
"""By name."""
