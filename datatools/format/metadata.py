"""dataset.json: what a dataset directory says of itself.

It is untrusted on the way in: every field is checked before anything is made of it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from datatools.errors import DataToolsError
from datatools.files.json_text import parse_object
from datatools.files.write_errors import naming
from datatools.format.records import ImageShape
from datatools.names import plain_name

FORMAT_VERSION = 1
PACKAGE = "selfie-noisy-labels"
DATASET_FILE = "dataset.json"
MANIFEST_FILE = "manifest.h5"
FILES_CSV = "files.csv"
SKIPPED_CSV = "skipped.csv"
SPLITS = ("train", "test")
LABEL_STATES = ("clean", "noisy", "unknown")
MAX_CLASSES = 1 << 20
MAX_SIDE = 1 << 16
MAX_IMAGE_BYTES = 1 << 30


@dataclass(frozen=True)
class BatchFile:
    """One batch file of a split: its name inside the directory, its number of records, its SHA-256."""

    name: str
    records: int
    sha256: str


@dataclass(frozen=True)
class Metadata:
    """What dataset.json says.

    Attributes:
        labels: "clean" (a benchmark taken as clean), "noisy" (made by corrupt) or "unknown".
        splits: the batch files of "train" and of "test", in record order.
        source: name, location and sha256 (or None) of what the dataset was converted from.
        noise: None, or type, rate, realised_rate, sampling, convention, seed and parent {name, sha256}.
        limit: None, or how many records of each split were kept when it was converted.
        label_set: which of several label sets of the source the labels are ("fine", "coarse"), or None.
        resized: None, or side, filter and, of an image folder, fit of the resampling when it was converted.
        decoded: None, or of how many images of a folder what was done, by keys of `decoding.pixels.REMARKS`.
        split_by: None, or fraction and seed by which `convert` drew the test split.
        relabelled: None, or what `trainer relabel` changed: the run it stands on, and how many labels.
        reviewed: None, or what `trainer apply` changed: the audit, and how many labels a person decided on.
        files_csv: None, or the SHA-256 of files.csv, which names the file behind each id (`format.source_files`).
        skipped: None, or how many files of a folder were left out, and the SHA-256 of skipped.csv, which names them.
    """

    name: str
    image_shape: ImageShape
    class_names: tuple[str, ...]
    splits: dict[str, tuple[BatchFile, ...]]
    source: dict[str, Any]
    labels: str
    noise: dict[str, Any] | None = None
    limit: int | None = None
    label_set: str | None = None
    resized: dict[str, Any] | None = None
    split_by: dict[str, Any] | None = None
    files_csv: str | None = None
    skipped: dict[str, Any] | None = None
    decoded: dict[str, int] | None = None
    relabelled: dict[str, Any] | None = None
    reviewed: dict[str, Any] | None = None
    created_by: dict[str, str] = dataclasses.field(default_factory=lambda: package_version())

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def num_records(self, split: str) -> int:
        return sum(file.records for file in self.splits[split])

    def to_json(self) -> str:
        """The text of dataset.json; the same metadata gives the same bytes."""
        keys = ("decoded", "split_by", "files_csv", "skipped", "relabelled", "reviewed")
        optional = {key: getattr(self, key) for key in keys}
        return json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "name": self.name,
                "image_shape": self.image_shape._asdict(),
                "num_classes": self.num_classes,
                "class_names": list(self.class_names),
                "splits": {
                    split: {
                        "records": self.num_records(split),
                        "files": [dataclasses.asdict(file) for file in files],
                    }
                    for split, files in self.splits.items()
                },
                "source": self.source,
                "limit": self.limit,
                "label_set": self.label_set,
                "resized": self.resized,
                **{key: value for key, value in optional.items() if value is not None},
                "labels": self.labels,
                "noise": self.noise,
                "created_by": self.created_by,
            },
            indent=2,
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Metadata:
        """Parse and check dataset.json.

        Raises:
            ValueError: a field is missing, of the wrong type or out of range; the text says which.
        """
        return _Fields(parse_object(text), "").metadata()


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Write dataset.json into `folder`.

    Raises:
        DataToolsError: nobody could read it: a name is no UTF-8 text, there are too many classes, ….
    """
    text = metadata.to_json()
    try:
        data = text.encode()
        Metadata.from_json(text)
    except UnicodeEncodeError:
        raise DataToolsError(
            f"{folder.parent}: a name or path with bytes that are no UTF-8 text cannot be written to {DATASET_FILE}; "
            "rename it"
        ) from None
    except ValueError as error:
        raise DataToolsError(
            f"{folder.parent}: its {DATASET_FILE} could not be read again: {error}; rename or remove what that names"
        ) from None
    with naming(folder / DATASET_FILE):
        (folder / DATASET_FILE).write_bytes(data)


def package_version() -> dict[str, str]:
    """Name and version of this package, as dataset.json records it."""
    return {"package": PACKAGE, "version": _version()}


@functools.cache
def _version() -> str:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"


class _Fields:
    """Typed look-up in a parsed JSON object; every complaint names the field."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def get(self, key: str, kind: type | tuple[type, ...], optional: bool = False) -> Any:
        name = f"{self.where}{key}"
        value = self.values.get(key)
        if value is None and optional:
            return None
        kinds = kind if isinstance(kind, tuple) else (kind,)
        # bool is an int to Python, not to us
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            actual = "missing" if key not in self.values else f"{value!r:.60}"
            raise ValueError(f"'{name}' should be {' or '.join(k.__name__ for k in kinds)}, is {actual}")
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        value = self.get(key, int)
        if not low <= value <= high:
            raise ValueError(f"'{self.where}{key}' should be in {low}..{high}, is {value!r:.60}")
        return int(value)

    def within(self, key: str, options: tuple[str, ...]) -> str:
        value = self.get(key, str)
        if value not in options:
            raise ValueError(f"'{self.where}{key}' should be one of {', '.join(options)}, is {value!r:.60}")
        return str(value)

    def plain(self, key: str) -> str:
        """A name that becomes part of a path: that of a downloaded dataset.json must not lead outside its place."""
        return plain_name(self.get(key, str), f"'{self.where}{key}'", ValueError)

    def child(self, key: str) -> _Fields:
        return _Fields(self.get(key, dict), f"{self.where}{key}.")

    def batch_file(self) -> BatchFile:
        return BatchFile(self.plain("name"), self.whole("records", 1, 2**32), self.digest("sha256"))

    def digest(self, key: str) -> str:
        value = self.get(key, str)
        if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise ValueError(f"'{self.where}{key}' should be 64 hexadecimal digits, is {value!r:.80}")
        return str(value)

    def split(self) -> tuple[BatchFile, ...]:
        entries = self.get("files", list)
        files = []
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise ValueError(f"'{self.where}files[{number}]' should be an object, is {entry!r:.60}")
            files.append(_Fields(entry, f"{self.where}files[{number}].").batch_file())
        if len({file.name for file in files}) != len(files):
            raise ValueError(f"'{self.where}files' names a file twice")
        total = self.whole("records", 0, 2**32)
        if total != sum(file.records for file in files):
            raise ValueError(f"'{self.where}records' is {total}, its files have {sum(f.records for f in files)}")
        return tuple(files)

    def skipped(self) -> dict[str, Any] | None:
        if self.values.get("skipped") is None:
            return None
        skipped = self.child("skipped")
        skipped.whole("files", 1, 2**63)
        skipped.digest("sha256")
        return skipped.values

    def counts(self, key: str) -> dict[str, int] | None:
        values = self.get(key, dict, optional=True)
        return None if values is None else {name: self.child(key).whole(name, 0, 2**32) for name in values}

    def noise(self) -> dict[str, Any]:
        self.get("type", str)
        for key in ("rate", "realised_rate"):
            value = self.get(key, (int, float), optional=key == "rate")
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"'{self.where}{key}' should be in 0..1, is {value!r:.60}")
        for key in ("sampling", "convention"):
            self.get(key, str, optional=True)
        self.get("seed", int, optional=True)
        parent = self.child("parent")
        parent.plain("name")
        parent.get("sha256", str)
        if isinstance(self.values.get("donor"), dict):
            self.child("donor").plain("name")
        return {**dict.fromkeys(("rate", "sampling", "convention", "seed")), **self.values}

    def metadata(self) -> Metadata:
        version = self.whole("format_version", 1, 2**31)
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version {version} is not {FORMAT_VERSION}, the one this version reads")
        shape = self.child("image_shape")
        names = self.get("class_names", list)
        if not all(isinstance(name, str) for name in names):
            raise ValueError("'class_names' should be strings")
        if self.whole("num_classes", 1, MAX_CLASSES) != len(names):
            raise ValueError(f"'num_classes' is {self.values['num_classes']}, 'class_names' has {len(names)}")
        splits = self.child("splits")
        labels = self.within("labels", LABEL_STATES)
        noise = self.get("noise", dict, optional=True)
        if (noise is not None) != (labels == "noisy"):
            raise ValueError("'noise' should be there exactly when 'labels' is noisy")
        limit = self.get("limit", int, optional=True)
        image_shape = ImageShape(*(shape.whole(side, 1, MAX_SIDE) for side in ImageShape._fields))
        if math.prod(image_shape) > MAX_IMAGE_BYTES:
            raise ValueError(f"'image_shape' {image_shape} is larger than {MAX_IMAGE_BYTES:,} bytes")
        files = {split: splits.child(split).split() for split in SPLITS}
        names_of_files = [file.name for split in SPLITS for file in files[split]] + [
            DATASET_FILE,
            MANIFEST_FILE,
            FILES_CSV,
            SKIPPED_CSV,
        ]
        if len(set(names_of_files)) != len(names_of_files):
            raise ValueError("'splits' names a file twice, or one that is not a batch file")
        return Metadata(
            name=self.plain("name"),
            image_shape=image_shape,
            class_names=tuple(names),
            splits=files,
            source=self.get("source", dict),
            labels=labels,
            noise=None if noise is None else self.child("noise").noise(),
            limit=limit,
            label_set=self.get("label_set", str, optional=True),
            resized=self.get("resized", dict, optional=True),
            split_by=self.get("split_by", dict, optional=True),
            files_csv=None if self.values.get("files_csv") is None else self.digest("files_csv"),
            skipped=self.skipped(),
            decoded=self.counts("decoded"),
            relabelled=self.get("relabelled", dict, optional=True),
            reviewed=self.get("reviewed", dict, optional=True),
            created_by=self.get("created_by", dict),
        )
