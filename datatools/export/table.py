"""Export of the labels as a CSV table: UTF-8, a header, one line a record, first the training records."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from datatools.export.rows import Reader, Rows
from datatools.format.metadata import SPLITS

COLUMNS = ("id", "split", "label", "class_name")
CLEAN_COLUMNS = ("clean_label", "clean_class_name")
REPLACED_COLUMN = "replaced_by"


def new_table(file: TextIO, reader: Reader) -> Any:
    """What writes rows into a file that was opened with newline="".

    Before Python 3.13 csv does not quote a carriage return, at which others see the end of a row.
    """
    breaks = any("\r" in name for name in reader.dataset.metadata.class_names)
    return csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if breaks else csv.QUOTE_MINIMAL)


def columns(reader: Reader) -> tuple[str, ...]:
    """The header: the clean labels are there where they are known, `replaced_by` for open-set noise."""
    more = CLEAN_COLUMNS if "clean_labels" in reader.columns else ()
    return (*COLUMNS, *more, *([REPLACED_COLUMN] if "replaced_by" in reader.columns else []))


def lines(reader: Reader, split: str, rows: Rows) -> Iterator[tuple[Any, ...]]:
    """The cells of each record of `rows`, as `columns` names them."""
    names = reader.names_in_cells
    for number, (record, label) in enumerate(zip(rows.ids.tolist(), rows.labels.tolist(), strict=True)):
        line: tuple[Any, ...] = (record, split, label, names[label])
        if rows.clean_labels is not None:
            clean = int(rows.clean_labels[number])
            line = (*line, clean, names[clean])
        yield line if rows.replaced_by is None else (*line, int(rows.replaced_by[number]))


def write_csv(reader: Reader, out: Path) -> tuple[str, ...]:
    """Write the table into the empty file `out`."""
    with out.open("w", encoding="utf-8", newline="") as file:
        table = new_table(file, reader)
        table.writerow(columns(reader))
        for split in SPLITS:
            for rows in reader.rows(split):
                table.writerows(lines(reader, split, rows))
    return ()
