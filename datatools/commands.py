"""The commands of `datatools`: parse, call, print. What they need is imported when they are called."""

from __future__ import annotations

import json
from pathlib import Path

import click

from datatools.errors import DataToolsError, listed
from datatools.noise import ALIASES, NOISE_TYPES
from datatools.noise.sampling import SAMPLINGS
from datatools.sources import SOURCES

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


@click.command(epilog="Example: datatools info data/cifar10-pair-0.2-seed0 --json")
@directory_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of a table.")
def info(directory: Path, as_json: bool) -> None:
    """Say what a dataset directory holds."""
    from datatools.dataset import open_dataset
    from datatools.info import describe, summary

    facts = describe(open_dataset(directory))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for term, value in summary(facts):
        click.echo(f"{term:<11} {value}")


@click.command(epilog="Example: datatools verify data/cifar10-pair-0.2-seed0")
@directory_argument
def verify(directory: Path) -> None:
    """Re-read a dataset and check everything it claims.

    A line a check: checksums, record sizes, ids, labels, the manifest against the batches, the realised rate
    and matrix, and, where the clean parent lies beside it, its labels and its test split. Exit code 1 if a check fails.
    """
    from datatools.dataset import open_dataset
    from datatools.progress import progress_bar
    from datatools.verification import verify as run

    failed = []
    with progress_bar(f"verify {directory.name}", "bytes") as progress:
        for check in run(open_dataset(directory), progress):
            mark = {True: "ok     ", False: "FAILED ", None: "skipped"}[check.passed]
            click.echo(f"{mark} {check.name}: {check.detail}")
            if check.passed is False:
                failed.append(check.name)
    if failed:
        raise DataToolsError(f"{directory}: {listed(failed)} failed; make the dataset anew (--overwrite)")
