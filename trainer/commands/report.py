"""`trainer report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example: trainer report runs/digits-pair-0.4-seed0 --out report")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for results.csv and the picture.",
)
def report(runs: tuple[Path, ...], out: Path) -> None:
    """Compare finished runs: a table and learning curves.

    RUN is a run directory, or a folder with run directories somewhere below it. Runs that differ in their seeds alone
    make one line: mean and standard deviation over the seeds. Writes results.csv, with every figure, and
    learning-curves.png.
    """
    from trainer.report import collect, draw, table, write_csv

    found, notices = collect(runs)
    for notice in notices:
        click.echo(f"note: {notice}", err=True)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(found, out / "results.csv")
    draw(found, out / "learning-curves.png")
    for line in table(found):
        click.echo(line)
    click.echo(f"{out}: results.csv, learning-curves.png")
