"""Files that cannot be used: said all at once, and written down."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from datatools.decoding.chunks import BadFile
from datatools.errors import DataToolsError, listed
from datatools.files.output import new_file
from datatools.files.write_errors import naming
from datatools.printable import formula_safe

SHOWN = 10
"""So many files that were left out have a line each."""
COLUMNS = ("path", "reason")


class BadFilesError(DataToolsError):
    """Files that cannot be used, `bad`, are no reason to stop where the user says that they may be left out."""

    def __init__(self, message: str, bad: Sequence[BadFile]) -> None:
        super().__init__(message)
        self.bad = bad


def refusal(location: str, bad: Sequence[BadFile], files: int) -> BadFilesError:
    """The one line for `bad` ones of so many files: how many of each kind, the first of them, and what can be done."""
    bad = sorted(bad)
    kinds = Counter(file.reason.partition(" (")[0] for file in bad)
    counts = f" ({listed([f'{count:,} {kind}' for kind, count in kinds.most_common()])})" if len(kinds) > 1 else ""
    return BadFilesError(
        f"{location}: {len(bad):,} of {files:,} files cannot be used{counts}, nothing is written: "
        f"{listed([f'{file.path}: {file.reason}' for file in bad], 3)}; repair or convert them, or pass --skip-bad to "
        "leave them out; --bad-files FILE.csv lists all of them",
        bad,
    )


def notices(location: str, bad: Sequence[BadFile], skipped_csv: str) -> list[str]:
    """A line for each file that was left out, cut after SHOWN with the count of all."""
    lines = [f"left out: {location}/{file.path}: {file.reason}" for file in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(f"left out: {len(bad):,} files in all; {skipped_csv} lists them")
    return lines


def write_table(path: Path, bad: Sequence[BadFile]) -> None:
    """Write them as CSV with columns path and reason to an empty or a new file, as they are."""
    with naming(path), path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(bad)


def write_report(out: Path, bad: Sequence[BadFile], overwrite: bool) -> None:
    """The same for a spreadsheet: an apostrophe before what it would take for a formula.

    Raises:
        DataToolsError: `out` is no .csv, or stands there and `overwrite` is not set.
    """
    with new_file(out, (".csv",), overwrite) as partial:
        write_table(partial, [BadFile(formula_safe(file.path), formula_safe(file.reason)) for file in bad])
