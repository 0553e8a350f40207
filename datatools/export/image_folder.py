"""Export to a folder of PNG files, SPLIT/CLASS/ID.png, the way most image readers want it.

An image lies in the folder of its label as it stands in the record, so of the noisy one where there is noise. Beside
the splits, labels.csv names each file with its label and clean label, export.json the folder of each class.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datatools.errors import DataToolsError
from datatools.export.output import describe_export
from datatools.export.rows import Reader
from datatools.export.table import columns, lines, new_table
from datatools.files.write_errors import naming
from datatools.format.metadata import SPLITS

LABELS_FILE = "labels.csv"
MAX_NAME_BYTES = 100
MODES = {1: "L", 3: "RGB"}
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{device}{n}" for device in ("COM", "LPT") for n in range(1, 10))}
"""Names that Windows keeps for devices."""


def write_image_folder(reader: Reader, out: Path) -> tuple[str, ...]:
    """Fill the empty folder `out`. Pixels are kept exactly: PNG loses nothing.

    Raises:
        DataToolsError: the images have neither one plane (grey) nor three (red, green, blue).
    """
    metadata = reader.dataset.metadata
    if metadata.image_shape.depth not in MODES:
        raise DataToolsError(
            f"{reader.dataset.path}: images of {metadata.image_shape.depth} planes are neither grey nor RGB, so no PNG "
            "holds them; export to hdf5 or npz"
        )
    folders = folder_names(metadata.class_names)
    with naming(out / LABELS_FILE), (out / LABELS_FILE).open("w", encoding="utf-8", newline="") as file:
        table = new_table(file, reader)
        table.writerow((*columns(reader), "file"))
        for split in SPLITS:
            digits = len(str(max(0, metadata.num_records(split) - 1)))
            for rows in reader.rows(split):
                names = [
                    f"{split}/{folders[label]}/{record:0{digits}}.png"
                    for record, label in zip(rows.ids.tolist(), rows.labels.tolist(), strict=True)
                ]
                for name, image in zip(names, rows.images(), strict=True):
                    _save(out / name, image)
                cells = lines(reader, split, rows)
                table.writerows((*line, name) for line, name in zip(cells, names, strict=True))
    describe_export(out, "image-folder", reader.dataset, class_names=list(metadata.class_names), class_folders=folders)
    return _notices(reader, folders)


def _save(path: Path, image: np.ndarray) -> None:
    pixels = image.squeeze(-1) if image.shape[-1] == 1 else image
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise DataToolsError(f"{path.parent.name}/{path.name}: two records have this id; convert the dataset again")
    with naming(path):
        Image.fromarray(pixels).save(path, "PNG")


def _notices(reader: Reader, folders: Sequence[str]) -> tuple[str, ...]:
    metadata = reader.dataset.metadata
    notices = []
    if metadata.labels == "noisy":
        notices.append(f"images lie in the folders of their noisy labels; the clean ones are in {LABELS_FILE}")
    if sorted(folders) != folders:
        notices.append(
            "programs that number classes by the order of their folders will number them otherwise than the dataset; "
            "export.json has the folder of each class"
        )
    return tuple(notices)


def folder_names(class_names: Sequence[str]) -> list[str]:
    """A folder name for each class: safe on every common file system, and unique there, whatever its case.

    Letters and digits of any script, spaces and `-_.,+&'()` stay; what else there is becomes `_`. A name that is empty
    then becomes `class`, and one that is taken gets its class number.
    """
    taken: set[str] = set()
    folders = []
    for number, name in enumerate(class_names):
        folder = _safe(name)
        if _folded(folder) in taken:
            folder = f"{folder} {number}"
            while _folded(folder) in taken:
                folder += "_"
        taken.add(_folded(folder))
        folders.append(folder)
    return folders


def _safe(name: str) -> str:
    kept = re.sub(r"[^\w \-.,+&'()]", "_", unicodedata.normalize("NFC", name))
    short = kept.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    folder = short.strip(" .")  # Windows drops them at the end, a dot at the start hides the folder
    if folder.partition(".")[0].strip().upper() in RESERVED:
        folder = f"_{folder}"
    return folder or "class"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFD", name).casefold()
