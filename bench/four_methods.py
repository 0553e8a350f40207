"""Claim: on real images with pair noise 0.4 SELFIE ends lowest of the four methods (SELFIE, figure 8); a table of them.

    DATATOOLS_REAL_DATA=… python bench/four_methods.py --data mnist --work DIR [--minutes 30]

small-cnn on the first 4,000 images of each split, 30 epochs, pair and symmetric noise 0.4, three seeds; else the
paper's protocol (batch 128, learning rate 0.1). Hours on a CPU: with --minutes a call ends cleanly after so long, with
exit status 3, and the same call goes on from there. The result file is written after every run and says `complete` when
none is missing. The runs stay in DIR.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
from slices import (
    SOURCES,
    Slice,
    add_comparison_options,
    by_noise,
    comparison_facts,
    comparison_plans,
    measured,
    run_script,
    text_table,
    train_all,
    write_results,
)

METHODS = ("default", "active-bias", "co-teaching", "selfie")
FIGURES = {
    "best_test_error": "best",
    "best_test_error_all_runs": "best of all runs",
    "last_test_error": "last",
    "mean_last10_test_error": "mean last 10",
    "label_precision": "label precision",
    "label_recall": "label recall",
    "refurbishment_accuracy": "refurbished right",
}
"""What is averaged over seeds, and how the table calls it."""


def main() -> None:
    arguments = parse()
    work, out = arguments.work.resolve(), arguments.out or result_path(arguments)
    planned = comparison_plans(arguments)

    def write() -> None:
        write_results(out, f"four_methods-{arguments.data}", figures(arguments, [measured(p, work) for p in planned]))

    def go() -> bool:
        from trainer.reporters.console import Console

        own = Slice(arguments.minutes, Console(max(1, arguments.epochs // 5)))
        finished = train_all(planned, work, own, arguments.force, write)
        print_tables([measured(plan, work) for plan in planned], arguments)
        return finished

    run_script(go)


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=sorted(SOURCES), required=True, help="which images, from DATATOOLS_REAL_DATA")
    add_comparison_options(parser, "four_methods", METHODS, 30, "all four")
    return parser.parse_args(given)


def result_path(arguments: argparse.Namespace) -> Path:
    return machine.RESULTS / f"four_methods-{arguments.data}.json"


def figures(arguments: argparse.Namespace, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the result file holds; errors and shares as fractions."""
    return {
        **comparison_facts(arguments, runs),
        "over_seeds": {noise: over_seeds(own) for noise, own in by_noise(runs).items()},
        "runs": runs,
    }


def over_seeds(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each method with a finished run: the number of seeds, and mean and standard deviation of each figure.

    The deviation is that of a sample (divided by n - 1); null for one seed.
    """
    found: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == method and run["finished"]]
        if not own:
            continue
        found[method] = {"seeds": len(own)}
        for key in FIGURES:
            values = [run[key] for run in own if key in run]
            if values:
                deviation = round(statistics.stdev(values), 4) if len(values) > 1 else None
                found[method][key] = {"mean": round(statistics.fmean(values), 4), "std": deviation}
    return found


def print_tables(runs: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """A table a kind of noise, in percent."""
    for noise, own in by_noise(runs).items():
        setting = f"{arguments.limit:,} images, {noise}, {arguments.network}, {arguments.epochs} epochs"
        print(f"\n{arguments.data}, {setting}; in %")
        print(table(over_seeds(own)))
    for run in runs:
        if not run["finished"] and run["epochs_done"]:
            print(
                f"not finished: {run['method']}, {run['noise']}, seed {run['seed']}: {run['epochs_done']} epochs done"
            )


def table(methods: dict[str, dict[str, Any]]) -> str:
    """One kind of noise: a line a method, mean ± standard deviation in percent."""
    rows = [
        [method, str(found["seeds"]), *(percent(found.get(key)) for key in FIGURES)]
        for method, found in methods.items()
    ]
    return text_table(["method", "seeds", *FIGURES.values()], rows)


def percent(value: dict[str, Any] | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value['mean']:.1f}" + ("" if value["std"] is None else f" ± {100 * value['std']:.1f}")


if __name__ == "__main__":
    main()
