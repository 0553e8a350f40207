"""The steps that are measured on a GPU, with made-up seconds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench_scripts import METHODS


def made_up_call(seconds: dict[str, float], made: list[str], device: str = "GPU, NVIDIA H200") -> Callable[..., Any]:
    """What `gpu_step.call` would give: a case takes as many seconds a step as its method is given, else it fails."""

    def call(arguments: list[str], left: float) -> dict[str, Any]:
        if arguments[1] == "device":
            return {"device": device}
        told = json.loads(arguments[1])
        method = "torch" if arguments[0] == "step_of_torch.py" else told["method"]
        method += "-graphs" * ("graphs" in told) + "-2-passes" * ("settings" in told)
        made.append(f"{told['network']} {told['batch_size']} {told['precision']} {method}")
        if method not in seconds:
            raise sys.modules["gpu_step"].CaseError("out of memory")
        step = seconds[method] * told["steps"]
        found = {"device": device, "parameters": 362_242, "seconds": [step, 0.5 * step, 4 * step, step]}
        if method == "torch":
            return {**found, "how": "torch.compile, mode default", "operations": 2e12}
        return {**found, "operations": 2e12, "bytes": 1e10}

    return call


def test_gpu_step_measures_the_most_telling_cases_first(bench: Callable[[str], Any]) -> None:
    script = bench("gpu_step")
    arguments = script.parse([])
    given = (arguments.networks, arguments.batch_sizes, arguments.precisions, arguments.methods)
    planned = bench("gpu_step_figures").plan(*given)
    keys = [case.key for case in planned]
    first = "densenet-25-12 128 float32"
    assert keys[:3] == [f"{first} default", f"{first} selfie", f"{first} torch"]
    assert {case.method for case in planned[:36]} == {"default", "selfie", "torch"}, "these of every setting"
    assert len(keys) == len(set(keys)) == 2 * 2 * (3 * 7 + 1)
    assert [key for key in keys if "deterministic" in key and "float32" not in key] == []
    assert {case.method for case in planned} == set(script.METHODS)
    methods = {told["method"] for told in script.METHODS.values() if "method" in told}
    assert methods == set(METHODS)


def test_gpu_step_goes_on_with_what_is_missing(
    bench: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = bench("gpu_step")
    out = tmp_path / "gpu_step.json"
    given = ["--networks", "densenet-25-12", "--batch-sizes", "128", "--precisions", "float32", "--out", str(out)]
    given += ["--methods", "default", "selfie", "torch"]
    made: list[str] = []
    call = made_up_call({"default": 0.01, "torch": 0.008}, made)
    assert script.measure_all(script.parse([*given[:-2]]), call), "a case that failed is not missing"
    assert script.measure_all(script.parse(given), call)
    assert [key.split()[-1] for key in made] == ["default", "selfie", "torch"], "each once"
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["complete"]
    (group,) = found["measured"]
    default = group["cases"]["densenet-25-12 128 float32 default"]
    assert (default["images_per_second"], default["step_milliseconds"]) == (12_800, 10.0)
    assert (default["over_torch"], default["over_default"]) == (0.8, 1.0)
    assert group["cases"]["densenet-25-12 128 float32 selfie"]["failed"] == "out of memory"
    assert script.measure_all(script.parse([*given, "--retry"]), made_up_call({"selfie": 0.02}, made))
    group = json.loads(out.read_text(encoding="utf-8"))["measured"][0]
    assert group["cases"]["densenet-25-12 128 float32 selfie"]["over_default"] == 0.5
    assert len(made) == 4


def test_gpu_step_keeps_devices_and_days_apart(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script, own = bench("gpu_step"), bench("gpu_step_figures")
    given = ["--networks", "vgg-19", "--batch-sizes", "8", "--precisions", "tf32", "--out", str(tmp_path / "r.json")]
    for device in ("GPU, NVIDIA H200", "GPU, NVIDIA H100 80GB HBM3"):
        made: list[str] = []
        call = made_up_call({"default": 0.01, "torch": 0.01}, made, device)
        assert script.measure_all(script.parse([*given, "--methods", "default"]), call)
        assert len(made) == 1
    groups = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["measured"]
    assert [group["device"] for group in groups] == ["GPU, NVIDIA H200", "GPU, NVIDIA H100 80GB HBM3"]
    settings = {"steps": groups[0]["steps"], "epochs": groups[0]["epochs"]}
    same = own.group_of(groups, "GPU, NVIDIA H200", script.versions(), settings, groups[0]["date"])
    assert same is groups[0]
    assert own.group_of(groups, "GPU, NVIDIA H200", script.versions(), settings, "2001-01-01")["cases"] == {}
    assert own.group_of(groups, "GPU, NVIDIA H200", script.versions(), {**settings, "steps": 1})["cases"] == {}


def test_gpu_step_ends_cleanly_when_its_time_is_over(
    bench: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = bench("gpu_step")
    out = tmp_path / "r.json"
    arguments = script.parse(["--minutes", "5", "--methods", "default", "--out", str(out)])
    now = script.STARTED
    monkeypatch.setattr(script.time, "monotonic", lambda: now)
    made: list[str] = []
    quick = made_up_call({"default": 0.01}, made)

    def call(told: list[str], left: float) -> dict[str, Any]:
        nonlocal now
        now += 120 * (told[1] != "device")
        if len(made) == 2:
            raise subprocess.TimeoutExpired("x", left)
        return quick(told, left)

    assert not script.measure_all(arguments, call)
    assert len(made) == 2, "after 4 minutes of 5 a third case of 2 minutes has no room"
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["complete"], len(found["measured"][0]["cases"])) == (False, 2)


def test_gpu_step_shows_the_distance_to_the_cards_limits(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script, own = bench("gpu_step"), bench("gpu_step_figures")
    case = own.Case("densenet-25-12", 128, "bfloat16", "default")
    found = {"seconds": [0.5, 0.4, 0.6], "parameters": 7, "operations": 1e12, "bytes": 1e10}
    kept = own.figures(case, found, 50, "GPU, NVIDIA H100 80GB HBM3")
    assert (kept["images_per_second"], kept["range_over_median"]) == (12_800, [0.8, 1.2])
    assert (kept["tflops"], kept["tflops_share"]) == (100.0, 0.101)
    assert (kept["gigabytes_per_second"], kept["bytes_share"]) == (1000.0, 0.299)
    assert "tflops_share" not in own.figures(case, found, 50, "GPU, unknown")
    group = {"cases": {case.key: kept, "vgg-19 8 tf32 torch": {"failed": "no module"}}}
    lines = [re.split(" {2,}", line) for line in own.table(own.with_ratios(group)).splitlines()]
    assert lines[1][4:] == ["12,800", "-", "1.0", "10.0", "1,000.0", "100.0 (10%)", "10.0", "1,000.0 (30%)"]
    assert lines[2][:5] == ["vgg-19", "8", "tf32", "torch", "no module"]
    assert own.Case.of(case.key) == case
    assert not set(own.ABSOLUTE) & set(own.relative(group)["cases"][case.key])
    assert own.relative(group)["cases"][case.key]["over_default"] == 1.0
    assert set(script.PRECISIONS) | {"bytes"} == set(own.LIMITS["H200"])


def test_gpu_step_makes_no_result_of_a_cpu(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script = bench("gpu_step")
    call = made_up_call({"default": 0.01}, [], "CPU, 2 cores")
    with pytest.raises(SystemExit, match="no GPU here"):
        script.measure_all(script.parse(["--out", str(tmp_path / "r.json")]), call)
    assert list(tmp_path.iterdir()) == []
    assert script.result_name(script.parse(["--toy"])) == "gpu_step-toy-jax"
    for wrong in (["--toy", "--out", "gpu_step.json"], ["--image-size", "8"], ["--precisions", "float16"]):
        with pytest.raises(SystemExit) as stop:
            script.parse(wrong)
        assert stop.value.code == 2


def test_program_bytes_counts_what_kernels_read_and_write(bench: Callable[[str], Any]) -> None:
    text = """HloModule jit_step
%fused (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %n = f32[4]{0} negate(%p)
}
%inner (q: f32[4]) -> f32[4] {
  %q = f32[4]{0} parameter(0)
  ROOT %f = f32[4]{0} fusion(%q), kind=kLoop, calls=%fused
}
ENTRY %main (a: f32[4], b: bf16[2,3]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  %b = bf16[2,3]{1,0} parameter(1), metadata={op_name="x(y)"}
  %c = (f32[8]{0}, u8[1000]{0}) custom-call(%a, %b), custom_call_target="conv", metadata={op_name="%b"}
  %d = f32[8]{0} get-tuple-element(%c), index=0
  %e = pred[] compare(%d, %d), direction=LT
  ROOT %g = f32[4]{0} call(%a), to_apply=%inner
}
"""
    custom_call, compare, fusion = 16 + 12 + 32, 32 + 32 + 1, 16 + 16
    assert bench("program_bytes").program_bytes(text) == custom_call + compare + fusion


def test_torch_networks_have_the_registrys_parameters(bench: Callable[[str], Any]) -> None:
    pytest.importorskip("torch")
    from trainer.networks import NETWORKS

    for name, spec in NETWORKS.items():
        bench("torch_networks").check_parameters(name, spec.parameters)
    with pytest.raises(SystemExit, match="362,242 parameters in PyTorch, 1 in the registry"):
        bench("torch_networks").check_parameters("densenet-25-12", 1)
