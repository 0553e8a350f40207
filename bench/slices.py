"""Many runs of the trainer in one folder, made in slices of time: each call goes on where the last one ended.

    WORK/data/<dataset>/                      made again by the same call, to the same bytes, where it is missing
    WORK/runs/<noisy dataset>/<method>-<…>/   run directories; they say nothing of where WORK is

So WORK/runs alone has to be carried from one machine to another.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine import real_data

if TYPE_CHECKING:
    from trainer.metrics import EpochRow
    from trainer.reporters.base import RunPlan

STARTED = time.monotonic()
SOURCES = {"cifar10": "cifar-10-batches-bin", "mnist": "mnist"}
"""Where the real archives are, under DATATOOLS_REAL_DATA."""
UNFINISHED_STATUS = 3
"""Exit status of a call whose slice was over before its work was: the same call goes on."""
MARGIN, SPARE_SECONDS = 1.2, 5.0
"""An epoch may take this much longer than the longest one so far."""
EARLIER_EPOCHS = 10
"""So many epochs of earlier calls are looked at."""


@dataclass(frozen=True)
class NoisyData:
    """Real images with noise: the first `limit` of each split, or all."""

    source: str
    limit: int | None
    noise: str
    rate: float
    seed: int

    @property
    def clean_name(self) -> str:
        from datatools.conversion import default_name

        return default_name(self.source, None, None, self.limit)

    @property
    def name(self) -> str:
        from datatools.corruption import default_name

        return default_name(self.clean_name, self.noise, self.rate, self.seed)

    def make(self, work: Path) -> Any:
        """The dataset under `work`, made where it is not there."""
        from datatools import convert, corrupt, open_dataset

        clean, noisy = work / "data" / self.clean_name, work / "data" / self.name
        if noisy.exists():
            return open_dataset(noisy)
        if not clean.exists():
            archive = real_data() / SOURCES[self.source]
            # dataset.json holds the path as it was given, and a run is tied to dataset.json's bytes: so a path that is
            # the same on every machine
            with contextlib.chdir(archive.parent):
                for notice in convert(self.source, source=Path(archive.name), out=clean, limit=self.limit).notices:
                    print(f"note: {notice}")
        return corrupt(open_dataset(clean), noise=self.noise, rate=self.rate, seed=self.seed, out=noisy).dataset


@dataclass(frozen=True)
class Plan:
    """One run: a method on a dataset.

    Attributes:
        settings: keywords of `trainer.config.resolve`; network, epochs, seed and engine among them.
    """

    method: str
    data: NoisyData
    settings: dict[str, Any]

    def directory(self, work: Path) -> Path:
        """The run directory; its name tells the settings that differ from the usual ones."""
        own = self.settings
        parts = [self.method, own["network"], f"{own['epochs']}epochs", f"seed{own['seed']}"]
        usual = {"engine": "tensorflow", "precision": "float32", "variant": "paper"}
        parts += [str(own[key]) for key, value in usual.items() if own.get(key, value) != value]
        parts += ["deterministic"] * own.get("deterministic", False)
        return work / "runs" / self.data.name / "-".join(parts)

    def finished(self, work: Path) -> bool:
        """Whether its result is there."""
        return (self.directory(work) / "result.json").is_file()

    def train(self, work: Path, reporter: Any, force: bool) -> None:
        """Train, from the last checkpoint where there is one."""
        from trainer.config import resolve
        from trainer.training.loop import train

        dataset = self.data.make(work)
        directory = self.directory(work)
        print(f"\n{directory.relative_to(work)}", flush=True)
        config = resolve(self.method, dataset, **self.settings)
        train(config, dataset, directory, reporter, resume=directory.exists(), force=force)


def add_comparison_options(
    parser: argparse.ArgumentParser, name: str, methods: Collection[str], epochs: int, all_methods: str
) -> None:
    """The options of a script that compares methods on a part of an image set.

    Args:
        name: of the script, and of its results. methods: those that there are; all_methods: all of them, in words.
    """
    add = parser.add_argument
    add("--work", type=Path, required=True, metavar="DIR", help="datasets and runs; kept, and taken up again")
    add("--limit", type=int, default=4000, metavar="N", help="images of each split; default 4000")
    add("--network", default="small-cnn", help="default small-cnn")
    add("--epochs", type=int, default=epochs, metavar="E", help=f"of each run; default {epochs}")
    add("--noise", nargs="+", default=["pair", "symmetric"], metavar="TYPE", help="default pair symmetric")
    add("--rate", type=float, default=0.4, metavar="R", help="share of wrong labels; default 0.4")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S", help="of noise and of training; default 0 1 2")
    default = f"default: {all_methods}"
    add("--methods", nargs="+", choices=list(methods), default=list(methods), metavar="METHOD", help=default)
    add("--engine", choices=["tensorflow", "jax"], default="tensorflow", help="default tensorflow")
    add("--device", default="auto", help="auto, cpu, gpu or gpu:N; default auto")
    add("--minutes", type=float, metavar="M", help="end cleanly after so many; default: go to the end")
    add("--force", action="store_true", help="go on with runs that other code or another device began")
    add("--out", type=Path, metavar="FILE", help=f"default bench/results/{name}-DATA.json")


def comparison_plans(arguments: argparse.Namespace) -> list[Plan]:
    """All runs of a comparison, a seed's together, so that the first ones already make a table."""
    settings = {key: getattr(arguments, key) for key in ("network", "epochs", "engine", "device")}
    return [
        Plan(
            method,
            NoisyData(arguments.data, arguments.limit, noise, arguments.rate, seed),
            {**settings, "seed": seed},
        )
        for seed in arguments.seeds
        for noise in arguments.noise
        for method in arguments.methods
    ]


def comparison_facts(arguments: argparse.Namespace, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the result file of a comparison holds of how far it is, and of its settings."""
    return {
        "complete": all(run["finished"] for run in runs),
        "runs_finished": sum(run["finished"] for run in runs),
        "runs_planned": len(runs),
        "settings": {
            key: getattr(arguments, key)
            for key in ("data", "limit", "network", "epochs", "noise", "rate", "seeds", "methods", "engine")
        },
    }


def by_noise(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {noise: [run for run in runs if run["noise"] == noise] for noise in dict.fromkeys(r["noise"] for r in runs)}


class Slice:
    """The time of one call, and a `Reporter` that ends a run when it is over.

    On a CPU a run hears a signal about every second. On a GPU an epoch goes to the engine whole: there a run ends after
    an epoch, its checkpoint just saved, when the next one might not fit. A run's first epoch in a call loads, compiles
    the evaluation and chooses algorithms, so it says little of the next one: what an epoch takes is told by the later
    ones; before there are any, by the run's epochs of earlier calls; and where there are none of these either, another
    epoch is begun while any time is left. So a call whose epochs are longer than half of it ends late, but once a run.
    """

    def __init__(self, minutes: float | None, shown: Any, started: float = STARTED) -> None:
        """`minutes`: from `started` on; None for no end. shown: the Reporter that people see."""
        self.ends = float("inf") if minutes is None else started + 60 * minutes
        self.shown = shown
        self.over = False
        """Whether it has ended a run."""
        self._on_cpu = True
        self._begun = self._last = time.monotonic()
        self._earlier: list[float] = []
        self._epochs: list[float] = []
        self._loading = self._compiling = 0.0
        self._longest_start = 0.0

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()

    def has_room(self) -> bool:
        """Whether another run can get to where it is able to stop; the first one of a call always begins."""
        room = not self._longest_start or self.left > self._longest_start
        self._begun = time.monotonic()
        return room

    def preparing(self, plan: RunPlan) -> None:
        from trainer.reporters.base import EarlyReporter  # as late as the packages that it brings

        if isinstance(self.shown, EarlyReporter):
            self.shown.preparing(plan)

    def start(self, plan: RunPlan) -> None:
        self.shown.start(plan)
        self._on_cpu, self._epochs, self._last = plan.on_cpu, [], time.monotonic()
        self._earlier = [row.seconds for row in plan.rows[-EARLIER_EPOCHS:]]
        self._compiling = plan.compile_seconds or 0.0
        self._loading = max(0.0, self._last - self._begun - self._compiling)
        if self._on_cpu:
            self._started_up(0.0)

    def steps(self, done: int, total: int) -> None:
        self.shown.steps(done, total)
        if self.left <= 0:
            self.over = True
            signal.raise_signal(signal.SIGTERM)

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self.shown.epoch(row, seconds_left)
        now = time.monotonic()
        self._epochs.append(now - self._last)
        self._last = now
        if self._on_cpu:
            return
        if len(self._epochs) == 1:
            self._started_up(self._epochs[0])
        if seconds_left and self.left < MARGIN * self._next_epoch() + SPARE_SECONDS:
            from trainer.training.stopping import RunStoppedError

            self.over = True
            raise RunStoppedError("the slice is over; the checkpoint of this epoch is saved")

    def note(self, text: str) -> None:
        self.shown.note(text)

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        self.shown.finish(directory, result)

    def _next_epoch(self) -> float:
        """Seconds that the next epoch is known to take; 0 where nothing but the first one of this call is known.

        Of earlier calls the shortest epoch counts: each of them had a first one too. Never more than this call's first
        one took, as they may have been on a slower device.
        """
        first, *later = self._epochs
        if later:
            return max(later)
        return min(first, *self._earlier) if self._earlier else 0.0

    def _started_up(self, first_epoch: float) -> None:
        """Note what a run needs before it can stop; another one may compile, and train, twice as much."""
        needed = self._loading + 2 * (self._compiling + first_epoch)
        self._longest_start = max(self._longest_start, needed)


def train_all(plans: Sequence[Plan], work: Path, own: Slice, force: bool, write: Callable[[], None]) -> bool:
    """Make the runs that are not finished, in order, and write the figures after each.

    Returns:
        Whether all are finished; False when the slice is over.

    Raises:
        TrainerError, DataToolsError: a run cannot go on, or a signal from elsewhere stopped it (its figures so far are
        written).
    """
    from trainer.training.stopping import RunStoppedError

    for plan in plans:
        if plan.finished(work):
            continue
        if not own.has_room():
            break
        try:
            plan.train(work, own, force)
        except RunStoppedError:
            if not own.over:
                raise
            break
        finally:
            write()
    write()
    return all(plan.finished(work) for plan in plans)


def run_script(work: Callable[[], bool]) -> None:
    """Call `work`, and exit: 0 when all is finished, UNFINISHED_STATUS when not, 1 with a line at an error."""
    from datatools.errors import DataToolsError

    try:
        finished = work()
    except DataToolsError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    if not finished:
        print("the slice is over and not all runs are finished: the same command goes on")
        sys.exit(UNFINISHED_STATUS)


ERRORS = ("best_test_error", "last_test_error", "mean_last10_test_error")
"""Of each network, in result.json."""


def measured(plan: Plan, work: Path) -> dict[str, Any]:
    """What a run has given so far: the figures of result.json and its last epoch's, or how far it is.

    Errors and shares are fractions; what a method does not have is left out, as "second_network", and "runs" where it
    does not restart.
    """
    directory = plan.directory(work)
    rows = metrics_rows(directory)
    found: dict[str, Any] = {"method": plan.method, "noise": f"{plan.data.noise} {plan.data.rate:g}"}
    found["seed"] = plan.settings["seed"]
    if not plan.finished(work):
        found |= {"finished": False, "epochs_done": len(rows), "best_test_error_so_far": _best(rows, "test_error")}
        second = _best(rows, "test_error_2")
        return found if second is None else {**found, "second_network": {"best_test_error_so_far": second}}
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    found |= {"finished": True, "epochs_done": len(rows)}
    found |= _rounded({key: result[key] for key in (*ERRORS, "best_test_error_all_runs")})
    for key in ("label_precision", "label_recall", "refurbishment_accuracy", "clean_train_error"):
        if rows[-1].get(key):
            found[key] = round(float(rows[-1][key]), 4)
    if rows[-1].get("refurbished"):
        found["refurbished"] = int(rows[-1]["refurbished"])
    if "second_network" in result:
        found["second_network"] = _rounded(result["second_network"])
    if len(result.get("runs", ())) > 1:
        found["runs"] = [_rounded({key: run[key] for key in ERRORS}) for run in result["runs"]]
    return found


def _best(rows: Sequence[dict[str, str]], column: str) -> float | None:
    return min((float(row[column]) for row in rows if row.get(column)), default=None)


def _rounded(errors: dict[str, float]) -> dict[str, float]:
    return {key: round(error, 4) for key, error in errors.items()}


def metrics_rows(directory: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv, a row an epoch; none where there is no run yet."""
    path = directory / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, two spaces between."""
    lines = [head, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    filled = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in filled)


def write_results(path: Path, name: str, figures: dict[str, Any]) -> None:
    """Write a result file whole, with date and machine."""
    from machine import machine

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps({"bench": name, "machine": machine(), **figures}, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
