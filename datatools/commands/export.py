"""`datatools export`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import directory_argument, no_fsync_option, print_notices
from datatools.commands.printing import echo
from datatools.export import EXPORTS


@click.command(epilog="Example: datatools export data/cifar10-pair-0.2-seed0 --to hdf5 --out cifar10-pair.h5")
@directory_argument
@click.option(
    "--to",
    required=True,
    type=click.Choice(list(EXPORTS)),
    help="; ".join(f"{name}: {spec.title}" for name, spec in EXPORTS.items()) + ".",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File or folder to make.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace a file of that kind, or a folder that an earlier export made; only once the new one is complete.",
)
@click.option(
    "--safe-csv",
    is_flag=True,
    help="In tables, put an apostrophe before names that a spreadsheet would take for formulas (=, +, -, @, tab).",
)
@no_fsync_option
def export(directory: Path, to: str, out: Path, overwrite: bool, safe_csv: bool) -> None:
    """Write a dataset in another format.

    Images keep every pixel. Labels are those of the records; the clean ones stand beside them where they are known.
    The same dataset gives the same bytes.
    """
    from datatools.export import export_dataset
    from datatools.format.dataset import open_dataset
    from datatools.progress import progress_bar

    dataset = open_dataset(directory)
    with progress_bar(f"export {dataset.path.name}", "images") as progress:
        notices = export_dataset(dataset, to, out, overwrite=overwrite, safe_csv=safe_csv, progress=progress)
    print_notices(notices)
    echo(out)
