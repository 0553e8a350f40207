"""A source's examples -> a dataset directory, streaming and in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.building import check_free, dataset_directory
from datatools.dataset import SPLITS, BatchFile, Dataset, Metadata, open_dataset, write_metadata
from datatools.errors import DataToolsError
from datatools.records import RecordWriter
from datatools.sources import open_source, source_spec
from datatools.sources.base import Request, Source

Progress = Callable[[int, int], None]
"""Called with (records done, records in all) as work goes on."""


def no_progress(done: int, total: int) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Converted:
    """What `convert` made, and what the user should know about it, a line each."""

    dataset: Dataset
    notices: tuple[str, ...]


def default_name(dataset: str, label_set: str | None, size: int | None, limit: int | None) -> str:
    """The directory's name where none is given: the parts that are not the default are in it."""
    parts = [dataset]
    if label_set is not None and label_set != (source_spec(dataset).label_sets or (None,))[0]:
        parts.append(label_set)
    if size is not None:
        parts.append(f"{size}x{size}")
    if limit is not None:
        parts.append(f"first{limit}")
    return "-".join(parts)


def convert(
    dataset: str,
    *,
    root: Path = Path("data"),
    source: Path | None = None,
    out: Path | None = None,
    label_set: str | None = None,
    size: int | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Converted:
    """Turn an image set into a dataset directory of binary batches.

    Args:
        dataset: a name in `sources.SOURCES`.
        root: where datasets live; the source is looked for under root/raw where `source` is None.
        out: the directory to make; root/<name> where None.
        label_set, size: as in `sources.base.Request`.
        limit: keep only the first so many records of each split.

    Raises:
        DataToolsError: the source is missing or broken, or `out` is taken. Nothing is left behind then.
    """
    if limit is not None and limit < 1:
        raise DataToolsError(f"limit {limit}: at least 1 record of each split is needed")
    spec = source_spec(dataset)
    out = out or root / default_name(dataset, label_set, size, limit)
    check_free(out, overwrite)
    found = open_source(dataset, Request(source, root / "raw", label_set, size))
    notices = [*found.notices, *_incomplete(dataset, found)]
    wanted = {split: min(found.splits[split].records, limit or 2**32) for split in SPLITS}
    for split, records in wanted.items():
        if records == 0:
            raise DataToolsError(f"{found.location}: no {split} image in it; fetch the set again")
    with dataset_directory(out, overwrite) as folder:
        write = _Splits(found, folder, sum(wanted.values()), progress)
        splits = {
            "train": write.split("train", wanted["train"], spec.train_files),
            "test": write.split("test", wanted["test"], 1),
        }
        metadata = Metadata(
            name=out.name,
            image_shape=found.image_shape,
            class_names=found.class_names,
            splits=splits,
            source={"name": dataset, "location": found.location, "sha256": found.sha256},
            labels=spec.labels,
            limit=limit,
            resized=None if size is None else {"side": size, "filter": "lanczos"},
            label_set=label_set or (spec.label_sets[0] if spec.label_sets else None),
        )
        write_metadata(folder, metadata)
    return Converted(open_dataset(out), tuple(notices))


def _incomplete(dataset: str, found: Source) -> list[str]:
    official = source_spec(dataset).official
    counts = tuple(found.splits[split].records for split in SPLITS)
    if official is None or counts == official:
        return []
    return [
        f"{found.location}: {counts[0]:,} training and {counts[1]:,} test images, the official set has "
        f"{official[0]:,} and {official[1]:,}: converting what is there"
    ]


class _Splits:
    """Writes the splits of one source into one folder, and reports progress over all of them."""

    def __init__(self, source: Source, folder: Path, total: int, progress: Progress) -> None:
        self.source, self.folder, self.total, self.progress = source, folder, total, progress
        self.done = 0

    def split(self, split: str, records: int, num_files: int) -> tuple[BatchFile, ...]:
        examples = _exactly(self.source, split, records)
        num_files = min(num_files, records)
        files = []
        next_id = 0
        rest: tuple[np.ndarray, np.ndarray] | None = None
        for number in range(num_files):
            # as even as can be: sizes differ by at most one
            end = records * (number + 1) // num_files
            name = "test_batch.bin" if split == "test" else f"data_batch_{number + 1}.bin"
            with RecordWriter(self.folder / name, self.source.image_shape) as writer:
                while next_id < end:
                    labels, pixels = rest if rest is not None else next(examples)
                    count = min(len(labels), end - next_id)
                    writer.write(np.arange(next_id, next_id + count), labels[:count], pixels[:count])
                    rest = (labels[count:], pixels[count:]) if count < len(labels) else None
                    next_id += count
                    self.done += count
                    self.progress(self.done, self.total)
            files.append(BatchFile(name, writer.records, writer.sha256))
        next(examples, None)  # lets the source look at what follows its last image: checksums, bytes too many
        return tuple(files)


def _exactly(source: Source, split: str, records: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels and pixels of the first `records` examples of a split."""
    left = records
    whole = records == source.splits[split].records
    for chunk in source.splits[split].chunks():
        if whole and len(chunk.labels) > left:
            raise DataToolsError(f"{source.location}: more {split} images than it promised; fetch the set again")
        labels = chunk.labels[:left]
        yield labels, chunk.decode()[:left]
        left -= len(labels)
        if not left and not whole:
            return
    if not left:
        return
    raise DataToolsError(f"{source.location}: its {split} images end {left:,} early; fetch the set again")
