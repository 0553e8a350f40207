"""The protocols in which numbers were published: network, recipe, noise and reported figure together, by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.settings import Derived


@dataclass(frozen=True)
class Preset:
    """A protocol in which numbers were published: values for the settings that are not given.

    Attributes:
        source: where it is from. noise: the convention of the noise in it. reported: the figure that was published.
        values: of settings, by name; "drop_points" and "decay_point" are shares of the epochs.
    """

    title: str
    source: str
    noise: str
    reported: str
    values: Mapping[str, Any]


SELFIE_RECIPE = {
    "batch_size": 128,
    "learning_rate": 0.1,
    "optimizer": "sgd",
    "nesterov": True,
    "momentum_form": "velocity",
    "weight_decay": 5e-4,
    "schedule": "step",
    "drop_points": (0.5, 0.75),
    "drop_factor": 0.2,
    "decay_point": 0.4,
    "late_momentum": None,
    "augmentation": "none",
}
"""SELFIE, section 4.1, and its code."""
TORCH_RECIPE = {
    **SELFIE_RECIPE,
    "nesterov": False,
    "momentum_form": "accumulator",
    "drop_factor": 0.1,
    "augmentation": "crop-flip",
}
"""What the protocols whose code is in PyTorch share."""
PRESETS = {
    "paper": Preset(
        "the protocol of the SELFIE paper; wants a GPU",
        "Song, Kim, Lee, ICML 2019, section 4.1",
        "symmetric without the class itself, pair",
        "best_test_error",
        {**SELFIE_RECIPE, "network": "densenet-25-12", "epochs": 100},
    ),
    "quick": Preset(
        "the same with a small network and fewer epochs; suits a CPU",
        "ours",
        "as in the paper",
        "last_test_error",
        {**SELFIE_RECIPE, "network": "small-cnn", "epochs": 40},
    ),
    "features": Preset(
        "a linear layer on features, for a CPU",
        "ours",
        "as in the paper",
        "last_test_error",
        {
            **SELFIE_RECIPE,
            "network": "linear",
            "epochs": 50,
            "learning_rate": 0.003,
            "weight_decay": 0.1,
        },
    ),
    "co-teaching-2018": Preset(
        "the protocol of Co-teaching, also of Co-teaching+ and JoCoR",
        "Han et al., NIPS 2018, section 4, and its code",
        "symmetric without the class itself, pair; drawn with seed 0",
        "mean_last10_test_error",
        {
            **TORCH_RECIPE,
            "network": "cnn-9",
            "epochs": 200,
            "learning_rate": 1e-3,
            "optimizer": "adam",
            "weight_decay": 0.0,
            "schedule": "linear",
            "late_momentum": 0.1,
            "augmentation": "none",
        },
    ),
    "elr-2020": Preset(
        "the protocol of ELR on CIFAR-10",
        "Liu et al., NeurIPS 2020, and its code (config_cifar10_asym.json)",
        "symmetric with the class itself; asymmetric, drawn class by class",
        "last_test_error",
        {
            **TORCH_RECIPE,
            "network": "resnet-34",
            "epochs": 120,
            "learning_rate": 0.02,
            "weight_decay": 1e-3,
            "drop_points": (1 / 3, 2 / 3),
            "drop_factor": 0.01,
        },
    ),
    "dividemix-2020": Preset(
        "the protocol of DivideMix on CIFAR",
        "Li, Socher, Hoi, ICLR 2020, section 4.1, and its code",
        "symmetric with the class itself; asymmetric",
        "best_test_error",
        {
            **TORCH_RECIPE,
            "network": "preact-resnet-18",
            "epochs": 300,
            "batch_size": 64,
            "learning_rate": 0.02,
            "drop_points": (0.5,),
        },
    ),
    "cifar-n-2022": Preset(
        "the protocol of CIFAR-N's leaderboard",
        "Wei et al., ICLR 2022, and its code",
        "human labels",
        "best_test_error",
        {**TORCH_RECIPE, "network": "resnet-34", "epochs": 100, "drop_points": (0.6,)},
    ),
}


def presets_text() -> str:
    """All presets in a sentence, for `--help`."""
    return "; ".join(
        f"{name}: {preset.title} ({preset.values['network']}, {preset.values['epochs']} epochs)"
        for name, preset in PRESETS.items()
    )


def epochs_at(values: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """The epochs at a preset's share, or shares, of all epochs."""
    shares = PRESETS[values["preset"]].values[name]
    return tuple(math.ceil(round(share * values["epochs"], 9)) for share in np.atleast_1d(shares))


def late_momentum_of(values: Mapping[str, Any]) -> float | None:
    """A preset's momentum after the decay has begun, for an optimizer that takes one."""
    late: float | None = PRESETS[values["preset"]].values["late_momentum"]
    return None if values["optimizer"] == "sgd" else late


def from_preset(name: str) -> Derived:
    """The default that a preset has for a setting."""
    return Derived("the preset's", lambda values: PRESETS[values["preset"]].values[name])
