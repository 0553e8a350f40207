"""The networks of `trainer.networks` as plain PyTorch modules, of the same layers in the same order.

(B, C, H, W) float32 images to (B, K) logits. The initial values are PyTorch's own: they do not matter to the time.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

import torch
from torch import nn

KEPT, EPSILON = 0.9, 1e-5
"""Of batch norm's moving statistics a step keeps this share, which PyTorch counts the other way round."""
DENSENETS = {"densenet-10-12": 10, "densenet-25-12": 25, "densenet-40-12": 40}
"""Depths; the growth rate is 12."""
VGG_GROUPS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


def build_torch_network(name: str, image_size: int, num_classes: int, channels: int = 3) -> nn.Module:
    """The network `name` of `trainer.networks.NETWORKS` for square images."""
    if name in DENSENETS:
        return DenseNet(DENSENETS[name], 12, num_classes, channels)
    return {"vgg-19": vgg19, "small-cnn": small_cnn}[name](image_size, num_classes, channels)


def parameters(network: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(values.numel() for values in network.parameters())


def check_parameters(name: str, expected: int) -> None:
    """Exit unless the network has as many parameters for 32x32x3 images and 10 classes as the registry says."""
    with torch.device("meta"):
        found = parameters(build_torch_network(name, 32, 10))
    if found != expected:
        raise SystemExit(f"{name}: {found:,} parameters in PyTorch, {expected:,} in the registry")


def _norm(filters: int, dimensions: int = 2) -> nn.Module:
    layer = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d
    return layer(filters, eps=EPSILON, momentum=1 - KEPT)


class DenseLayer(nn.Module):
    """Batch norm, ReLU, convolution 3x3, dropout; joined to its input."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(inputs, filters, 3, padding=1, bias=False)
        self.layers = nn.Sequential(_norm(inputs), nn.ReLU(), convolution, nn.Dropout(0.2))

    def forward(self, x: Any) -> Any:
        return torch.cat([x, self.layers(x)], 1)


class DenseNet(nn.Module):
    """DenseNet without bottleneck: three dense blocks, with a transition after the first two."""

    def __init__(self, depth: int, growth_rate: int, num_classes: int, channels: int) -> None:
        super().__init__()
        filters = 16
        layers: list[nn.Module] = [nn.Conv2d(channels, filters, 3, padding=1, bias=False)]
        for block in range(3):
            for _ in range((depth - 4) // 3):
                layers.append(DenseLayer(filters, growth_rate))
                filters += growth_rate
            if block < 2:
                layers += [_norm(filters), nn.ReLU(), nn.Conv2d(filters, filters, 1, bias=False)]
                layers += [nn.ReLU(), nn.Dropout(0.2), nn.AvgPool2d(2)]
        self.layers = nn.Sequential(*layers, _norm(filters), nn.ReLU())
        self.classifier = nn.Linear(filters, num_classes)

    def forward(self, images: Any) -> Any:
        return self.classifier(self.layers(images).mean((2, 3)))


def vgg19(image_size: int, num_classes: int, channels: int) -> nn.Module:
    """Sixteen convolutions in five groups, two dense layers of 4,096."""
    layers: list[nn.Module] = []
    for filters, convolutions in VGG_GROUPS:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), _norm(filters), nn.ReLU()]
            channels = filters
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
        image_size = -(-image_size // 2)
    layers.append(nn.Flatten())
    inputs = channels * image_size**2
    for _ in range(2):
        layers += [nn.Linear(inputs, 4096), _norm(4096, 1), nn.ReLU(), nn.Dropout(0.5)]
        inputs = 4096
    return nn.Sequential(*layers, nn.Linear(inputs, num_classes))


def small_cnn(image_size: int, num_classes: int, channels: int) -> nn.Module:
    """Three convolutions and a dense layer."""
    layers: list[nn.Module] = []
    for filters in (32, 64, 128):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), _norm(filters), nn.ReLU()]
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
        channels, image_size = filters, -(-image_size // 2)
    layers += [nn.Flatten(), nn.Linear(channels * image_size**2, 128), _norm(128, 1), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(128, num_classes))
