"""`datatools plot`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import directory_argument, print_notices
from datatools.commands.printing import echo


@click.command(epilog="Example: datatools plot data/cifar10-pair-0.2-seed0 --out pair.png")
@directory_argument
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Picture to make, .png, .svg or .pdf.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that stands there.")
def plot(directory: Path, out: Path, overwrite: bool) -> None:
    """Draw the transition matrix of a noisy dataset.

    Requested beside realised: rows are clean labels, columns the labels that the dataset has. Numbers are written into
    the cells where they fit. Human labels have no requested matrix.
    """
    from datatools.format.dataset import open_dataset
    from datatools.plots import plot_transition

    print_notices(plot_transition(open_dataset(directory), out, overwrite))
    echo(out)
