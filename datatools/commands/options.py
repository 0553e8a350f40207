"""Options and output that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

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
directory_argument = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


def print_notices(notices: tuple[str, ...]) -> None:
    """What the user should know, a line each, on stderr."""
    for notice in notices:
        click.echo(f"note: {notice}", err=True)
