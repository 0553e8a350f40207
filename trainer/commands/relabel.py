"""`trainer relabel`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from datatools.commands.options import no_fsync_option
from datatools.commands.printing import echo
from trainer.commands.options import SAFE_CSV


@click.command(epilog="Example: trainer relabel runs/digits-pair-0.4-seed0/selfie-small-cnn-seed0 --out relabelled")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where the run's dataset is now.  [default: the path that the run was given]",
)
@click.option(
    "--noise-rate",
    type=float,
    metavar="R",
    help="Share of the samples to suspect, in [0, 1).  [default: the rate that the run's method was told; where that "
    "is 0, as many as the confident joint counts]",
)
@click.option("--all", "every_sample", is_flag=True, help="A row in suspects.csv for every sample, not only suspects.")
@click.option(
    "--count",
    type=click.IntRange(0, 10_000),
    default=100,
    show_default=True,
    metavar="N",
    help="How many images on the contact sheet and on the page.",
)
@SAFE_CSV
@click.option("--overwrite", is_flag=True, help="Replace what an earlier relabel made there.")
@no_fsync_option
def relabel(run: Path, out: Path, **given: Any) -> None:
    """Show which labels of a run's dataset are probably wrong, and correct them.

    RUN is a finished run of any method. Writes suspects.csv, most suspicious first, with suggested labels and reasons;
    the most suspicious images as suspects.png and page.html; dataset/, the dataset with the suspects' labels replaced;
    and relabel.json. Where the clean labels are known it says how right that is.
    """
    from datatools.progress import progress_bar
    from trainer.audit.output import CONTENT, how_many_from
    from trainer.audit.output import relabel as run_relabel

    with progress_bar(f"relabel {run.name}", "images") as progress:
        made = run_relabel(run, out, progress=progress, **given)
    for notice in made.notices:
        echo(f"note: {notice}", err=True)
    report = made.report
    held_out = f", {report['held_out']:,} held out and not judged" if report["held_out"] else ""
    echo(f"{report['suspects']:,} of {report['samples']:,} labels suspected: {how_many_from(report)}{held_out}")
    for line in _truth_lines(report["truth"]):
        echo(line)
    existing = ", ".join(sorted(name for name in CONTENT if (out / name).exists()))
    echo(f"{out}: {existing}")


def _truth_lines(truth: dict[str, Any] | None) -> list[str]:
    """What the clean labels say, for the screen."""
    if truth is None:
        return []
    parts = [
        f"{name.replace('_', ' ')} {truth[name]:{form}}"
        for name, form in (("precision", ".1%"), ("recall", ".1%"), ("average_precision", ".3f"))
        if truth[name] is not None
    ]
    if truth["suggestion_accuracy"] is not None:
        parts.append(f"suggestions right for {truth['suggestion_accuracy']:.1%} of the wrong labels found")
    lines = [f"against the clean labels: {', '.join(parts)}"] if parts else []
    return [*lines, f"wrong labels {truth['wrong_rate_before']:.2%} before, {truth['wrong_rate_after']:.2%} after"]
