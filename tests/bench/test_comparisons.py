"""The scripts that compare methods: their plans and figures, on made-up runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench_scripts import BENCH, METHODS, write_run
from trainer.methods import METHODS as ALL_METHODS


def test_scripts_compare_the_same_methods(bench: Callable[[str], Any]) -> None:
    for script in ("four_methods", "paper_gpu"):
        assert list(METHODS) == list(bench(script).METHODS)
    assert set(bench("method_costs").AT_MOST) == set(ALL_METHODS) - {"default"}


@pytest.mark.parametrize("script", ["four_methods", "gpu_step", "method_costs", "methods", "paper_gpu"])
def test_help_says_what_is_claimed(script: str) -> None:
    done = subprocess.run([sys.executable, BENCH / f"{script}.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"bench/{script}.py" in done.stdout


def test_four_methods_plans_every_run_once_seed_by_seed(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script = bench("four_methods")
    planned = script.comparison_plans(script.parse(["--data", "mnist", "--work", str(tmp_path)]))
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
    planned = script.comparison_plans(arguments)
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


def test_methods_plans_all_of_the_registry_under_one_recipe(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script = bench("methods")
    planned = script.comparison_plans(script.parse(["--work", str(tmp_path)]))
    assert [plan.method for plan in planned] == [*ALL_METHODS] * 6
    assert len({plan.directory(tmp_path) for plan in planned}) == 6 * len(ALL_METHODS)
    recipes = [{key: value for key, value in plan.settings.items() if key != "seed"} for plan in planned]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert planned[0].data.clean_name == "mnist-first4000"


def test_methods_names_what_does_not_end_below_default(bench: Callable[[str], Any], tmp_path: Path) -> None:
    script, slices = bench("methods"), bench("slices")
    arguments = script.parse(["--work", str(tmp_path), "--methods", "default", "gce", "selfie", "--noise", "pair"])
    planned = script.comparison_plans(arguments)
    last = [0.4, 0.3, 0.4, 0.5, 0.2, 0.6, 0.6, 0.1]
    for plan, error in zip(planned, last, strict=False):
        write_run(plan.directory(tmp_path), [0.5, error])
    found = script.figures(arguments, [slices.measured(plan, tmp_path) for plan in planned])
    assert json.loads(json.dumps(found)) == found
    assert (found["complete"], found["runs_finished"]) == (False, 8)
    assert found["not_below_default"] == {"pair 0.4": ["selfie"]}
    rows = found["over_seeds"]["pair 0.4"]
    assert [rows[method]["told"] for method in rows] == ["nothing", "nothing", "noise rate"]
    assert rows["default"]["last_test_error"] == {"mean": 0.5, "half_width": 0.2484}
    assert rows["gce"]["over_default"]["mean"] == -0.3
    assert rows["selfie"]["over_default"] == {"mean": 0.05, "half_width": 0.6353}
    head, *lines = [re.split(" {2,}", line.strip()) for line in script.table(rows).splitlines()]
    assert head[:3] == ["method", "told", "last"]
    assert [line[0] for line in lines] == ["gce", "default", "selfie"], "ranked by the last error"
    assert lines[1][2] == "50.0 ± 24.8"
    assert lines[1][5] == "-"
