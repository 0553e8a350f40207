"""`datatools corrupt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from datatools.commands.options import no_fsync_option, overwrite_option, print_notices, root_option
from datatools.commands.printing import echo
from datatools.errors import DataToolsError
from datatools.noise import ALIASES, NOISE_TYPES, noise_type
from datatools.noise.base import check_options
from datatools.noise.published import CONVENTIONS, published_type
from datatools.noise.sampling import SAMPLINGS

MAX_SHOWN_CLASSES = 12
"""Up to so many classes the realised matrix is printed."""


def _takers(option: str) -> str:
    """The types that need an option, for its help."""
    return ", ".join(name for name, spec in NOISE_TYPES.items() if option in spec.needs)


@click.command(epilog="Example: datatools corrupt --rate 0.2 --type pair")
@click.option(
    "--rate",
    type=float,
    metavar="R",
    help="Share of wrong labels (open-set: of replaced images), a fraction in [0, 1).  "
    f"[default: none; needed by all types but {', '.join(n for n, s in NOISE_TYPES.items() if 'rate' not in s.needs)}]",
)
@click.option(
    "--type",
    "noise",
    required=True,
    type=click.Choice([*NOISE_TYPES, *ALIASES]),
    help="; ".join(f"{name}: {spec.title}" for name, spec in NOISE_TYPES.items()) + ".",
)
@click.option(
    "--as",
    "published",
    type=click.Choice(list(CONVENTIONS)),
    help="Draw as this published code does, with its meaning of --rate: "
    + ". ".join(f"{name}: {convention.title}" for name, convention in CONVENTIONS.items())
    + ".  [default: as this package draws]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Clean dataset directory.  [default: the only one under ROOT]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Directory to make.  [default: beside DATA, DATA-TYPE-RATE-seedSEED; with --as DATA-TYPE-RATE-AS-seedSEED, "
    "of co-teaching without a seed; DATA-matrix-FILE-seedSEED; DATA-human-COLUMN; DATA-file-FILE]",
)
@root_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Which noise; the same seed gives the same labels. Not for human and file, nor --as co-teaching, whose code "
    "has a seed of its own.  [default: 0; --as dividemix: 123, its code's]",
)
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    help="exact: each class gets the nearest whole number of wrong labels; bernoulli: each image draws for itself. "
    "Not with --as.  [default: exact; instance: bernoulli; human, file: not drawn]",
)
@click.option(
    "--matrix",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV or .npy, K x K, row i the probabilities of what class i becomes.  "
    f"[default: none; needed by {_takers('matrix')}]",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="human: label file of CIFAR-10N or CIFAR-100N, .pt or .npy; its clean labels must be those of DATA. file: a "
    "label for each training image: .npy, a JSON list, one a line, a CSV with a header (label, and id, clean_label, "
    "class_name or path by which the order is checked), or what `export --to npy` made.  "
    f"[default: none; needed by {_takers('labels')}]",
)
@click.option(
    "--column",
    metavar="NAME",
    help="Which of its label columns, such as aggre_label, random_label1, worse_label, noisy_label.  "
    f"[default: none; needed by {_takers('column')}]",
)
@click.option(
    "--donor",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"Converted dataset whose training images are put in.  [default: none; needed by {_takers('donor')}]",
)
@overwrite_option
@no_fsync_option
def corrupt(
    noise: str, published: str | None, data: Path | None, out: Path | None, root: Path, overwrite: bool, **options: Any
) -> None:
    """Give a clean dataset wrong labels.

    The clean ones are kept in manifest.h5. Only labels of training images change (open-set: only some of the images);
    everything else and the test batch stay. For one seed, the images mislabelled at a lower rate are mislabelled at a
    higher one too (with --as, only where the code has it so).
    """
    name, spec = noise_type(noise)
    called = name if published is None else f"{name} --as {published}"
    needed = {option: value for option, value in options.items() if option not in ("seed", "sampling")}
    try:
        if published is not None:
            spec = published_type(published, name)
        check_options(called, spec, needed, options["sampling"], options["seed"])
    except DataToolsError as error:
        raise click.UsageError(str(error)) from None
    from datatools.corruption import NOTABLE_GAP
    from datatools.corruption import corrupt as run
    from datatools.format.dataset import find_dataset, open_dataset
    from datatools.progress import progress_bar

    parent = (
        open_dataset(data)
        if data is not None
        else find_dataset(root, "clean", "make one with `datatools convert`, or name one with --data")
    )
    with progress_bar(f"corrupt {parent.path.name}", "images") as progress:
        made = run(parent, noise=noise, published=published, out=out, overwrite=overwrite, progress=progress, **options)
    print_notices(made.notices)
    manifest = made.manifest
    what = "labels changed" if manifest.replaced_by is None else "images replaced"
    requested = ""
    if published is not None:
        requested = f" ({name} {manifest.rate:g} in {CONVENTIONS[published].method}'s words)"
    elif manifest.rate is not None:
        as_counted = abs(manifest.rate - manifest.realised_rate) >= NOTABLE_GAP
        why = f", {spec.convention.partition(':')[0]}" if as_counted else ""
        requested = f" (requested {manifest.rate:g}{why})"
    seed = "" if manifest.seed is None else f", seed {manifest.seed}"
    echo(
        f"{made.dataset.path}: {int(manifest.is_changed.sum()):,} of {len(manifest.ids):,} {what}, rate "
        f"{manifest.realised_rate:.6g}{requested}, {manifest.noise_type}{seed}"
    )
    if published is not None:
        _echo_matrix(manifest.realised_matrix, made.dataset.metadata.class_names)


def _echo_matrix(matrix: np.ndarray, names: tuple[str, ...]) -> None:
    """The realised matrix of a few classes in percent; where there are more, what is off its diagonal."""
    if len(names) > MAX_SHOWN_CLASSES:
        changed = 100 * (1 - matrix.diagonal())
        echo(
            f"realised matrix: {changed.min():.1f} to {changed.max():.1f} % of a class's labels changed; "
            "manifest.h5 has the matrix, `datatools plot` draws it"
        )
        return
    echo("realised matrix in %, a row for each clean class, columns in the same order:")
    width = min(16, max(map(len, names)))
    for name, row in zip(names, matrix, strict=True):
        echo(f"  {name[:width]:{width}}" + "".join(f"{100 * share:6.1f}" for share in row))
