"""`datatools convert`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import click

from datatools.commands.options import no_fsync_option, overwrite_option, print_notices, root_option
from datatools.commands.printing import echo
from datatools.sources import SOURCES


@click.command(epilog="Example: datatools convert --dataset cifar10 --source ~/cifar-10-binary.tar.gz")
@click.option("--dataset", required=True, type=click.Choice(list(SOURCES)), help="Which image set.")
@click.option(
    "--source",
    metavar="PATH|URL",
    help="Archive or folder to read, or the address of a mirror's archive.  [default: looked for under ROOT/raw, then "
    "downloaded to it]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Directory to make.  [default: ROOT/NAME; for image-folder ROOT/ and the folder's name]",
)
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
@click.option(
    "--test-fraction",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    metavar="SHARE",
    help="image-folder without test/: share of each class that becomes the test split.  [default: 0.2]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=(1 << 63) - 1),
    metavar="S",
    help="image-folder without test/: which images those are.  [default: 0]",
)
@click.option(
    "--skip-bad",
    is_flag=True,
    help="image-folder: leave out what cannot be used, say so and record it in skipped.csv, instead of converting "
    "nothing.",
)
@click.option(
    "--bad-files",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="image-folder: write the list of all files that cannot be used, with reasons, there.  [default: none, the "
    "first are named on the screen]",
)
@click.option(
    "--fit",
    type=click.Choice(["crop", "pad", "stretch"]),
    help="image-folder with --size: how images that are not square become so: cut to the square in the middle, padded "
    "with black bars, or stretched.  [default: crop]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=256),
    metavar="N",
    help="Processes that decode images; the bytes do not depend on it.  [default: one for each usable core, at most "
    "8; 1 where nothing is to be decoded]",
)
@overwrite_option
@no_fsync_option
def convert(
    dataset: str,
    source: str | None,
    out: Path | None,
    root: Path,
    label_set: str | None,
    size: int | None,
    limit: int | None,
    test_fraction: float | None,
    seed: int | None,
    skip_bad: bool,
    bad_files: Path | None,
    fit: str | None,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Turn an image set into binary batches.

    Writes data_batch_*.bin and test_batch.bin, records of 4-byte id, 4-byte label (both big-endian) and uint8
    pixels plane by plane, and dataset.json, which describes them.

    What is not under ROOT/raw is downloaded to it, gone on with where an earlier download was cut, and checked.
    """
    from datatools.conversion import convert as run

    with _Bars() as bars:
        made = run(
            dataset,
            root=root,
            source=source,
            out=out,
            label_set=label_set,
            size=size,
            limit=limit,
            test_fraction=test_fraction,
            seed=seed,
            skip_bad=skip_bad,
            bad_files=bad_files,
            fit=fit,
            workers=workers,
            overwrite=overwrite,
            progress=bars.bar(f"convert {dataset}", "images"),
            download_progress=bars.bar(f"download {dataset}", "bytes"),
        )
    print_notices(made.notices)
    metadata = made.dataset.metadata
    echo(
        f"{made.dataset.path}: {metadata.num_records('train'):,} training and {metadata.num_records('test'):,} test "
        f"images of {metadata.image_shape}, {metadata.num_classes} classes"
    )


class _Bars:
    """Progress of one thing after the other; a bar appears when its thing begins, and the one before goes."""

    def __init__(self) -> None:
        self._shown = ExitStack()
        self._title = ""

    def bar(self, title: str, unit: str) -> Callable[[int, int], None]:
        from datatools.progress import progress_bar

        shown: list[Callable[[int, int], None]] = []

        def progress(done: int, total: int) -> None:
            if self._title != title:
                self._shown.close()
                self._title = title
                shown[:] = [self._shown.enter_context(progress_bar(title, unit))]
            shown[0](done, total)

        return progress

    def __enter__(self) -> _Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()
