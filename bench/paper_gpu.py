"""One column of the paper: CIFAR-10, DenseNet-25-12, 100 epochs, four methods; ours beside its best test error.

    DATATOOLS_REAL_DATA=… python bench/paper_gpu.py --work DIR [--noise symmetric] [--deterministic] [--minutes 8.5]

Batch 128, learning rate 0.1, noise 0.4, three seeds: first one of all four methods, then the others. SELFIE's restarts
make three runs of 100 epochs of it. Hours on a GPU and days on a CPU for each seed. With --minutes a call ends cleanly
before so long is over, counted from its start, with exit status 3; the same call goes on from there. On another machine
it needs DIR/runs and the archives: DIR/data is made again, to the same bytes. Two calls at a time would write one
result file: give each its --out.

The paper's figures (paper_best_test_error.csv) are read off its plots, ±0.3 points, and are means of three trials. Both
are the lowest test error of any epoch; ours is that of the first network and of the final run, "all runs" counts those
before a restart too, and "network 2" tells of Co-teaching's other one. The official code's test error is a mean of
batch means, in which the last 16 of the 10,000 images weigh 8 times what the others do; ours is the plain share.

The result file is written after every run, and says `complete` when none is missing. Seconds per epoch are those of
training alone, and there for a GPU only. --limit, --epochs and --network make a toy of it, whose result file is named
so.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
from four_methods import over_seeds, percent
from slices import (
    ERRORS,
    NoisyData,
    Plan,
    Slice,
    measured,
    metrics_rows,
    run_script,
    text_table,
    train_all,
    write_results,
)

METHODS = ("default", "active-bias", "co-teaching", "selfie")
PAPER = Path(__file__).with_name("paper_best_test_error.csv")
SEEDS = (0, 1, 2)
PAPER_SETTINGS = {"network": "densenet-25-12", "epochs": 100, "limit": None}


def main() -> None:
    arguments = parse()
    work, planned = arguments.work.resolve(), plans(arguments)
    out = arguments.out or machine.RESULTS / f"{result_name(arguments)}.json"
    paper = paper_errors(arguments.noise, arguments.rate)

    def found() -> dict[str, Any]:
        return figures(arguments, [run_figures(plan, work) for plan in planned], paper)

    def write() -> None:
        write_results(out, result_name(arguments), found())

    def go() -> bool:
        from trainer.reporters.console import Console

        own = Slice(arguments.minutes, Console(max(1, arguments.epochs // 10)))
        finished = train_all(planned, work, own, arguments.force, write)
        print(f"\n{title(arguments)}; best test error in %")
        print(table(found()["runs"]))
        print(f"\nmeans over seeds\n{means_table(found()['over_seeds'], paper)}")
        return finished

    run_script(go)


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--work", type=Path, required=True, metavar="DIR", help="datasets and runs; kept, and taken up again")
    add("--noise", choices=["pair", "symmetric"], default="pair", help="default pair")
    add("--rate", type=float, choices=[0.1, 0.2, 0.3, 0.4], default=0.4, help="share of wrong labels; default 0.4")
    add("--seeds", type=int, nargs="+", default=list(SEEDS), metavar="S", help="of noise and of training; 0 1 2")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD", help="default: all four")
    add("--engine", choices=["tensorflow", "jax"], default="jax", help="default jax")
    add("--precision", choices=["float32", "tf32", "bfloat16"], default="float32", help="default float32")
    add("--deterministic", action="store_true", help="the same bits each time on a GPU too, and after a stop")
    add("--device", default="auto", help="auto, cpu, gpu or gpu:N; default auto")
    add(
        "--variant",
        choices=["paper", "official", "official-2019"],
        default="paper",
        help="whose defaults; default paper",
    )
    add("--minutes", type=float, metavar="M", help="end cleanly before so many are over; default: go to the end")
    add("--force", action="store_true", help="go on with runs that other code or another device began")
    add("--limit", type=int, metavar="N", help="images of each split; default all")
    add("--network", default="densenet-25-12", help="default densenet-25-12")
    add("--epochs", type=int, default=100, metavar="E", help="of each run; default 100")
    add("--out", type=Path, metavar="FILE", help="default bench/results/paper_gpu-….json")
    return parser.parse_args(given)


def plans(arguments: argparse.Namespace) -> list[Plan]:
    """All runs, a seed's together, so that the first four already make the table."""
    keys = ("network", "epochs", "engine", "precision", "deterministic", "device", "variant")
    settings = {key: getattr(arguments, key) for key in keys}
    return [
        Plan(
            method,
            NoisyData("cifar10", arguments.limit, arguments.noise, arguments.rate, seed),
            {**settings, "seed": seed},
        )
        for seed in arguments.seeds
        for method in arguments.methods
    ]


def is_toy(arguments: argparse.Namespace) -> bool:
    """Whether the setting is another than the paper's, so that its figures cannot be compared."""
    return any(getattr(arguments, key) != value for key, value in PAPER_SETTINGS.items())


def result_name(arguments: argparse.Namespace) -> str:
    """paper_gpu[-toy]-<noise>-<rate>-<engine>, and what differs from the usual."""
    parts = ["paper_gpu", *["toy"] * is_toy(arguments), arguments.noise, f"{arguments.rate:g}", arguments.engine]
    parts += [arguments.precision] * (arguments.precision != "float32")
    parts += ["deterministic"] * arguments.deterministic
    parts += [arguments.variant] * (arguments.variant != "paper")
    if tuple(arguments.seeds) != SEEDS:
        parts.append("seeds" + "_".join(map(str, arguments.seeds)))
    return "-".join(parts)


def title(arguments: argparse.Namespace) -> str:
    images = "all" if arguments.limit is None else f"the first {arguments.limit:,}"
    text = f"CIFAR-10 ({images}), {arguments.noise} {arguments.rate:g}, {arguments.network}, {arguments.epochs} epochs"
    return text + (": a toy, not to be compared with the paper" if is_toy(arguments) else "")


def paper_errors(noise: str, rate: float) -> dict[str, float]:
    """The paper's best test error by method on CIFAR-10, a fraction."""
    with PAPER.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    column = f"rate_{round(100 * rate)}"
    own = [row for row in rows if (row["noise"], row["dataset"]) == (noise, "cifar10")]
    return {row["method"]: round(float(row[column]) / 100, 4) for row in own}


def run_figures(plan: Plan, work: Path) -> dict[str, Any]:
    """What a run has given so far, where it ran, and on a GPU what an epoch took there."""
    directory = plan.directory(work)
    found = measured(plan, work)
    if not (directory / "config.json").is_file():
        return found
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    found |= {"device": config["device"], "dataset_sha256": config["dataset"]["sha256"]}
    found["versions"] = {key: config["versions"][key] for key in ("keras", config["engine"])}
    rows = metrics_rows(directory)
    if rows and not found["device"].startswith("CPU"):
        found["seconds_per_epoch"] = round(statistics.median(float(row["seconds"]) for row in rows), 2)
        found["images_per_second"] = round(statistics.median(float(row["images_per_second"]) for row in rows))
    return found


def figures(arguments: argparse.Namespace, runs: list[dict[str, Any]], paper: dict[str, float]) -> dict[str, Any]:
    """What the result file holds; errors and shares as fractions."""
    keys = ["noise", "rate", "seeds", "methods", "engine", "precision", "deterministic", "variant", "limit"]
    keys += ["network", "epochs"]
    return {
        "complete": all(run["finished"] for run in runs),
        "the_papers_setting": not is_toy(arguments),
        "settings": {key: getattr(arguments, key) for key in keys},
        "over_seeds": over_seeds(runs),
        "runs": [{**run, "papers_best_test_error": paper[run["method"]]} for run in runs],
    }


def table(runs: list[dict[str, Any]]) -> str:
    """A line a run; errors in percent. "network 2": best / last / mean of the last 10 of the second network."""
    head = ["method", "seed", "ours", "paper", "difference", "last", "last 10", "all runs", "network 2"]
    return text_table([*head, "s/epoch", "images/s", "state"], [_line(run) for run in runs])


def _line(run: dict[str, Any]) -> list[str]:
    best = run.get("best_test_error", run.get("best_test_error_so_far"))
    paper = run["papers_best_test_error"]
    difference = "-" if best is None else f"{100 * (best - paper):+.1f}"
    times = [f"{run[key]:,}" if key in run else "-" for key in ("seconds_per_epoch", "images_per_second")]
    second = run.get("second_network", {})
    return [
        run["method"],
        str(run["seed"]),
        _percent(best),
        _percent(paper),
        difference,
        *(_percent(run.get(key)) for key in ("last_test_error", "mean_last10_test_error", "best_test_error_all_runs")),
        " / ".join(_percent(second[key]) for key in (*ERRORS, "best_test_error_so_far") if key in second) or "-",
        *times,
        "finished" if run["finished"] else f"{run['epochs_done']} epochs done",
    ]


def means_table(methods: dict[str, dict[str, Any]], paper: dict[str, float]) -> str:
    """A line a method: mean ± standard deviation over its finished runs, in percent."""
    keys = ("best_test_error", "best_test_error_all_runs", "last_test_error")
    rows = [
        [
            method,
            str(own["seeds"]),
            percent(own[keys[0]]),
            _percent(paper[method]),
            *(percent(own[k]) for k in keys[1:]),
        ]
        for method, own in methods.items()
    ]
    return text_table(["method", "seeds", "ours", "paper", "all runs", "last"], rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


if __name__ == "__main__":
    main()
