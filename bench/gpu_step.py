"""Images per second of each method on a GPU, beside a plain compiled PyTorch loop of the same network.

    python bench/gpu_step.py [--minutes 8.5] [--networks densenet-25-12] [--precisions float32 tf32] [--engine jax]

Random 32x32 images that lie on the device; every case in a process of its own: an epoch that compiles and warms up,
then the median of --epochs epochs, each timed until the device is done. "selfie-2-passes" is the official code's form
of SELFIE, "default-deterministic" is --deterministic (float32 alone). "torch" trains by cross-entropy with
torch.compile, channels last and the same optimizer, and "torch-graphs" replays CUDA graphs too; their parameter counts
must be the registry's. Precision float32 is without TF32 on both sides, bfloat16 mixed on both.

Beside the speed stand the operations and bytes of one step and what they come to per second, as a share of what the
card can do by its data sheet, where that is known: operations by XLA's cost analysis of the step as written (of PyTorch
by its own counter, which counts a convolution's padding too), bytes by what the kernels of the compiled step read and
write, in or out of the caches, so that the share can exceed the memory's. With TensorFlow neither is known.

The most telling cases come first. --minutes ends a call cleanly after so long, with exit status 3; the same call goes
on with what is missing. The result file keeps figures apart by device, day and versions, and nothing is compared across
these. A case that fails is kept with its reason; --retry measures it again. On a CPU there is no result: --toy makes a
file named so, of ratios alone, which say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
from gpu_step_figures import Case, figures, group_of, missing, plan, relative, table, with_ratios
from slices import STARTED, run_script, write_results

METHODS: dict[str, dict[str, Any]] = {
    "default": {"method": "default"},
    "selfie": {"method": "selfie"},
    "torch": {},
    "torch-graphs": {"graphs": True},
    "active-bias": {"method": "active-bias"},
    "co-teaching": {"method": "co-teaching"},
    "selfie-2-passes": {"method": "selfie", "settings": {"passes": 2}},
    "default-deterministic": {"method": "default", "deterministic": True},
}
"""What each is called, and what its process is told."""
PRECISIONS = ("float32", "tf32", "bfloat16")
FOLDER = Path(__file__).parent
Call = Callable[[list[str], float], dict[str, Any]]
"""Runs a script of this folder with arguments, for so many seconds at most, and gives what it printed."""


class CaseError(Exception):
    """A case could not be measured; says why."""


def main() -> None:
    arguments = parse()
    run_script(lambda: measure_all(arguments, call))


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--networks", nargs="+", default=["densenet-25-12", "vgg-19"], metavar="N", help="densenet-25-12 vgg-19")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD", help="default: all")
    add("--batch-sizes", type=int, nargs="+", default=[128, 1024], metavar="B", help="default 128 1024")
    add("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), metavar="P", help="default: all three")
    add("--engine", choices=["jax", "tensorflow"], default="jax", help="default jax")
    add("--steps", type=int, default=100, metavar="S", help="of an epoch; default 100")
    add("--epochs", type=int, default=5, metavar="E", help="timed ones; default 5")
    add("--image-size", type=int, default=32, metavar="PIXELS", help="with --toy alone; default 32")
    add("--minutes", type=float, metavar="M", help="end cleanly after so many; default: go to the end")
    add("--retry", action="store_true", help="measure again what failed")
    add("--toy", action="store_true", help="on the CPU, ratios alone")
    add("--out", type=Path, metavar="FILE", help="default bench/results/gpu_step….json")
    arguments = parser.parse_args(given)
    if arguments.image_size != 32 and not arguments.toy:
        parser.error("--image-size: with --toy alone")
    if arguments.toy and arguments.out and "toy" not in arguments.out.name:
        parser.error(f"--out {arguments.out}: a toy's file has `toy` in its name")
    return arguments


def result_name(arguments: argparse.Namespace) -> str:
    """gpu_step[-toy]-<engine>."""
    return "-".join(["gpu_step", *["toy"] * arguments.toy, arguments.engine])


def measure_all(arguments: argparse.Namespace, call: Call) -> bool:
    """Measure what is missing, and write the result after each case; whether nothing is missing any more."""
    ends = float("inf") if arguments.minutes is None else STARTED + 60 * arguments.minutes
    out = arguments.out or machine.RESULTS / f"{result_name(arguments)}.json"
    device = find_device(arguments, call)
    groups = [] if arguments.toy or not out.is_file() else json.loads(out.read_text(encoding="utf-8"))["measured"]
    group = group_of(groups, device, versions(), {"steps": arguments.steps, "epochs": arguments.epochs})
    planned = plan(arguments.networks, arguments.batch_sizes, arguments.precisions, arguments.methods)

    def write() -> None:
        complete = not missing(planned, group)
        shown = [relative(group)] if arguments.toy else [with_ratios(own) for own in groups]
        write_results(out, result_name(arguments), {"complete": complete, "measured": shown})

    longest = 0.0
    for case in missing(planned, group, retry=arguments.retry):
        left = ends - time.monotonic()
        if left <= longest:
            break
        begun = time.monotonic()
        try:
            group["cases"][case.key] = measured(case, arguments, device, call, left)
        except subprocess.TimeoutExpired:
            break
        except CaseError as error:
            group["cases"][case.key] = {"failed": str(error)}
        longest = max(longest, time.monotonic() - begun)
        print(f"{case.key}: {group['cases'][case.key].get('failed', 'done')}", flush=True)
        write()
    write()
    print(table((relative if arguments.toy else with_ratios)(group)))
    return not missing(planned, group)


def find_device(arguments: argparse.Namespace, call: Call) -> str:
    """What the cases will run on. Exits where that is no GPU and nobody asked for a toy, or the other way round."""
    if arguments.toy:
        return "CPU"
    try:
        device = call(["step_of_engine.py", "device", arguments.engine], 600.0)["device"]
    except CaseError as error:
        sys.exit(f"error: {error}")
    if not device.startswith("GPU"):
        sys.exit(f"error: {arguments.engine} finds no GPU here ({device}), and there is no result without; try --toy")
    return str(device)


def versions() -> dict[str, str | None]:
    """Of Python and of what computes; None for what is not installed."""
    import platform
    from importlib import metadata

    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("keras", "jax", "tensorflow", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def measured(case: Case, arguments: argparse.Namespace, device: str, call: Call, seconds: float) -> dict[str, Any]:
    """The figures of a case.

    Raises:
        CaseError: it cannot be measured. subprocess.TimeoutExpired: not in so many seconds.
    """
    script = "step_of_torch.py" if case.method.startswith("torch") else "step_of_engine.py"
    told = {
        **METHODS[case.method],
        **{"network": case.network, "batch_size": case.batch_size, "precision": case.precision},
        **{key: getattr(arguments, key) for key in ("engine", "steps", "epochs", "image_size")},
        "device": "cpu" if arguments.toy else "gpu",
    }
    found = call([script, json.dumps(told)], seconds)
    if not arguments.toy and found["device"] != device:
        raise CaseError(f"measured on another device: {found['device']}")
    return figures(case, found, arguments.steps, device)


def call(arguments: list[str], seconds: float) -> dict[str, Any]:
    """See `Call`; what is still under way after `seconds` is ended, with all that it started."""
    path = os.pathsep.join([str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(FOLDER / arguments[0]), *arguments[1:]]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        out, errors = child.communicate(timeout=None if seconds == float("inf") else max(0.0, seconds))
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    if child.returncode:
        lines = [line for line in errors.splitlines() if line.strip()] or [f"ended with status {child.returncode}"]
        raise CaseError(lines[-1][:300])
    return dict(json.loads(out.splitlines()[-1]))


if __name__ == "__main__":
    main()
