"""`datatools verify`."""

from __future__ import annotations

from pathlib import Path

import click

from datatools.commands.options import directory_argument
from datatools.commands.printing import echo
from datatools.errors import DataToolsError, listed


@click.command(epilog="Example: datatools verify data/cifar10-pair-0.2-seed0")
@directory_argument
def verify(directory: Path) -> None:
    """Re-read a dataset and check everything it claims.

    A line a check: checksums, record sizes, ids, labels, the manifest against the batches, the realised rate
    and matrix, and, where the clean parent lies beside it, its labels and its test split. Exit code 1 if a check fails.
    """
    from datatools.format.dataset import open_dataset
    from datatools.progress import progress_bar
    from datatools.verification import verify as run

    failed = []
    with progress_bar(f"verify {directory.name}", "bytes") as progress:
        for check in run(open_dataset(directory), progress):
            mark = {True: "ok     ", False: "FAILED ", None: "skipped"}[check.passed]
            echo(f"{mark} {check.name}: {check.detail}")
            if check.passed is False:
                failed.append(check.name)
    if failed:
        raise DataToolsError(f"{directory}: {listed(failed)} failed; make the dataset anew (--overwrite)")
