"""A run told to other programs: a JSON object a line. docs/watching.md lists the events and their keys."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TextIO

LEFT_OUT = "confusion_matrix"
"""Keys of result.json that hold this are left out of the result's line: K x K numbers each."""


class JsonLines:
    """A Reporter that writes a line an event, flushed at once, with an `event` key that tells its kind."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def start(self, facts: dict[str, Any]) -> None:
        config = facts["config"]
        self._write(
            "start",
            {
                "directory": str(facts["directory"]),
                "method": config.method,
                "network": config.network,
                "dataset": facts["dataset"].metadata.name,
                "device": facts["device"],
                "engine": config.engine,
                "seed": config.seed,
                "epochs": config.epochs,
                "runs": facts["runs"],
                "steps": facts["steps"],
                "epochs_done": facts["epochs_done"],
                "noise_rate": config.noise_rate,
                "parameters": facts["parameters"],
                "compile_seconds": facts["compile_seconds"],
                "estimated_seconds": facts["seconds"],
            },
        )
        for notice in facts["notices"]:
            self.note(notice)

    def steps(self, done: int, total: int) -> None:
        """Say nothing: a line an epoch is enough for a program."""

    def epoch(self, row: dict[str, Any], seconds_left: float) -> None:
        self._write("epoch", {**row, "seconds_left": seconds_left})

    def note(self, text: str) -> None:
        self._write("note", {"text": text})

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        self._write("result", {"directory": str(directory), **result})

    def _write(self, event: str, values: dict[str, Any]) -> None:
        line = json.dumps({"event": event, **_plain(values)}, allow_nan=False, ensure_ascii=False)
        self.stream.write(f"{line}\n")
        self.stream.flush()


def _plain(value: Any) -> Any:
    """As JSON can say it: null for what is no finite number, and without what is left out."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if LEFT_OUT not in key}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
