"""What `trainer run` shows: the plan at the start, a line an epoch, and on a terminal a bar within the epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from datatools.printable import printable
from trainer.config import RunConfig
from trainer.methods import METHODS
from trainer.methods.metric import Metric
from trainer.reporters.base import result_lines
from trainer.settings import option_name, settings_of

if TYPE_CHECKING:
    from trainer.metrics import EpochRow, Figure
    from trainer.reporters.base import RunPlan

LINE_EVERY_SECONDS = 30
"""Where there is no bar, an epoch that takes longer than this has lines within."""
HINT_SECONDS = 3600
"""From this estimate on, a CPU run under the paper's protocol is told of the quick preset."""

SETTLED = frozenset({"device", "data", "noise", "method", "network", "training"})
"""The rows of the plan that are known before anything is compiled or timed."""


class Console:
    """A `Reporter` for people."""

    def __init__(self, report_every: int = 1) -> None:
        """`report_every`: epochs from one line to the next; a run's last epoch always has one."""
        self.report_every = report_every
        self.bar = _bar_stream()
        self.bar_width = 0
        self.runs = self.epochs = 0
        self.metrics: tuple[Metric, ...] = ()
        self.last_line = time.monotonic()
        self.shown: set[tuple[str, str]] = set()

    def preparing(self, plan: RunPlan) -> None:
        self._plan(row for row in plan_lines(plan) if row[0] in SETTLED)

    def start(self, plan: RunPlan) -> None:
        self._plan(row for row in plan_lines(plan) if row not in self.shown)
        self.runs, self.epochs = plan.runs, plan.config.epochs
        self.metrics = METHODS[plan.config.method].metrics

    def steps(self, done: int, total: int) -> None:
        if self.bar is None:
            if time.monotonic() - self.last_line > LINE_EVERY_SECONDS and done < total:
                self._line(f"step {done:,} of {total:,}")
        else:
            filled = 30 * done // total
            text = f"[{'#' * filled}{'.' * (30 - filled)}] step {done:,}/{total:,} "
            print(f"\r{text}", end="", file=self.bar, flush=True)
            self.bar_width = len(text)

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self._clear_bar()
        if row.epoch % self.report_every and row.epoch != self.epochs:
            return
        run = f"run {row.run}/{self.runs} " if self.runs > 1 else ""
        parts = (
            f"{run}epoch {row.epoch:>{len(str(self.epochs))}}/{self.epochs}",
            f"loss {row.value('train_loss'):.4f}",
            _test_error(row),
            _validation_error(row),
            _method_figures(row.metrics, self.metrics),
            f"{row.images_per_second:,.0f} images/s",
            f"{duration(seconds_left)} left",
        )
        self._line("  ".join(part for part in parts if part))

    def note(self, text: str) -> None:
        self._clear_bar()
        self._line(f"note: {text}")

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        self._clear_bar()
        for line in result_lines(directory, result):
            self._line(line)

    def _plan(self, rows: Iterable[tuple[str, str]]) -> None:
        for term, value in rows:
            self.shown.add((term, value))
            click.echo(printable(f"{term:<9} {value}"))

    def _clear_bar(self) -> None:
        if self.bar is not None:
            # a notebook knows no code for "erase the line"
            erased = "\033[K" if self.bar.isatty() else f"{' ' * self.bar_width}\r"
            print(f"\r{erased}", end="", file=self.bar, flush=True)
            self.bar_width = 0

    def _line(self, text: str) -> None:
        click.echo(printable(text))
        self.last_line = time.monotonic()


def _bar_stream() -> TextIO | None:
    """Where a bar is drawn: on a terminal's stderr, in a notebook's cell among the lines, else nowhere."""
    if sys.stderr.isatty():
        return sys.stderr
    return sys.stdout if type(sys.stdout).__module__.startswith("ipykernel.") else None


def _test_error(row: EpochRow) -> str:
    first, second = (row.metrics.get(f"test_error_{number}") for number in (1, 2))
    text = f"test error {row.value('test_error'):.2%}"
    if second is None:
        return text
    return f"{text} (second network {second:.2%})" if first is None else f"{text} (each {first:.2%}, {second:.2%})"


def _validation_error(row: EpochRow) -> str:
    error = row.metrics.get("validation_error")
    return "" if error is None else f"validation error {error:.2%}"


def _method_figures(figures: Mapping[str, Figure], metrics: Sequence[Metric]) -> str:
    """What the method's own metrics have for the line; a count of 0 is not worth a word."""
    pieces: list[str] = []
    for metric in metrics:
        value = figures.get(metric.key)
        if not metric.line or value is None or (metric.unit == "count" and not value):
            continue
        text = metric.line.format(value)
        if text.startswith("(") and pieces:
            pieces[-1] += f" {text}"
        else:
            pieces.append(text)
    return "  ".join(pieces)


def duration(seconds: float) -> str:
    """Seconds as "42 s", "3 min 20 s" or "5.2 h"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds / 3600:.1f} h"


def plan_lines(plan: RunPlan) -> list[tuple[str, str]]:
    """(term, value) pairs that say what is going to run, on what, and for how long."""
    config, data = plan.config, plan.data
    settings = ", ".join(f"{key.replace('_', '-')} {value}" for key, value in config.method_settings.items())
    networks = METHODS[config.method].num_networks
    seconds = plan.compile_seconds
    compiled = [] if seconds is None else [("compiled", f"the training step, once, in {duration(seconds)}")]
    rows = [
        ("device", f"{plan.device} ({config.engine})"),
        *compiled,
        (
            "data",
            f"{plan.dataset.path}: {data.num_samples:,} training and {len(data.test_labels):,} test images"
            f"{_sample(plan)}, {data.num_classes} classes",
        ),
        ("noise", f"rate {config.noise_rate:.4g} ({config.noise_rate_from})"),
        ("method", config.method + (f": {settings}" if settings else "")),
        (
            "network",
            (f"{networks} x " if networks > 1 else "")
            + f"{config.network}, {plan.parameters:,} parameters"
            + (" each" if networks > 1 else ""),
        ),
        (
            "training",
            f"preset {config.preset}{_departures(config)}: {_recipe(config)}; seed {config.seed}",
        ),
        ("plan", _extent(plan)),
    ]
    rows += [("note", notice) for notice in plan.notices]
    if plan.on_cpu and config.preset != "quick" and not data.has_features and (plan.seconds_left or 0) > HINT_SECONDS:
        rows.append(
            (
                "hint",
                "this protocol wants a GPU; --preset quick trains a small network in a fraction of the time",
            )
        )
    return rows


def _sample(plan: RunPlan) -> str:
    """What the networks are shown of an image."""
    data = plan.data
    if data.has_features:
        return f" as {data.image_shape[0]:,} features each ({plan.config.features})"
    return f" of {'x'.join(map(str, data.image_shape))}"


def _departures(config: RunConfig) -> str:
    """In what a run is not its preset."""
    departures = config.departures()
    settings = settings_of(RunConfig)
    texts = [f"{option_name(name)} {settings[name].text_of(value)}" for name, value in departures.items()]
    return f", but for {', '.join(texts)}" if texts else ""


def _recipe(config: RunConfig) -> str:
    """Optimizer, learning rate and augmentation, in words."""
    drops = ", ".join(str(epoch + 1) for epoch in config.drop_epochs if epoch < config.epochs)
    course = {
        "step": f", times {config.drop_factor:g} at epochs {drops}" if drops else "",
        "cosine": ", then half a cosine",
        "linear": f", down to 0 from epoch {config.decay_from + 1} on",
        "warm-restarts": f", half a cosine every {config.restart_period} epochs",
        "constant": "",
    }
    parts = [f"learning rate {config.learning_rate:g}{course[config.schedule]}"]
    parts += [] if config.optimizer == "sgd" else [config.optimizer]
    parts += [] if config.augmentation == "none" else [f"augmentation {config.augmentation}"]
    return "; ".join(parts)


def _extent(plan: RunPlan) -> str:
    """How much there is to train, from where on, and for how long."""
    config = plan.config
    times = f"{plan.runs} runs x " if plan.runs > 1 else ""
    of_epoch = f"{plan.steps_per_epoch:,} steps of {plan.images_per_step} images"
    if plan.steps is None:
        whole = f"{times}{config.epochs} epochs, the first of {of_epoch}"
    else:
        whole = f"{times}{config.epochs} epochs x {of_epoch} = {plan.steps:,} steps"
    left = plan.seconds_left
    if not plan.epochs_done:
        return whole if left is None else f"{whole}, about {duration(left)} here"
    run, epoch = divmod(plan.epochs_done - 1, config.epochs)
    last = (f"run {run + 1}, " if plan.runs > 1 else "") + f"epoch {epoch + 1}"
    return f"{whole}; resumes after {last}" + ("" if left is None else f", about {duration(left)} left here")
