"""What happens to images on the device before they are standardised. Adding one: an `Augmentation`, and its name here.

Every random number is drawn on the host, as a function of (seed, run, epoch, step): see `draw`.
"""

from __future__ import annotations

from trainer.augmentation.base import NONE, Augmentation, draw
from trainer.augmentation.crop_flip import CROP_FLIP, CUTOUT
from trainer.augmentation.randaugment import RANDAUGMENT

__all__ = ["AUGMENTATIONS", "NONE", "Augmentation", "draw"]

AUGMENTATIONS: dict[str, Augmentation] = {
    augmentation.name: augmentation for augmentation in (NONE, CROP_FLIP, CUTOUT, RANDAUGMENT)
}
