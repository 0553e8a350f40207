"""A run told to other programs: a JSON object a line. docs/watching.md lists the events and their keys."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from datatools.printable import printable_json

if TYPE_CHECKING:
    from trainer.metrics import EpochRow
    from trainer.reporters.base import RunPlan

LEFT_OUT = "confusion_matrix"
"""Keys of result.json that hold this are left out of the result's line: K x K numbers each."""


class JsonLines:
    """A Reporter that writes a line an event, flushed at once, with an `event` key that tells its kind."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def start(self, plan: RunPlan) -> None:
        config = plan.config
        self._write(
            "start",
            {
                "directory": str(plan.directory),
                "method": config.method,
                "network": config.network,
                "dataset": plan.dataset.metadata.name,
                "device": plan.device,
                "engine": config.engine,
                "seed": config.seed,
                "epochs": config.epochs,
                "runs": plan.runs,
                "steps": plan.steps,
                "epochs_done": plan.epochs_done,
                "noise_rate": config.noise_rate,
                "parameters": plan.parameters,
                "compile_seconds": plan.compile_seconds,
                "estimated_seconds": plan.seconds,
            },
        )
        for notice in plan.notices:
            self.note(notice)

    def steps(self, done: int, total: int) -> None:
        """Say nothing: a line an epoch is enough for a program."""

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self._write("epoch", {**row.to_json(), "seconds_left": seconds_left})

    def note(self, text: str) -> None:
        self._write("note", {"text": text})

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        self._write("result", {"directory": str(directory), **result})

    def _write(self, event: str, values: dict[str, Any]) -> None:
        line = printable_json(json.dumps({"event": event, **_plain(values)}, allow_nan=False, ensure_ascii=False))
        self.stream.write(f"{line}\n")
        self.stream.flush()


def _plain(value: Any) -> Any:
    """As JSON can say it: null for what is no finite number, and without what is left out."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if LEFT_OUT not in key}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
