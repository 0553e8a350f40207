"""The formats that `datatools export` writes.

Adding one: a module with a function `(Reader, Path) -> notices` that fills the empty file or folder at the path, and a
line in EXPORTS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from datatools.errors import DataToolsError

if TYPE_CHECKING:
    from datatools.export.rows import Reader
    from datatools.format.dataset import Dataset
    from datatools.progress import Progress


@dataclass(frozen=True)
class ExportSpec:
    """A line of the registry.

    Attributes:
        writer: "module:function"; imported when the format is used, so that `--help` stays fast.
        suffixes: how the name of the file may end; empty where a folder is made.
        has_table: whether it is or holds a CSV table that a person may open in a spreadsheet.
    """

    title: str
    writer: str
    suffixes: tuple[str, ...] = ()
    has_table: bool = False


EXPORTS: dict[str, ExportSpec] = {
    "hdf5": ExportSpec(
        "one HDF5 file, images NHWC uint8 in chunks, labels, ids and clean labels, train and test",
        "datatools.export.hdf5:write_hdf5",
        (".h5", ".hdf5"),
    ),
    "npz": ExportSpec(
        "one compressed NumPy archive of the same arrays",
        "datatools.export.npz:write_npz",
        (".npz",),
    ),
    "csv": ExportSpec(
        "a table of ids, labels, clean labels and class names, no images",
        "datatools.export.table:write_csv",
        (".csv",),
        has_table=True,
    ),
    "image-folder": ExportSpec(
        "a folder of PNG files, SPLIT/CLASS/ID.png",
        "datatools.export.image_folder:write_image_folder",
        has_table=True,
    ),
    "noise-json": ExportSpec(
        "the training labels alone, a JSON list in the order of the ids, as DivideMix's code loads it",
        "datatools.export.labels:write_noise_json",
        (".json",),
    ),
    "npy": ExportSpec(
        "a folder of the training labels alone: labels.npy, ids.npy, clean_labels.npy, int64",
        "datatools.export.labels:write_npy",
    ),
    "croissant": ExportSpec(
        "a folder with the dataset, a table of its labels and croissant.json, which describes both for other programs",
        "datatools.export.croissant:write_croissant",
    ),
}


def export_dataset(
    dataset: Dataset,
    to: str,
    out: Path,
    *,
    overwrite: bool = False,
    safe_csv: bool = False,
    progress: Progress = lambda done, total: None,
) -> tuple[str, ...]:
    """Write a dataset to `out` in another format; the same dataset gives the same bytes.

    Args:
        to: a name in EXPORTS.
        out: the file or folder to make. It appears whole or not at all.
        overwrite: replace a file of that kind, or a folder that an earlier export made.
        safe_csv: in tables, put an apostrophe before class names that a spreadsheet would take for formulas.

    Returns:
        What the user should know about it, a line each.

    Raises:
        DataToolsError: the format is not known, `out` is taken or badly named, or the dataset is broken or not of a
            kind that the format can hold.
    """
    from datatools.export.output import EXPORT_FOLDER
    from datatools.export.rows import Reader
    from datatools.files.output import check_file, check_folder, new_file, new_folder
    from datatools.files.write_errors import naming
    from datatools.format.building import check_apart

    if to not in EXPORTS:
        raise DataToolsError(f"export format '{to}': not known; known are {', '.join(EXPORTS)}")
    spec = EXPORTS[to]
    if safe_csv and not spec.has_table:
        tables = [name for name, other in EXPORTS.items() if other.has_table]
        raise DataToolsError(f"--safe-csv: {to} has no CSV table; leave it out, or export to {' or '.join(tables)}")
    check_apart(out, dataset)
    if spec.suffixes:
        check_file(out, spec.suffixes, overwrite)
    else:
        check_folder(out, overwrite, EXPORT_FOLDER)
    reader = Reader(dataset, progress, safe_csv)
    module, function = spec.writer.split(":")
    write = cast("Callable[[Reader, Path], tuple[str, ...]]", getattr(import_module(module), function))
    place = new_file(out, spec.suffixes, overwrite) if spec.suffixes else new_folder(out, overwrite, EXPORT_FOLDER)
    with place as partial, naming(partial):
        return write(reader, partial)
