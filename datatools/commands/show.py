"""`datatools show`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import directory_argument
from datatools.commands.printing import echo
from datatools.format.metadata import SPLITS


@click.command(
    epilog="Example: datatools show data/cifar10-pair-0.2-seed0 --out flipped.png --only flipped --class cat"
)
@directory_argument
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Picture to make, .png.")
@click.option(
    "--only",
    type=click.Choice(["flipped", "clean"]),
    help="Only images whose label was changed, or only the others.  [default: both]",
)
@click.option(
    "--class",
    "class_name",
    metavar="NAME|NUMBER",
    help="Only images of this class: by the clean label where it is known.  [default: all]",
)
@click.option(
    "--split", type=click.Choice(SPLITS), default="train", show_default=True, help="Which images to choose from."
)
@click.option(
    "--count",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many images, where there are so many.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Which images; the same seed shows the same ones.",
)
@click.option(
    "--scale",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Enlarge each pixel to N x N.  [default: as makes about 96 pixels a side]",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that stands there.")
def show(
    directory: Path,
    out: Path,
    only: str | None,
    class_name: str | None,
    split: str,
    count: int,
    seed: int,
    scale: int | None,
    overwrite: bool,
) -> None:
    """Draw a contact sheet of images with their labels.

    Under each image stand its id and its label; where noise changed the label, the clean one and an arrow to the noisy
    one, with a frame and a cross around the image.
    """
    from datatools.contact_sheet import Wanted, draw_sheet
    from datatools.format.dataset import open_dataset

    wanted = Wanted(split, only, class_name, count, seed)
    shown = draw_sheet(open_dataset(directory), out, wanted, scale, overwrite)
    echo(f"{out}: {shown} images")
