"""`trainer report`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import no_fsync_option
from datatools.commands.printing import echo
from trainer.commands.options import SAFE_CSV


@click.command(epilog="Example: trainer report runs/digits-pair-0.4-seed0 --out report")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the page, its data and its figures.",
)
@SAFE_CSV
@no_fsync_option
def report(runs: tuple[Path, ...], out: Path, safe_csv: bool) -> None:
    """Compare finished runs: a page, its data and figures, and a table.

    RUN is a run directory, or a folder with run directories somewhere below it. Runs that differ in their seeds alone
    make one line: mean and standard deviation over the seeds. Writes report.html, a page that opens from disk; its
    data as results.csv, groups.csv, curves.csv, matrices.csv and report.json; learning-curves.png; and every figure
    as PNG and SVG under figures/. A run that cannot be used is named with the reason, and left out.
    """
    from trainer.report import collect, table, write_report

    found, left_out = collect(runs)
    for line in left_out:
        echo(f"note: {line}", err=True)
    files = write_report(found, left_out, out, safe_csv=safe_csv)
    for line in table(found):
        echo(line)
    plain = [name for name in files if "/" not in name]
    echo(f"{out}: {', '.join(plain)}, {len(files) - len(plain)} figures in figures/")
