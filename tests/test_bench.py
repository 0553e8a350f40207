"""The bench scripts that take hours: their arguments, figures and slices, on made-up runs; two toys are trained."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.reported import epoch_row, run_plan
from trainer.errors import TrainerError
from trainer.methods import METHODS as ALL_METHODS
from trainer.metrics import EpochRow
from trainer.reporters.base import RunPlan
from trainer.training.signals import stop_on_signals
from trainer.training.stopping import RunStoppedError

BENCH = Path(__file__).parents[1] / "bench"
METHODS = ("default", "active-bias", "co-teaching", "selfie")
"""Those of SELFIE's comparison, which the scripts are about."""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a script of bench/ as Python does when it is run: with its folder on the path."""
    monkeypatch.syspath_prepend(BENCH)
    import importlib

    return importlib.import_module


class Silent:
    """A Reporter that counts the epochs it is told of."""

    epochs = 0

    def start(self, plan: RunPlan) -> None: ...

    def steps(self, done: int, total: int) -> None: ...

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self.epochs += 1

    def note(self, text: str) -> None: ...

    def finish(self, directory: Path, result: dict[str, Any]) -> None: ...


def write_run(directory: Path, errors: Sequence[float], finished: bool = True, device: str = "GPU, X1") -> None:
    """A run directory with the test error of each epoch; label precision is known in every one."""
    directory.mkdir(parents=True)
    lines = ["run,epoch,test_error,label_precision,label_recall,seconds,images_per_second"]
    lines += [f"1,{epoch},{error},0.75,0.5,{epoch}.0,1000.4" for epoch, error in enumerate(errors, 1)]
    (directory / "metrics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "device": device,
        "engine": "jax",
        "dataset": {"sha256": "ab" * 32},
        "versions": {"keras": "3.0", "jax": "0.9", "tensorflow": None},
    }
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if finished:
        keys = ("best_test_error", "best_test_error_all_runs", "last_test_error", "mean_last10_test_error")
        values = (min(errors), min(errors) - 0.01, errors[-1], sum(errors) / len(errors))
        (directory / "result.json").write_text(json.dumps(dict(zip(keys, values, strict=True))), encoding="utf-8")


def test_scripts_compare_the_same_methods(bench: Callable[[str], Any]) -> None:
    for script in ("four_methods", "paper_gpu"):
        assert list(METHODS) == list(bench(script).METHODS)
    assert set(bench("method_costs").AT_MOST) == set(ALL_METHODS) - {"default"}


@pytest.mark.parametrize("script", ["four_methods", "gpu_step", "method_costs", "paper_gpu"])
def test_help_says_what_is_claimed(script: str) -> None:
    done = subprocess.run([sys.executable, BENCH / f"{script}.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"bench/{script}.py" in done.stdout


def test_four_methods_plans_every_run_once_seed_by_seed(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script = bench("four_methods")
    planned = script.plans(script.parse(["--data", "mnist", "--work", str(tmp_path)]))
    assert len(planned) == 4 * 2 * 3
    assert [plan.settings["seed"] for plan in planned] == [0] * 8 + [1] * 8 + [2] * 8
    assert len({plan.directory(tmp_path) for plan in planned}) == 24
    first = planned[0].directory(tmp_path).relative_to(tmp_path)
    assert first == Path("runs/mnist-first4000-pair-0.4-seed0/default-small-cnn-30epochs-seed0")
    assert [planned[n].data.noise for n in (0, 4)] == ["pair", "symmetric"]


def test_another_setting_is_another_run_directory(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script = bench("paper_gpu")
    others = [
        "",
        "--epochs 3",
        "--network small-cnn",
        "--limit 9",
        "--engine tensorflow",
        "--precision bfloat16",
        "--seeds 1",
    ]
    others += ["--variant official", "--noise symmetric", "--rate 0.2", "--deterministic", "--precision tf32"]
    given = [script.parse(["--work", "w", *other.split()]) for other in others]
    assert len({script.plans(arguments)[0].directory(tmp_path) for arguments in given}) == len(others)


@pytest.mark.parametrize("wrong", [["--rate", "0.5"], ["--noise", "instance"], ["--methods", "mixup"], ["--minutes"]])
def test_paper_gpu_refuses_what_the_paper_has_not(bench: Callable[[str], Any], wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        bench("paper_gpu").parse(["--work", "w", *wrong])
    assert stop.value.code == 2


def test_the_papers_figures_are_found_by_noise_and_rate(bench: Callable[[str], Any]) -> None:
    errors = bench("paper_gpu").paper_errors
    assert errors("pair", 0.4) == {"default": 0.184, "active-bias": 0.176, "co-teaching": 0.152, "selfie": 0.133}
    assert errors("symmetric", 0.3)["selfie"] == 0.12


def test_a_toy_is_named_so(bench: Callable[[str], Any]) -> None:
    script = bench("paper_gpu")
    named = {
        "": "paper_gpu-pair-0.4-jax",
        "--seeds 0 1 2": "paper_gpu-pair-0.4-jax",
        "--seeds 3 4": "paper_gpu-pair-0.4-jax-seeds3_4",
        "--noise symmetric --engine tensorflow --precision tf32": "paper_gpu-symmetric-0.4-tensorflow-tf32",
        "--deterministic": "paper_gpu-pair-0.4-jax-deterministic",
        "--epochs 3 --variant official": "paper_gpu-toy-pair-0.4-jax-official",
        "--limit 300": "paper_gpu-toy-pair-0.4-jax",
    }
    for given, name in named.items():
        arguments = script.parse(["--work", "w", *given.split()])
        assert script.result_name(arguments) == name
        assert ("toy" in script.title(arguments)) == ("toy" in name)


def test_paper_gpu_makes_one_seed_of_all_methods_first(bench: Callable[[str], Any]) -> None:
    from trainer.config import PRECISIONS
    from trainer.settings import VARIANTS

    script = bench("paper_gpu")
    planned = script.plans(script.parse(["--work", "w"]))
    assert [plan.method for plan in planned] == list(METHODS) * 3
    assert [plan.settings["seed"] for plan in planned] == [0] * 4 + [1] * 4 + [2] * 4
    assert {plan.settings["engine"] for plan in planned} == {"jax"}
    assert not planned[0].settings["deterministic"]
    assert script.plans(script.parse(["--work", "w", "--deterministic"]))[0].settings["deterministic"]
    for option, names in (("precision", PRECISIONS), ("variant", VARIANTS)):
        for name in names:
            assert getattr(script.parse(["--work", "w", f"--{option}", name]), option) == name


def test_paper_gpu_prints_ours_beside_the_papers(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script = bench("paper_gpu")
    arguments = script.parse(["--work", str(tmp_path), "--seeds", "0", "--methods", "default", "co-teaching", "selfie"])
    planned = script.plans(arguments)
    write_run(planned[0].directory(tmp_path), [0.3, 0.2, 0.25])
    write_run(planned[1].directory(tmp_path), [0.4, 0.5], finished=False, device="CPU, 2 cores")
    runs = [script.run_figures(plan, tmp_path) for plan in planned]
    paper = script.paper_errors("pair", 0.4)
    found = script.figures(arguments, runs, paper)
    assert json.loads(json.dumps(found)) == found
    assert (found["complete"], found["the_papers_setting"]) == (False, True)
    finished, under_way, not_begun = found["runs"]
    assert finished["best_test_error"] == 0.2
    assert finished["papers_best_test_error"] == 0.184
    assert (finished["seconds_per_epoch"], finished["images_per_second"]) == (2.0, 1000)
    assert finished["versions"] == {"keras": "3.0", "jax": "0.9"}
    assert (under_way["epochs_done"], under_way["best_test_error_so_far"]) == (2, 0.4)
    assert not {"seconds_per_epoch", "images_per_second"} & set(under_way), "absolute times are for a GPU alone"
    assert (not_begun["epochs_done"], not_begun["best_test_error_so_far"]) == (0, None)
    lines = [line.split() for line in script.table(found["runs"]).splitlines()]
    assert lines[0][:5] == ["method", "seed", "ours", "paper", "difference"]
    assert lines[1] == ["default", "0", "20.0", "18.4", "+1.6", "25.0", "25.0", "19.0", "-", "2.0", "1,000", "finished"]
    assert lines[2] == ["co-teaching", "0", "40.0", "15.2", "+24.8", *["-"] * 6, "2", "epochs", "done"]
    assert lines[3][2:5] == ["-", "13.3", "-"]
    means = script.means_table(found["over_seeds"], paper).splitlines()
    assert [line.split() for line in means[1:]] == [["default", "1", "20.0", "18.4", "19.0", "25.0"]]


def test_paper_gpu_tells_of_both_networks_and_of_all_runs(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script = bench("paper_gpu")
    planned = script.plans(script.parse(["--work", str(tmp_path), "--methods", "co-teaching", "selfie"]))
    second = {"best_test_error": 0.15, "last_test_error": 0.25, "mean_last10_test_error": 0.2}
    restarts = [{**second, "last_test_balanced_error": 0.3}, second]
    for plan, more in zip(planned, ({"second_network": second, "runs": [second]}, {"runs": restarts}), strict=False):
        write_run(plan.directory(tmp_path), [0.2, 0.3])
        path = plan.directory(tmp_path) / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more), encoding="utf-8")
    co_teaching, selfie = (script.run_figures(plan, tmp_path) for plan in planned[:2])
    assert co_teaching["second_network"] == second
    assert "runs" not in co_teaching, "one run alone"
    assert selfie["runs"] == [second, second]
    assert (selfie["best_test_error"], selfie["best_test_error_all_runs"]) == (0.2, 0.19)
    paper = script.paper_errors("pair", 0.4)
    runs = [{**run, "papers_best_test_error": paper[run["method"]]} for run in (co_teaching, selfie)]
    lines = script.table(runs).splitlines()
    assert "15.0 / 25.0 / 20.0" in lines[1]
    assert lines[2].split()[:9] == ["selfie", "0", "20.0", "13.3", "+6.7", "30.0", "25.0", "19.0", "-"]


def test_four_methods_averages_finished_runs_over_seeds(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script, slices = bench("four_methods"), bench("slices")
    given = ["--data", "mnist", "--work", str(tmp_path), "--methods", "default", "selfie", "--noise", "pair"]
    arguments = script.parse(given)
    planned = script.plans(arguments)
    for plan, best in zip(planned[:5], [0.2, 0.1, 0.4, 0.2, 0.3], strict=True):
        write_run(plan.directory(tmp_path), [0.5, best], finished=best != 0.3)
    found = script.figures(arguments, [slices.measured(plan, tmp_path) for plan in planned])
    assert json.loads(json.dumps(found)) == found
    assert (found["complete"], found["runs_finished"], found["runs_planned"]) == (False, 4, 6)
    own = found["over_seeds"]["pair 0.4"]
    assert own["default"]["seeds"] == 2, "the third one is not finished"
    assert own["default"]["best_test_error"] == {"mean": 0.3, "std": 0.1414}
    assert own["selfie"]["label_precision"] == {"mean": 0.75, "std": 0.0}
    assert "refurbishment_accuracy" not in own["selfie"], "metrics.csv has none"
    head, *lines = [re.split(" {2,}", line.strip()) for line in script.table(own).splitlines()]
    assert head[:5] == ["method", "seeds", "best", "best of all runs", "last"]
    assert lines[0][:3] == ["default", "2", "30.0 ± 14.1"]
    assert lines[0][-1] == "-"


def test_one_seed_has_no_deviation(bench: Callable[[str], Any]) -> None:
    assert bench("four_methods").percent({"mean": 0.123, "std": None}) == "12.3"


def test_cpu_slice_ends_a_run_between_steps(bench: Callable[[str], Any]) -> None:
    own = bench("slices").Slice(0.0, Silent())
    assert own.has_room(), "the first run of a call always begins, or no call would get any further"
    own.start(run_plan())
    with stop_on_signals() as stop:
        own.epoch(epoch_row(1), 10.0)
        assert not own.over, "an epoch that is over is left alone: it is saved, and evaluated"
        own.steps(1, 10)
        assert stop.signal == "SIGTERM"
    assert own.over
    assert not own.has_room()


@pytest.fixture
def gpu_call(bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, int]]:
    """A call of 8.5 minutes on a made-up clock, in which one run trains on a GPU.

    It begins 10 s after the call, as long as loading takes. Given: seconds to compile, of its first epoch and of each
    later one, and of its epochs in earlier calls. Gives the slice, and the epochs made before it ended the run.
    """
    slices = bench("slices")
    now = 0.0
    monkeypatch.setattr(slices.time, "monotonic", lambda: now)

    def call(compile_seconds: float, first: float, later: float, earlier: Sequence[float] = ()) -> tuple[Any, int]:
        nonlocal now
        now = 0.0
        own = slices.Slice(8.5, Silent(), started=0.0)
        assert own.has_room()
        now += 10 + compile_seconds
        rows = tuple(replace(epoch_row(1), seconds=seconds) for seconds in earlier)
        own.start(run_plan(on_cpu=False, rows=rows, compile_seconds=compile_seconds))
        with suppress(RunStoppedError):
            for number in range(1000):
                now += later if number else first
                own.epoch(epoch_row(1), 1e4)
        assert own.over
        return own, own.shown.epochs

    return call


@pytest.mark.parametrize(
    ("compile_seconds", "first", "later", "epochs"),
    [
        (60.0, 30.0, 30.0, 14),  # at 460 s 50 s are left, and 1.2 x 30 + 5 = 41 are wanted; after that 20 are left
        (0.0, 30.0, 30.0, 16),  # the program was kept
        (60.0, 70.0, 20.0, 19),  # the first epoch chooses algorithms, which says nothing of the next one
        (60.0, 400.0, 4.0, 9),  # and still nothing where it took nearly all of the call
    ],
)
def test_gpu_slice_ends_a_run_when_the_next_epoch_would_not_fit(
    gpu_call: Callable[..., tuple[Any, int]], compile_seconds: float, first: float, later: float, epochs: int
) -> None:
    own, made = gpu_call(compile_seconds, first, later)
    assert made == epochs
    assert own.left >= 0
    assert own.left < 1.2 * later + 5
    assert not own.has_room(), "another run would have to compile, and to train an epoch"


def test_gpu_slice_ends_late_once_where_an_epoch_takes_more_than_half_of_it(
    gpu_call: Callable[..., tuple[Any, int]],
) -> None:
    own, made = gpu_call(60.0, 300.0, 300.0)
    assert made == 2, "one epoch says nothing of the next one, so another is begun"
    assert own.left < 0
    own, made = gpu_call(60.0, 300.0, 300.0, earlier=[300.0, 300.0])
    assert made == 1, "earlier calls have told what an epoch takes"
    assert own.left > 0


def test_gpu_slice_takes_of_earlier_calls_the_shortest_epoch(gpu_call: Callable[..., tuple[Any, int]]) -> None:
    # of three earlier calls with a first epoch of 350 s each, one had time for another one
    assert gpu_call(60.0, 350.0, 20.0, earlier=[350.0, 20.0, 350.0, 350.0])[1] == 5
    # an earlier call was on a slower device
    assert gpu_call(60.0, 30.0, 30.0, earlier=[900.0] * 5)[1] == 14


def test_gpu_slice_has_room_for_another_run_that_compiles_twice_as_long(
    bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = bench("slices")
    now = 0.0
    monkeypatch.setattr(slices.time, "monotonic", lambda: now)
    own = slices.Slice(8.5, Silent(), started=0.0)
    assert own.has_room()
    now = 70.0
    own.start(run_plan(on_cpu=False, compile_seconds=60.0))
    now = 100.0
    own.epoch(epoch_row(1), 0.0)
    now = 510.0 - 191
    assert own.has_room(), "10 s to load, and twice 60 s to compile and 30 s of an epoch"
    now = 510.0 - 189
    assert not own.has_room()


def test_gpu_slice_lets_a_run_finish_after_its_last_epoch(bench: Callable[[str], Any]) -> None:
    own = bench("slices").Slice(0.0, Silent())
    own.start(run_plan(on_cpu=False))
    own.epoch(epoch_row(1), 0.0)
    assert not own.over


class FakePlan:
    """A plan whose training does `act`."""

    def __init__(self, act: Callable[[Any], None]) -> None:
        self.act, self.done = act, False

    def finished(self, work: Path) -> bool:
        return self.done

    def train(self, work: Path, reporter: Any, force: bool) -> None:
        self.act(reporter)
        self.done = True


def test_runs_are_made_in_order_until_the_slice_is_over(bench: Callable[[str], Any], tmp_path: Path) -> None:
    slices = bench("slices")
    own, written = slices.Slice(None, Silent()), []

    def over(reporter: Any) -> None:
        reporter.over = True
        raise RunStoppedError("over")

    planned = [FakePlan(lambda reporter: None), FakePlan(over), FakePlan(lambda reporter: None)]
    assert not slices.train_all(planned, tmp_path, own, False, lambda: written.append([p.done for p in planned]))
    assert [plan.done for plan in planned] == [True, False, False]
    assert written[0] == [True, False, False]
    planned[1].act = lambda reporter: None
    assert slices.train_all(planned, tmp_path, slices.Slice(None, Silent()), False, lambda: None)


def test_a_signal_from_elsewhere_is_an_error(bench: Callable[[str], Any], tmp_path: Path) -> None:
    slices = bench("slices")

    def stopped(reporter: Any) -> None:
        raise RunStoppedError("runs/x: stopped by SIGTERM")

    with pytest.raises(RunStoppedError):
        slices.train_all([FakePlan(stopped)], tmp_path, slices.Slice(None, Silent()), False, lambda: None)


def test_exit_status_tells_whether_to_call_again(
    bench: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    slices = bench("slices")
    slices.run_script(lambda: True)
    with pytest.raises(SystemExit) as stop:
        slices.run_script(lambda: False)
    assert stop.value.code == 3
    assert "the same command goes on" in capsys.readouterr().out

    def fails() -> bool:
        raise TrainerError("runs/x: broken")

    with pytest.raises(SystemExit) as stop:
        slices.run_script(fails)
    assert stop.value.code == "error: runs/x: broken"


def test_results_are_written_whole(bench: Callable[[str], Any], tmp_path: Path) -> None:
    path = tmp_path / "results" / "x.json"
    bench("slices").write_results(path, "x", {"complete": True})
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["bench"], found["complete"]) == ("x", True)
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]


def test_method_costs_tells_whether_each_claim_holds(bench: Callable[[str], Any]) -> None:
    script = bench("method_costs")
    ratios = {name: [1.0, 1.02, 9.0] for name in script.AT_MOST}
    ratios |= {"gce": [1.05, 1.2, 1.3], "jocor": [2.0, 2.1, 2.5]}
    found = script.claims({**ratios, "fit": [0.9, 0.8, 0.96]})
    assert found["over_default"]["selfie"] == {"ratio": 1.02, "at_most": 1.1, "holds": True, "range": [1.0, 9.0]}
    assert not found["over_default"]["gce"]["holds"]
    assert found["over_default"]["jocor"] == {"ratio": 2.1, "at_most": 2.2, "holds": True, "range": [2.0, 2.5]}
    assert found["default_throughput_over_fit"] == {
        "ratio": 0.9,
        "at_least": 0.95,
        "holds": False,
        "range": [0.8, 0.96],
    }
    assert "default_throughput_over_fit" not in script.claims(ratios)


def test_method_costs_has_an_epoch_of_default_beside_each(bench: Callable[[str], Any]) -> None:
    trained: list[str] = []

    def epoch(name: str, seconds: float) -> Callable[[], float]:
        def train() -> float:
            trained.append(name)
            return seconds

        return train

    ratios = bench("method_costs").in_pairs({"default": epoch("d", 2.0), "a": epoch("a", 3.0), "b": epoch("b", 4.0)}, 2)
    assert ratios == {"a": [1.5] * 2, "b": [2.0] * 2}
    assert "".join(trained) == "adbd" + "dadb" + "adbd"


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


@pytest.fixture
def without_tensorflow(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python, and of all that it starts, in which TensorFlow is not installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = None\n", encoding="utf-8")
    path = [str(folder), str(BENCH.parent), str(BENCH), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def test_gpu_step_makes_a_toy_without_tensorflow(without_tensorflow: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("jax")
    out = tmp_path / "toy.json"
    given = ["--toy", "--networks", "small-cnn", "--methods", "selfie", "--batch-sizes", "8", "--out", str(out)]
    given += ["--precisions", "float32", "--steps", "2", "--epochs", "1", "--image-size", "8"]
    command = [sys.executable, str(BENCH / "gpu_step.py"), *given]
    done = subprocess.run(command, capture_output=True, text=True, env=without_tensorflow)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    case = found["measured"][0]["cases"]["small-cnn 8 float32 selfie"]
    assert "failed" not in case, case
    assert case["gigaoperations_per_step"] > 0
    assert case["gigabytes_per_step"] > 0
    assert not {"images_per_second", "step_milliseconds"} & set(case), "absolute times are for a GPU alone"
    assert (found["complete"], found["bench"]) == (True, "gpu_step-toy-jax")


def test_paper_gpu_trains_without_tensorflow(without_tensorflow: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("jax")
    script = """
import sys
from pathlib import Path
import paper_gpu
from slices import Slice
from datatools import convert, corrupt
from trainer.config import resolve
from trainer.reporters.console import Console
from trainer.training.loop import train

folder = Path(sys.argv[1])
clean = convert("digits", out=folder / "clean", limit=64).dataset
noisy = corrupt(clean, noise="pair", rate=0.4, seed=0, out=folder / "noisy").dataset
config = resolve("default", noisy, network="small-cnn", epochs=1, batch_size=32, engine="jax", device="cpu")
train(config, noisy, folder / "run", Slice(None, Console(1)))
assert sys.modules["tensorflow"] is None
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=without_tensorflow)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").is_file()
