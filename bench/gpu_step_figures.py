"""The cases of `gpu_step.py`, in what order they are measured, and what is made of the seconds that were measured."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slices import text_table

TELLING = ("default", "selfie", "torch")
LIMITS: dict[str, dict[str, float]] = {
    "H100 80GB HBM3": {"float32": 67.0, "tf32": 494.5, "bfloat16": 989.5, "bytes": 3.35},
    "H100 PCIe": {"float32": 51.0, "tf32": 378.0, "bfloat16": 756.5, "bytes": 2.0},
    "H200": {"float32": 67.0, "tf32": 494.5, "bfloat16": 989.5, "bytes": 4.8},
}
"""Of NVIDIA's data sheets, without sparsity, by a part of the card's name: TFLOP/s by precision, and TB/s."""
ABSOLUTE = ("images_per_second", "step_milliseconds", "tflops", "tflops_share", "gigabytes_per_second", "bytes_share")
"""Figures that only a GPU's result may hold."""


@dataclass(frozen=True)
class Case:
    """What is measured at a time."""

    network: str
    batch_size: int
    precision: str
    method: str

    @property
    def key(self) -> str:
        return f"{self.network} {self.batch_size} {self.precision} {self.method}"

    @classmethod
    def of(cls, key: str) -> Case:
        network, batch_size, precision, method = key.split()
        return cls(network, int(batch_size), precision, method)


def plan(
    networks: Sequence[str], batch_sizes: Sequence[int], precisions: Sequence[str], methods: Sequence[str]
) -> list[Case]:
    """All cases, the most telling first: TELLING of the first setting; of all settings; then what is left."""
    cases = [
        Case(network, size, precision, method)
        for size in batch_sizes
        for precision in precisions
        for network in networks
        for method in sorted(methods, key=lambda name: (*TELLING, name).index(name))
        if method != "default-deterministic" or precision == "float32"
    ]
    first = (networks[0], batch_sizes[0], precisions[0])

    def rank(case: Case) -> int:
        if case.method not in TELLING:
            return 2
        return int((case.network, case.batch_size, case.precision) != first)

    return sorted(cases, key=rank)


def group_of(
    groups: list[dict[str, Any]],
    device: str,
    versions: dict[str, str | None],
    settings: dict[str, int],
    today: str | None = None,
) -> dict[str, Any]:
    """Of `groups` the one of this device, day, versions and settings, added where there is none.

    Only what is in one group is compared.
    """
    date = today or datetime.datetime.now(datetime.UTC).date().isoformat()
    own = {"device": device, "date": date, "versions": versions, **settings}
    for group in groups:
        if {key: group[key] for key in own} == own:
            return group
    groups.append({**own, "cases": {}})
    return groups[-1]


def missing(planned: Sequence[Case], group: dict[str, Any], retry: bool = False) -> list[Case]:
    """The cases that are not in the group, in order; with `retry` those that failed too."""
    return [
        case for case in planned if case.key not in group["cases"] or (retry and "failed" in group["cases"][case.key])
    ]


def figures(case: Case, found: dict[str, Any], steps: int, device: str) -> dict[str, Any]:
    """What is kept of a case: of what its process found, with what that comes to per second."""
    step = statistics.median(found["seconds"]) / steps
    spread = [round(extreme(found["seconds"]) / steps / step, 3) for extreme in (min, max)]
    kept = {
        "images_per_second": round(case.batch_size / step),
        "step_milliseconds": round(1e3 * step, 3),
        "range_over_median": spread,
        "parameters": found["parameters"],
    }
    limits = next((own for name, own in LIMITS.items() if name in device), {})
    if "operations" in found:
        kept["gigaoperations_per_step"] = round(found["operations"] / 1e9, 4)
        kept["tflops"] = round(found["operations"] / step / 1e12, 3)
        if limits:
            kept["tflops_share"] = round(found["operations"] / step / 1e12 / limits[case.precision], 3)
    if "bytes" in found:
        kept["gigabytes_per_step"] = round(found["bytes"] / 1e9, 4)
        kept["gigabytes_per_second"] = round(found["bytes"] / step / 1e9, 1)
        if limits:
            kept["bytes_share"] = round(found["bytes"] / step / 1e12 / limits["bytes"], 3)
    return {**kept, **({"how": found["how"]} if "how" in found else {})}


def ratio(group: dict[str, Any], key: str, other: str) -> float | None:
    """Throughput of a case over that of the method `other` in the same setting; None where one is not known."""
    case = Case.of(key)
    cases = group["cases"]
    own = cases[key].get("images_per_second")
    base = cases.get(Case(case.network, case.batch_size, case.precision, other).key, {}).get("images_per_second")
    return round(own / base, 3) if own and base else None


def with_ratios(group: dict[str, Any]) -> dict[str, Any]:
    """The group, with the ratios to PyTorch and to Default in each case."""
    cases = {
        key: {**own, "over_torch": ratio(group, key, "torch"), "over_default": ratio(group, key, "default")}
        for key, own in group["cases"].items()
    }
    return {**group, "cases": cases}


def relative(group: dict[str, Any]) -> dict[str, Any]:
    """The group without what only a GPU's result may hold."""
    cases = with_ratios(group)["cases"]
    return {
        **group,
        "cases": {key: {k: v for k, v in own.items() if k not in ABSOLUTE} for key, own in cases.items()},
    }


def table(group: dict[str, Any]) -> str:
    """A line a case, with what share of the card's limits that is; a case that failed says why."""
    head = ["network", "batch", "precision", "method", "images/s", "over torch", "over default", "ms/step"]
    head += ["Gop/step", "TFLOP/s", "GB/step", "GB/s"]
    return text_table(head, [_line(key, own) for key, own in group["cases"].items()])


def _line(key: str, own: dict[str, Any]) -> list[str]:
    if "failed" in own:
        return [*key.split(), own["failed"], *[""] * 7]
    keys = ("images_per_second", "over_torch", "over_default", "step_milliseconds", "gigaoperations_per_step")
    with_shares = [
        _cell(own.get("tflops"), own.get("tflops_share")),
        _cell(own.get("gigabytes_per_step")),
        _cell(own.get("gigabytes_per_second"), own.get("bytes_share")),
    ]
    return [*key.split(), *(_cell(own.get(name)) for name in keys), *with_shares]


def _cell(value: float | None, share: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" + ("" if share is None else f" ({share:.0%})")
