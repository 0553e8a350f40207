"""`datatools compare`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import print_notices
from datatools.commands.printing import echo, echo_json


@click.command(
    epilog="Example: datatools compare data/digits-pair-0.4-seed0 data/digits-pair-0.4-seed1 --out agree.png"
)
@click.argument("a", metavar="A", type=click.Path(path_type=Path))
@click.argument("b", metavar="B", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, all ids in it, instead of a table.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Picture of the agreement matrix to make, .png, .svg or .pdf.  [default: none]",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that stands there.")
def compare(a: Path, b: Path, as_json: bool, out: Path | None, overwrite: bool) -> None:
    """Say where the labels of two datasets differ.

    The agreement matrix counts the training labels of A (rows) against those of B (columns). Where the clean labels
    are known, also how many records both, only A and only B have wrong. Datasets of other images are refused.
    """
    from datatools.comparison import compare as run
    from datatools.comparison import plot_agreement, summary
    from datatools.files.output import check_file
    from datatools.format.dataset import open_dataset
    from datatools.plots import SUFFIXES
    from datatools.progress import progress_bar

    if out is not None:
        check_file(out, SUFFIXES, overwrite)
    first, second = open_dataset(a), open_dataset(b)
    with progress_bar("compare pixels", "images") as progress:
        comparison = run(first, second, progress)
    if out is not None:
        print_notices(plot_agreement(comparison, out, overwrite))
    if as_json:
        echo_json(comparison.facts())
        return
    for line in summary(comparison):
        echo(line)
    if out is not None:
        echo()
        echo(out)
