"""`datatools corrupt`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import overwrite_option, print_notices, root_option
from datatools.noise import ALIASES, NOISE_TYPES
from datatools.noise.sampling import SAMPLINGS


@click.command(epilog="Example: datatools corrupt --rate 0.2 --type pair")
@click.option("--rate", required=True, type=float, metavar="R", help="Share of wrong labels, a fraction in [0, 1).")
@click.option(
    "--type",
    "noise",
    required=True,
    type=click.Choice([*NOISE_TYPES, *ALIASES]),
    help="; ".join(f"{name}: {spec.title}" for name, spec in NOISE_TYPES.items()) + ".",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Clean dataset directory.  [default: the only one under ROOT]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Directory to make.  [default: beside DATA, DATA-TYPE-RATE-seedSEED]",
)
@root_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Which noise; the same seed gives the same labels.",
)
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="exact",
    show_default=True,
    help="exact: each class gets the nearest whole number of wrong labels; bernoulli: each image draws for itself.",
)
@overwrite_option
def corrupt(
    rate: float,
    noise: str,
    data: Path | None,
    out: Path | None,
    root: Path,
    seed: int,
    sampling: str,
    overwrite: bool,
) -> None:
    """Give a clean dataset wrong labels.

    The clean ones are kept in manifest.h5. Only labels of training images change; pixels and the test
    batch stay. For one seed, the images mislabelled at a lower rate are mislabelled at a higher one too.
    """
    from datatools.corruption import corrupt as run
    from datatools.dataset import find_dataset, open_dataset
    from datatools.progress import progress_bar

    parent = (
        open_dataset(data)
        if data is not None
        else find_dataset(root, "clean", "make one with `datatools convert`, or name one with --data")
    )
    with progress_bar(f"corrupt {parent.path.name}", "images") as progress:
        made = run(
            parent,
            rate=rate,
            noise=noise,
            seed=seed,
            sampling=sampling,
            out=out,
            overwrite=overwrite,
            progress=progress,
        )
    print_notices(made.notices)
    changed = int((made.manifest.clean_labels != made.manifest.noisy_labels).sum())
    click.echo(
        f"{made.dataset.path}: {changed:,} of {len(made.manifest.ids):,} labels changed, rate "
        f"{made.manifest.realised_rate:.6g} (requested {rate:g}), {made.manifest.noise_type}, seed {seed}"
    )
