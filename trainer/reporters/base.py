"""What the training loop tells of a run while it goes on, and to whom: the contract `Reporter`.

`console` shows it to people, `json_lines` to other programs, `tensorboard` to TensorBoard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import click

from datatools.printable import printable

if TYPE_CHECKING:
    from datatools.format.dataset import Dataset
    from trainer.config import RunConfig
    from trainer.data import TrainingData
    from trainer.metrics import EpochRow


@dataclass(frozen=True)
class RunPlan:
    """What is about to be trained, as a reporter is told at the start.

    Attributes:
        directory: the run's.
        device: in words. streams: whether images come from the host step by step.
        parameters: trainable numbers of one network. runs: how often the method trains.
        steps_per_epoch: mini-batches of all passes; of the first epoch where `epochs_differ`.
        images_per_step: in a mini-batch.
        epochs_differ: whether later epochs may have another number of steps (`Method.stages`).
        notices: what the user should know, a line each.
        compile_seconds: what compiling the training step took; None where nothing is compiled.
        seconds: estimate for the whole run, also when a part of it is done; None where nothing was timed.
        rows: the rows of metrics.csv that a resumed run starts from; none for a fresh one.
    """

    config: RunConfig
    dataset: Dataset
    data: TrainingData
    directory: Path
    device: str
    on_cpu: bool
    streams: bool
    parameters: int
    runs: int
    steps_per_epoch: int
    images_per_step: int
    notices: tuple[str, ...] = ()
    compile_seconds: float | None = None
    seconds: float | None = None
    rows: tuple[EpochRow, ...] = ()
    epochs_differ: bool = False

    @property
    def epochs(self) -> int:
        """Of all runs."""
        return self.runs * self.config.epochs

    @property
    def steps(self) -> int | None:
        """Mini-batches of the whole run; None where that is not known before."""
        return None if self.epochs_differ else self.epochs * self.steps_per_epoch

    @property
    def epochs_done(self) -> int:
        """How many epochs a resumed run starts from."""
        return len(self.rows)

    @property
    def seconds_left(self) -> float | None:
        """Estimate for what is not done yet; None where nothing was timed."""
        return None if self.seconds is None else self.seconds * (1 - self.epochs_done / self.epochs)


class Reporter(Protocol):
    """What is told of a run, in this order: start, (steps …, epoch) for each epoch, finish.

    A note comes at any time, and the one that a signal was heard from another thread. A run that stops early has no
    finish; one that turns out to be finished already may have no start. So what a reporter has to keep, it keeps when
    it is told, not at the end.
    """

    def start(self, plan: RunPlan) -> None:
        """Training is about to begin."""

    def steps(self, done: int, total: int) -> None:
        """`done` of an epoch's `total` mini-batches are trained on."""

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        """An epoch is over. seconds_left: estimate for the rest of the run."""

    def note(self, text: str) -> None:
        """One line that is worth telling, as that a checkpoint was saved on a signal."""

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        """The run is over.

        Args:
            directory: the run's. result: the content of its result.json.
        """


@runtime_checkable
class EarlyReporter(Protocol):
    """What a Reporter may have beside: it is told of the plan before the step is compiled and timed."""

    def preparing(self, plan: RunPlan) -> None:
        """The run is set up. The plan has no times as yet; `start` tells them."""


class Quiet:
    """A Reporter that prints nothing but the result."""

    def start(self, plan: RunPlan) -> None:
        """Say nothing."""

    def steps(self, done: int, total: int) -> None:
        """Say nothing."""

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        for line in result_lines(directory, result):
            click.echo(printable(line))


class ReporterGroup:
    """A Reporter that passes on all it is told to others, in their order."""

    def __init__(self, reporters: Iterable[Reporter]) -> None:
        self.reporters = tuple(reporters)

    def preparing(self, plan: RunPlan) -> None:
        for reporter in self.reporters:
            if isinstance(reporter, EarlyReporter):
                reporter.preparing(plan)

    def start(self, plan: RunPlan) -> None:
        for reporter in self.reporters:
            reporter.start(plan)

    def steps(self, done: int, total: int) -> None:
        for reporter in self.reporters:
            reporter.steps(done, total)

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        for reporter in self.reporters:
            reporter.epoch(row, seconds_left)

    def note(self, text: str) -> None:
        for reporter in self.reporters:
            reporter.note(text)

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        for reporter in self.reporters:
            reporter.finish(directory, result)


def result_lines(directory: Path, result: dict[str, Any]) -> list[str]:
    """What a person reads of result.json: a line, and one more where an epoch was selected.

    The best test error is chosen on the test set; the selected epoch is not. They stay apart, a line each.
    """
    lines = [
        f"{directory}: test error best {result['best_test_error']:.2%}, last {result['last_test_error']:.2%}, mean of "
        f"the last 10 epochs {result['mean_last10_test_error']:.2%}"
    ]
    if selected := result.get("selected"):
        run = " of the final run" if len(result.get("runs", ())) > 1 else ""
        lines.append(
            f"{directory}: epoch {selected['epoch']}{run} selected on held-out noisy samples: validation error "
            f"{selected['validation_error']:.2%}, test error {selected['test_error']:.2%}"
        )
    return lines
