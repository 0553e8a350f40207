"""Claim: every method of the package under one recipe, and which of them end below Default; a table with intervals.

    DATATOOLS_REAL_DATA=… python bench/methods.py --work DIR [--minutes 30]

small-cnn on the first 4,000 images of each split of MNIST, 15 epochs of 32 steps, pair and symmetric noise 0.4, three
seeds. The recipe is frozen: SELFIE's protocol for all (batch 128, SGD with Nesterov momentum 0.9, learning rate
0.1, divided by 5 at half and at three quarters), and each method's default settings, which its authors chose for
CIFAR-10 and for longer trainings. So the table tells what a method does untuned, not how good it can be.

Intervals are of the mean over seeds, at 95%, by Student's t distribution; those of the difference to Default are of
pairs that share labels and seed. About two hours on two quiet cores: with --minutes a call ends cleanly after so long,
with exit status 3, and the same call goes on from there. The result file is written after every run and says `complete`
when none is missing. The runs stay in DIR, for `trainer report DIR/runs`.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
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

FIGURES = {"last_test_error": "last", "mean_last10_test_error": "mean of last 10", "best_test_error": "best"}
"""What is averaged over seeds, and how the table calls it."""
CONFIDENCE = 0.95


def main() -> None:
    arguments = parse()
    work, out = arguments.work.resolve(), arguments.out or machine.RESULTS / f"methods-{arguments.data}.json"
    planned = comparison_plans(arguments)

    def write() -> None:
        write_results(out, f"methods-{arguments.data}", figures(arguments, [measured(plan, work) for plan in planned]))

    def go() -> bool:
        from trainer.reporters.console import Console

        time_slice = Slice(arguments.minutes, Console(arguments.epochs))
        finished = train_all(planned, work, time_slice, arguments.force, write)
        for noise, methods in figures(arguments, [measured(plan, work) for plan in planned])["over_seeds"].items():
            print(f"\n{arguments.data}, {noise}, {arguments.epochs} epochs; test error in %, mean and 95% interval")
            print(table(methods))
        return finished

    run_script(go)


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    from trainer.methods import METHODS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = "from DATATOOLS_REAL_DATA; default mnist"
    parser.add_argument("--data", choices=sorted(SOURCES), default="mnist", help=source)
    add_comparison_options(parser, "methods", METHODS, 15, "all there are")
    return parser.parse_args(given)


def figures(arguments: argparse.Namespace, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the result file holds; errors as fractions."""
    over_seeds = {noise: methods_of(chosen) for noise, chosen in by_noise(runs).items()}
    return {
        **comparison_facts(arguments, runs),
        "over_seeds": over_seeds,
        "not_below_default": {
            noise: [name for name, row in methods.items() if row.get("over_default", {}).get("mean", -1) >= 0]
            for noise, methods in over_seeds.items()
        },
        "runs": runs,
    }


def methods_of(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each method with a finished run: number of seeds, what it is told, and mean and interval of each figure.

    "over_default" is the last test error minus Default's of the same labels and seed.
    """
    finished = [run for run in runs if run["finished"]]
    default = {run["seed"]: run["last_test_error"] for run in finished if run["method"] == "default"}
    rows: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(run["method"] for run in finished):
        chosen = [run for run in finished if run["method"] == method]
        rows[method] = {"seeds": len(chosen), "told": told(method)}
        rows[method] |= {key: mean_and_interval([run[key] for run in chosen]) for key in FIGURES}
        pairs = [run["last_test_error"] - default[run["seed"]] for run in chosen if run["seed"] in default]
        if method != "default" and pairs:
            rows[method]["over_default"] = mean_and_interval(pairs)
    return rows


def told(method: str) -> str:
    """What the method is told of the noise, with its default settings."""
    from trainer.methods import METHODS
    from trainer.methods.base import Method

    if METHODS[method].told is not Method.told:
        return "transition matrix"
    return "noise rate" if METHODS[method].uses_noise_rate else "nothing"


def mean_and_interval(values: Sequence[float]) -> dict[str, float | None]:
    """The mean, and half the width of its interval; None for one value.

    Example:
        >>> mean_and_interval([0.1, 0.2, 0.3])
        {'mean': 0.2, 'half_width': 0.2484}
    """
    from scipy.stats import t  # type: ignore[import-untyped]

    half_width = None
    if len(values) > 1:
        error = statistics.stdev(values) / math.sqrt(len(values))
        half_width = round(float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error, 4)
    return {"mean": round(statistics.fmean(values), 4), "half_width": half_width}


def table(methods: dict[str, dict[str, Any]]) -> str:
    """One kind of noise, ranked by the last test error; in percent."""
    ranked = sorted(methods.items(), key=lambda item: float(item[1]["last_test_error"]["mean"]))
    rows = [
        [name, row["told"], *(percent(row.get(key)) for key in (*FIGURES, "over_default")), str(row["seeds"])]
        for name, row in ranked
    ]
    return text_table(["method", "told", *FIGURES.values(), "last, minus Default's", "seeds"], rows)


def percent(value: dict[str, Any] | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value['mean']:.1f}" + ("" if value["half_width"] is None else f" ± {100 * value['half_width']:.1f}")


if __name__ == "__main__":
    main()
