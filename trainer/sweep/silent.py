"""A reporter that says nothing at all; a sweep shows its cells by their run directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.reporters.base import Quiet


class Silent(Quiet):
    """Not even the result."""

    def finish(self, directory: Path, result: dict[str, Any]) -> None:
        """Say nothing."""
