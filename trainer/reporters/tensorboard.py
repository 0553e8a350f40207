"""A run as TensorBoard shows it: event files of the numbers of metrics.csv, in the run directory's `tensorboard`.

Written with TensorBoard's own record format and messages, and without a framework, so that every engine can use it.
TensorBoard's EventFileWriter would do, but it loads TensorFlow wherever that is installed, and names its files by the
second and the process number: a run resumed within a second could come before the part it continues.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.methods.base import Method
from trainer.metrics import metric_of
from trainer.runs.directory import EVENTS_FOLDER, write_errors

if TYPE_CHECKING:
    from trainer.metrics import EpochRow
    from trainer.reporters.base import RunPlan

FILE_VERSION = "brain.Event:2"
"""From this version on TensorBoard drops outdated events at a SessionLog START."""


class EventFiles:
    """A Reporter that writes an event for each epoch, flushed at once.

    The step is the epoch counted from 1 through all restarts. A resumed run continues the curve of the run it
    resumes: TensorBoard is told to drop what lies beyond the epoch resumed from, epochs whose events are there are
    not written again, and those without (TensorBoard was not asked for, or the process died in between) are.
    """

    def __init__(self, directory: Path) -> None:
        """Nothing is written yet. `directory`: the run's.

        Raises:
            TrainerError: the package tensorboard is not installed.
        """
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise TrainerError(
                f"TensorBoard event files: cannot be written here ({error}); "
                "install what they need with pip install 'selfie-noisy-labels[tensorboard]'"
            ) from None
        self.directory = directory / EVENTS_FOLDER
        self._events, self._summaries, self._record_writer = event_pb2, summary_pb2, RecordWriter
        self._path = self.directory
        self._writer: Any = None
        self._epochs = 0
        self._method: type[Method] = METHODS["default"]

    def start(self, plan: RunPlan) -> None:
        """Open an event file; a fresh run's takes the place of those of the run that it replaces.

        Raises:
            TrainerError: the file cannot be written.
        """
        self._epochs, self._method = plan.config.epochs, METHODS[plan.config.method]
        before = sorted(self.directory.glob("events.out.tfevents.*"))
        # The first epoch whose events are missing
        steps = written_steps(before) if plan.rows else set()
        first = next((step for step in range(1, plan.epochs_done + 1) if step not in steps), plan.epochs_done + 1)
        if not plan.rows:
            for path in before:
                path.unlink()
        self._path = self._new_path(before)
        with write_errors(self._path):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._writer = self._record_writer(self._path.open("xb"))
        self._write(file_version=FILE_VERSION)
        # In a fresh run too: TensorBoard takes the first START of a directory for its beginning, and drops what is
        # outdated at later ones alone.
        self._write(step=first, session_log=self._events.SessionLog(status=self._events.SessionLog.START))
        for row in plan.rows[first - 1 :]:
            self._write_row(row)

    def steps(self, done: int, total: int) -> None:
        """Write nothing."""

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self._write_row(row)

    def note(self, text: str) -> None:
        """Write nothing."""

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.close()

    def _new_path(self, before: list[Path]) -> Path:
        """A name that TensorBoard reads after all that are there: it goes by the alphabet, and so by the seconds."""
        seconds = max([int(time.time()), *(_seconds(path) + 1 for path in before)])
        return self.directory / f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.0"

    def _write_row(self, row: EpochRow) -> None:
        values = [
            self._summaries.Summary.Value(tag=tag(column, self._method), simple_value=float(value))
            for column, value in row.to_json().items()
            if column not in ("run", "epoch") and value is not None
        ]
        step = (row.run - 1) * self._epochs + row.epoch
        self._write(step=step, summary=self._summaries.Summary(value=values))

    def _write(self, **fields: Any) -> None:
        with write_errors(self._path):
            self._writer.write(self._events.Event(wall_time=time.time(), **fields).SerializeToString())
            self._writer.flush()


def tag(column: str, method: type[Method]) -> str:
    """Under which name TensorBoard shows a column of metrics.csv: "test_error" as "test/error"."""
    metric = metric_of(column, method)
    if metric is None or not metric.tag:
        return f"method/{column}"
    return metric.tag + column.removeprefix(metric.key)  # the second network's beside the first's


def written_steps(paths: list[Path]) -> set[int]:
    """The steps that TensorBoard shows of event files.

    Args:
        paths: in the order in which they were written. What a killed process left half-written is passed over.
    """
    from tensorboard.compat.proto import event_pb2

    steps: set[int] = set()
    for path in paths:
        for record in _records(path):
            event = event_pb2.Event.FromString(record)
            if event.session_log.status == event_pb2.SessionLog.START:
                steps = {step for step in steps if step < event.step}
            if event.HasField("summary"):
                steps.add(event.step)
    return steps


def _records(path: Path) -> Iterator[bytes]:
    """The records of an event file, up to its end or to the first that is damaged."""
    from tensorboard.compat.tensorflow_stub import errors
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    reader = PyRecordReader_New(str(path))
    try:
        while True:
            reader.GetNext()
            yield reader.record()
    except (errors.OutOfRangeError, errors.DataLossError):
        return
    finally:
        reader.file_handle.close()


def _seconds(path: Path) -> int:
    """The seconds in an event file's name; 0 where it is named in another way."""
    part = path.name.removeprefix("events.out.tfevents.").split(".")[0]
    return int(part) if part.isdecimal() else 0
