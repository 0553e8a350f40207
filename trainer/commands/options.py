"""Options that several commands share, as keywords of `click.option` and `click.Option`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trainer.networks import NETWORKS

ROOT: dict[str, Any] = {
    "type": click.Path(path_type=Path, file_okay=False),
    "default": Path("data"),
    "show_default": True,
    "envvar": "DATATOOLS_ROOT",
    "show_envvar": True,
    "help": "Folder where datasets live.",
}
ENGINE: dict[str, Any] = {
    "type": click.Choice(["tensorflow", "jax"]),
    "default": "tensorflow",
    "show_default": True,
    "envvar": "KERAS_BACKEND",
    "show_envvar": True,
    "help": "What trains the networks.",
}
NETWORK_NAMES = click.Choice(list(NETWORKS))
