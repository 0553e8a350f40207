"""Options and output that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from datatools.commands.printing import echo

root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    envvar="DATATOOLS_ROOT",
    show_envvar=True,
    help="Folder where datasets live; archives lie in its subfolder raw/.",
)
overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace a dataset that stands there; only once the new one is complete.",
)


def _switch_fsync_off(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from datatools.files.syncing import no_fsync

        context.with_resource(no_fsync())


NO_FSYNC: dict[str, Any] = {
    "is_flag": True,
    "expose_value": False,
    "callback": _switch_fsync_off,
    "help": "Do not wait until the files are on the disk: faster, and lost in a power cut soon after. "
    "DATATOOLS_FSYNC=off does the same.",
}
no_fsync_option = click.option("--no-fsync", **NO_FSYNC)
directory_argument = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


def print_notices(notices: tuple[str, ...]) -> None:
    """What the user should know, a line each, on stderr."""
    for notice in notices:
        echo(f"note: {notice}", err=True)
