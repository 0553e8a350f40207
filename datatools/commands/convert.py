"""`datatools convert`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import overwrite_option, print_notices, root_option
from datatools.sources import SOURCES


@click.command(epilog="Example: datatools convert --dataset cifar10 --source ~/cifar-10-binary.tar.gz")
@click.option("--dataset", required=True, type=click.Choice(list(SOURCES)), help="Which image set.")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="Archive or folder to read.  [default: looked for under ROOT/raw]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Directory to make.  [default: ROOT/NAME]")
@root_option
@click.option(
    "--labels",
    "label_set",
    type=click.Choice(sorted({name for spec in SOURCES.values() for name in spec.label_sets})),
    help="Which labels, where a set has several.  [default: fine]",
)
@click.option(
    "--size",
    type=click.IntRange(min=8, max=1024),
    metavar="PIXELS",
    help="Resample images to PIXELS x PIXELS (Lanczos), where a set allows it.  [default: the set's own]",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the first N images of each split.  [default: all]",
)
@overwrite_option
def convert(
    dataset: str,
    source: Path | None,
    out: Path | None,
    root: Path,
    label_set: str | None,
    size: int | None,
    limit: int | None,
    overwrite: bool,
) -> None:
    """Turn an image set into binary batches.

    Writes data_batch_*.bin and test_batch.bin, records of 4-byte id, 4-byte label (both big-endian) and uint8
    pixels plane by plane, and dataset.json, which describes them.
    """
    from datatools.conversion import convert as run
    from datatools.progress import progress_bar

    with progress_bar(f"convert {dataset}", "images") as progress:
        made = run(
            dataset,
            root=root,
            source=source,
            out=out,
            label_set=label_set,
            size=size,
            limit=limit,
            overwrite=overwrite,
            progress=progress,
        )
    print_notices(made.notices)
    metadata = made.dataset.metadata
    click.echo(
        f"{made.dataset.path}: {metadata.num_records('train'):,} training and {metadata.num_records('test'):,} test "
        f"images of {metadata.image_shape}, {metadata.num_classes} classes"
    )
