"""Claim: which differences between SELFIE as printed and as its official code runs it move the error, over three seeds.

    DATATOOLS_REAL_DATA=… python bench/selfie_differences.py --work DIR [--minutes 30] [--seeds 0]

The first 2,560 images of each of CIFAR-10's splits, pair noise 0.4, DenseNet-10-12, 30 epochs, warm-up 8, history 8,
one restart. Each case is `--variant paper` with one thing as in the official code's head (a history of zeros with
independent mini-batches, since a permutation has filled it by the end of the warm-up); then all of them together, and
Default. "narrow initial values" are those that this package took until 0.1: transitions' 1x1 kernels of a third of the
official standard deviation, dense layers by Glorot. Two hours on two cores. With --minutes a call ends cleanly after so
long, with exit status 3, and the same call goes on from there. The result file is written after every run, and says
`complete` when none is missing. --table FILE… prints the means of one or more result files, and trains nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
from slices import NoisyData, Plan, Slice, measured, run_script, text_table, train_all, write_results

EPOCHS, WARM_UP, RESTARTS = 30, 8, 1
NARROW = "narrow initial values"
SELFIE = {"warm_up": WARM_UP, "history_length": WARM_UP, "restarts": RESTARTS}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "SELFIE": ("selfie", {}, {}),
    f"SELFIE, {NARROW}": ("selfie", {}, {}),
    "SELFIE, two passes": ("selfie", {}, {"passes": 2}),
    "SELFIE, accumulator momentum": ("selfie", {"momentum_form": "accumulator"}, {}),
    "SELFIE, independent mini-batches": ("selfie", {"sampling": "independent"}, {}),
    "SELFIE, independent mini-batches, history of zeros": (
        "selfie",
        {"sampling": "independent"},
        {"history_start": "zeros"},
    ),
    "SELFIE, variant official": ("selfie", {"variant": "official"}, {}),
    "Default": ("default", {}, {}),
    f"Default, {NARROW}": ("default", {}, {}),
}
"""Name of a case -> method, settings of the run, settings of the method, beside those that all share."""
FIGURES = ("best_test_error", "last_test_error", "refurbishment_accuracy")


@dataclass(frozen=True)
class Case(Plan):
    """A run, told apart by the name of its case."""

    case: str = ""

    def directory(self, work: Path) -> Path:
        return work / "runs" / self.data.name / f"{self.case.replace(', ', '-').replace(' ', '-').lower()}"

    def train(self, work: Path, reporter: Any, force: bool) -> None:
        if not self.case.endswith(NARROW):
            return super().train(work, reporter, force)
        with narrow_initial_values():
            super().train(work, reporter, force)


@contextmanager
def narrow_initial_values() -> Iterator[None]:
    """Let networks start from the values they started from until 0.1."""
    from trainer.engine import load_backend

    load_backend("tensorflow")
    import numpy as np

    from trainer.networks.layers import GlorotUniform, HeNormal, Normal

    def narrow(self: Any, shape: tuple[int, ...], dtype: Any = None) -> Any:
        kernel = GlorotUniform(self.rng) if len(shape) == 2 else Normal(self.rng, float(np.sqrt(2 / (9 * shape[-1]))))
        return kernel(shape, dtype)

    usual = HeNormal.__call__
    HeNormal.__call__ = narrow  # type: ignore[method-assign]
    try:
        yield
    finally:
        HeNormal.__call__ = usual  # type: ignore[method-assign]


def main() -> None:
    arguments = parse()
    if arguments.table:
        runs = [run for path in arguments.table for run in json.loads(path.read_text(encoding="utf-8"))["runs"]]
        print(table(runs))
        return
    work, planned = arguments.work.resolve(), plans(arguments)
    out = arguments.out or machine.RESULTS / "selfie_differences.json"

    def figures() -> list[dict[str, Any]]:
        return [{"case": plan.case, **measured(plan, work)} for plan in planned]

    def write() -> None:
        runs = figures()
        keys = ("limit", "epochs", "seeds")
        settings = {key: getattr(arguments, key) for key in keys}
        complete = all(run["finished"] for run in runs)
        write_results(out, "selfie_differences", {"complete": complete, "settings": settings, "runs": runs})

    def go() -> bool:
        from trainer.reporters.console import Console

        own = Slice(arguments.minutes, Console(max(1, arguments.epochs // 2)))
        finished = train_all(planned, work, own, False, write)
        print(table(figures()))
        return finished

    run_script(go)


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--work", type=Path, default=Path("work"), metavar="DIR", help="datasets and runs; kept; default work")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S", help="of noise and of training; default 0 1 2")
    add("--limit", type=int, default=2560, metavar="N", help="images of each split; default 2560")
    add("--epochs", type=int, default=EPOCHS, metavar="E", help=f"of each run, above {WARM_UP}; default {EPOCHS}")
    add("--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE", help="default: all")
    add("--minutes", type=float, metavar="M", help="end cleanly after so many; default: go to the end")
    add("--out", type=Path, metavar="FILE", help="default bench/results/selfie_differences.json")
    add("--table", type=Path, nargs="+", metavar="FILE", help="print the means of result files instead")
    return parser.parse_args(given)


def plans(arguments: argparse.Namespace) -> list[Case]:
    """All runs, a seed's together."""
    shared = {"network": "densenet-10-12", "epochs": arguments.epochs, "engine": "tensorflow", "device": "cpu"}
    return [
        Case(
            method,
            NoisyData("cifar10", arguments.limit, "pair", 0.4, seed),
            {**shared, **settings, "seed": seed, "method_options": {**SELFIE, **own} if method == "selfie" else {}},
            case,
        )
        for seed in arguments.seeds
        for case, (method, settings, own) in CASES.items()
        if case in arguments.cases
    ]


def table(runs: Sequence[dict[str, Any]]) -> str:
    """A line a case: mean ± standard deviation over its finished runs, in percent, and differences seed by seed."""
    head = ["case", "runs", "best", "last", "last, seed by seed against the plain case", "labels refurbished right"]
    lines = []
    last = {(run["case"], run["seed"]): run["last_test_error"] for run in runs if run["finished"]}
    for case in CASES:
        finished = [run for run in runs if run["case"] == case and run["finished"]]
        if not finished:
            continue
        plain = case.partition(",")[0]
        seeds = sorted(run["seed"] for run in finished if (plain, run["seed"]) in last)
        differences = [f"{100 * (last[case, seed] - last[plain, seed]):+.1f}" for seed in seeds if case != plain]
        best, error, right = (_percent([run[key] for run in finished if key in run]) for key in FIGURES)
        lines.append([case, str(len(finished)), best, error, ", ".join(differences) or "-", right])
    return text_table(head, lines)


def _percent(shares: Sequence[float]) -> str:
    if not shares:
        return "-"
    spread = f" ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * statistics.fmean(shares):.1f}{spread}"


if __name__ == "__main__":
    main()
