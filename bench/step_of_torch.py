"""Seconds of epochs of a plain PyTorch loop that trains the same network, in a process of its own.

    python bench/step_of_torch.py '{"network": "densenet-25-12", "batch_size": 128, …}'

`gpu_step.py` starts it. Cross-entropy alone, SGD with Nesterov momentum and weight decay, images standardised one by
one in the step, channels last; forward and loss by torch.compile, or eager where that does not work, and then it says
so. "graphs" lets it replay CUDA graphs (mode reduce-overhead). float32 is without TF32, bfloat16 by autocast.
Operations are PyTorch's own count, of convolutions and products of matrices alone.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torch_networks import build_torch_network, check_parameters, parameters

from trainer.networks import NETWORKS

WARM_UP_EPOCHS = 3
"""What is compiled, chosen or recorded late is not timed either."""
Loss = Callable[[Any, Any], Any]


def main() -> None:
    print(json.dumps(measure(json.loads(sys.argv[1]))))


def standardise(images: Any) -> Any:
    """(B, H, W, C) uint8 -> (B, C, H, W) float32, channels last, as `trainer.engine.step.standardise` does."""
    images = images.permute(0, 3, 1, 2).float()
    centred = images - images.mean((1, 2, 3), keepdim=True)
    deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    return centred / deviation.clamp(min=images[0].numel() ** -0.5)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    check_parameters(case["network"], NETWORKS[case["network"]].parameters)
    device = torch.device("cpu" if case["device"] == "cpu" else "cuda")
    on_gpu = device.type == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case["precision"] == "tf32"
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    size = case["image_size"]
    network = build_torch_network(case["network"], size, 10).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=5e-4, nesterov=True, fused=on_gpu or None)
    count = case["steps"] * case["batch_size"]
    images = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (count,), device=device)

    def loss_of(images: Any, labels: Any) -> Any:
        with torch.autocast(device.type, torch.bfloat16, enabled=case["precision"] == "bfloat16"):
            logits = network(standardise(images))
        return functional.cross_entropy(logits.float(), labels)

    with FlopCounterMode(display=False) as counter:
        loss_of(images[: case["batch_size"]], labels[: case["batch_size"]]).backward()
    optimizer.zero_grad()
    loss, how = compiled(loss_of, images[: case["batch_size"]], labels[: case["batch_size"]], case)
    seconds = [
        epoch(loss, optimizer, images, labels, case["batch_size"], torch.cuda.synchronize if on_gpu else lambda: None)
        for _ in range(WARM_UP_EPOCHS + case["epochs"])
    ]
    return {
        "device": f"GPU, {torch.cuda.get_device_name()}" if on_gpu else "CPU",
        "parameters": parameters(build_torch_network(case["network"], size, 10)),
        "how": how,
        "seconds": seconds[WARM_UP_EPOCHS:],
        "operations": float(counter.get_total_flops()),
    }


def compiled(loss_of: Loss, images: Any, labels: Any, case: dict[str, Any]) -> tuple[Loss, str]:
    """The loss compiled, and how; eager, with the reason, where a first step fails to compile."""
    if case.get("eager"):
        return loss_of, "eager, as asked for"
    mode = "reduce-overhead" if case.get("graphs") else "default"
    try:
        loss = torch.compile(loss_of, mode=mode)
        loss(images, labels).backward()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return loss_of, f"eager, torch.compile failed: {reason[:200]}"
    return loss, f"torch.compile, mode {mode}"


def epoch(loss_of: Loss, optimizer: Any, images: Any, labels: Any, size: int, wait: Callable[[], object]) -> float:
    """Train on all images once, in a new order; the seconds until the device is done."""
    order = torch.randperm(len(labels), device=labels.device).reshape(-1, size)
    wait()
    started = time.perf_counter()
    total = torch.zeros((), device=labels.device)
    for rows in order:
        optimizer.zero_grad()
        loss = loss_of(images[rows], labels[rows])
        loss.backward()
        optimizer.step()
        total += loss.detach()
    total.item()
    wait()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
