"""A source's examples -> a dataset directory, streaming and in order."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from datatools.decoding.workers import Decoders, default_workers, start_server
from datatools.errors import DataToolsError, listed
from datatools.files.addresses import is_url
from datatools.files.write_errors import naming
from datatools.format.building import check_free, dataset_directory, dataset_name
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import FILES_CSV, SPLITS, BatchFile, Metadata, write_metadata
from datatools.format.records import RecordWriter, file_sha256
from datatools.processors import usable_processors
from datatools.progress import Progress, no_progress
from datatools.sources import open_source, source_spec
from datatools.sources.base import Request, Source
from datatools.sources.examples import Examples, Piece

MAX_WORKERS = 256


@dataclass(frozen=True)
class Converted:
    """What `convert` made, and what the user should know about it, a line each."""

    dataset: Dataset
    notices: tuple[str, ...]


def default_name(
    dataset: str,
    label_set: str | None,
    size: int | None,
    limit: int | None,
    *,
    source: Path | str | None = None,
    test_fraction: float | None = None,
    seed: int | None = None,
) -> str:
    """The directory's name where none is given: the parts that are not the default are in it.

    An image folder's dataset has the folder's name.
    """
    named_by_folder = source_spec(dataset).own_images and source is not None
    parts = [Path(source or "").absolute().name or dataset if named_by_folder else dataset]
    if label_set is not None and label_set != (source_spec(dataset).label_sets or (None,))[0]:
        parts.append(label_set)
    if size is not None:
        parts.append(f"{size}x{size}")
    if test_fraction is not None:
        parts.append(f"test{float(test_fraction)!r}")
    if seed:
        parts.append(f"seed{seed}")
    if limit is not None:
        parts.append(f"first{limit}")
    return "-".join(parts)


def convert(
    dataset: str,
    *,
    root: Path = Path("data"),
    source: Path | str | None = None,
    out: Path | None = None,
    label_set: str | None = None,
    size: int | None = None,
    limit: int | None = None,
    test_fraction: float | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    workers: int | None = 1,
    overwrite: bool = False,
    progress: Progress = no_progress,
    download_progress: Progress = no_progress,
) -> Converted:
    """Turn an image set into a dataset directory of binary batches.

    Args:
        dataset: a name in `sources.SOURCES`.
        root: where datasets live; where `source` is None the source is looked for under root/raw, and downloaded to it.
        source: a folder or archive, or the address of an archive.
        out: the directory to make; root/<name> where None.
        label_set, size, test_fraction, seed, skip_bad: as in `sources.base.Request`.
        limit: keep only the first so many records of each split.
        workers: processes that decode images; the bytes do not depend on it. None: one for each usable processor, at
            most 8. With more than one, a script of yours needs `if __name__ == "__main__":`, as multiprocessing does.
        progress: called with records done and in all; download_progress: with bytes.

    Raises:
        DataToolsError: the source is missing or broken, or `out` is taken. Nothing is left behind then, but what was
            downloaded.
    """
    if limit is not None and limit < 1:
        raise DataToolsError(f"limit {limit}: at least 1 record of each split is needed")
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise DataToolsError(f"workers {workers}: 1 to {MAX_WORKERS} are possible")
    spec = source_spec(dataset)
    name = default_name(dataset, label_set, size, limit, source=source, test_fraction=test_fraction, seed=seed)
    out = out or root / name
    check_free(out, overwrite)
    location = source if source is None or is_url(str(source)) else Path(source)
    request = Request(location, root / "raw", label_set, size, test_fraction, seed, skip_bad, download_progress)
    workers = default_workers() if workers is None else workers
    if workers > 1 and spec.resizes:  # sets of encoded images: the decoder is loaded while the source is looked over
        start_server()
    image_set = open_source(dataset, request)
    wanted = {split: min(image_set.splits[split].records, limit or 2**32) for split in SPLITS}
    for split, records in wanted.items():
        if records == 0:
            raise DataToolsError(f"{image_set.location}: no {split} image in it; fetch the set again")
    with (
        dataset_directory(out, overwrite) as folder,
        Decoders(workers if image_set.decodes else 1) as decoders,
        ThreadPoolExecutor(1, "hash of the archive") as beside,
    ):
        archive_hash = beside.submit(file_sha256, image_set.archive) if image_set.archive else None
        with _Splits(image_set, folder, wanted, {"train": spec.train_files, "test": 1}, decoders, progress) as write:
            splits = write.splits()
        metadata = Metadata(
            name=dataset_name(out),
            image_shape=image_set.image_shape,
            class_names=image_set.class_names,
            splits=splits,
            source={"name": dataset, "location": image_set.location, "sha256": archive_hash and archive_hash.result()},
            labels=spec.labels,
            limit=limit,
            resized=None if size is None else {"side": size, "filter": "lanczos"},
            split_by=image_set.split_by,
            files_csv=file_sha256(folder / FILES_CSV) if image_set.keeps_names else None,
            label_set=label_set or (spec.label_sets[0] if spec.label_sets else None),
        )
        write_metadata(folder, metadata)
    notices = (*image_set.notices, *_incomplete(dataset, image_set), *(f"left out: {text}" for text in write.problems))
    return Converted(open_dataset(out), notices)


def _incomplete(dataset: str, image_set: Source) -> list[str]:
    official = source_spec(dataset).official
    counts = tuple(image_set.splits[split].records for split in SPLITS)
    if official is None or counts == official:
        return []
    return [
        f"{image_set.location}: {counts[0]:,} training and {counts[1]:,} test images, the official set has "
        f"{official[0]:,} and {official[1]:,}: converting what is there"
    ]


class _Splits:
    """Writes the splits of one source into one folder, and reports progress over all of them; a context manager.

    Args:
        wanted: how many records of each split. num_files: in how many batch files.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        wanted: dict[str, int],
        num_files: dict[str, int],
        decoders: Decoders,
        progress: Progress,
    ) -> None:
        self.source, self.folder, self.decoders, self.progress = source, folder, decoders, progress
        self.wanted, self.num_files = wanted, num_files
        self.total, self.done = sum(wanted.values()), 0
        self.problems: list[str] = []
        self._open = ExitStack()
        self._files: Any = None
        if source.keeps_names:
            path = folder / FILES_CSV
            self._open.enter_context(naming(path))
            file = self._open.enter_context(path.open("x", encoding="utf-8", newline=""))
            self._files = csv.writer(file, lineterminator="\n")
            self._files.writerow(("id", "split", "path"))

    def splits(self) -> dict[str, tuple[BatchFile, ...]]:
        """Write all of them."""
        source = self.source
        plain = not (source.decodes or source.skips or source.keeps_names)
        if plain and all(self._parts_are_files(split) for split in SPLITS):
            return self._side_by_side()
        return {split: self._in_order(split) for split in SPLITS}

    def _parts_are_files(self, split: str) -> bool:
        """Whether every batch file gets one part of the source, whole."""
        records, num_files = self.wanted[split], self.num_files[split]
        starts = [_start(records, number, num_files) for number in range(num_files + 1)]
        parts = [part.records for part in self.source.splits[split].parts]
        return parts == [end - start for start, end in pairwise(starts)]

    def _side_by_side(self) -> dict[str, tuple[BatchFile, ...]]:
        """Several files at a time, a thread each: what it reads is still in its processor's cache when it is hashed."""
        pool = ThreadPoolExecutor(usable_processors(), "convert")
        try:
            begun = {
                split: [pool.submit(self._part, split, number) for number in range(self.num_files[split])]
                for split in SPLITS
            }
            for future in chain(*begun.values()):
                self.done += future.result().records
                self.progress(self.done, self.total)
            return {split: tuple(future.result() for future in futures) for split, futures in begun.items()}
        finally:
            pool.shutdown(cancel_futures=True)  # where one fails, those that are not begun need not be

    def _part(self, split: str, number: int) -> BatchFile:
        part = self.source.splits[split].parts[number]
        start = _start(self.wanted[split], number, self.num_files[split])
        examples = Examples(self.source, split, part, part.records, self.decoders)
        with RecordWriter(self.folder / _file_name(split, number), self.source.image_shape, beside=False) as writer:
            for piece in examples:
                ids = np.arange(writer.records, writer.records + len(piece)) + start
                writer.write(ids, piece.labels, piece.pixels)
            return BatchFile(writer.path.name, writer.records, writer.sha256)

    def _in_order(self, split: str) -> tuple[BatchFile, ...]:
        records = self.wanted[split]
        examples = Examples(self.source, split, self.source.splits[split], records, self.decoders)
        num_files = min(self.num_files[split], records)
        next_id = 0
        pieces = iter(examples)
        rest: Piece | None = None
        writers: list[RecordWriter] = []
        with ExitStack() as until_hashed:  # the end of a file is hashed while the next is begun
            for number in range(num_files):
                path = self.folder / _file_name(split, number)
                writer = until_hashed.enter_context(RecordWriter(path, self.source.image_shape))
                while next_id < (end := _start(examples.records, number + 1, num_files)):
                    piece = rest or next(pieces)
                    count = min(len(piece), end - next_id)
                    self._write(writer, split, next_id, piece[:count])
                    rest = piece[count:] if count < len(piece) else None
                    next_id += count
                    self.progress(self.done, self.total - len(self.problems) - len(examples.problems))
                if writers:
                    writers[-1].wait()  # gives back its memory: there are never more than two at work
                writers.append(writer)
            files = tuple(BatchFile(writer.path.name, writer.records, writer.sha256) for writer in writers)
        next(pieces, None)  # lets the source look at what follows its last image: checksums, bytes too many
        self.problems += examples.problems
        self._check_classes(split, examples)
        return files

    def _write(self, writer: RecordWriter, split: str, start: int, piece: Piece) -> None:
        writer.write(np.arange(start, start + len(piece)), piece.labels, piece.pixels)
        self.done += len(piece)
        if self._files is None:
            return
        rows = [(start + number, split, name) for number, name in enumerate(piece.names)]
        try:
            with naming(self.folder / FILES_CSV):
                self._files.writerows(rows)
        except UnicodeEncodeError:
            raise DataToolsError(
                f"{self.source.location}: a file name in it is no UTF-8 text, which {FILES_CSV} needs; rename it"
            ) from None

    def _check_classes(self, split: str, examples: Examples) -> None:
        """Every class was found with images; skipping unreadable ones must not empty it unseen."""
        emptied = [self.source.class_names[label] for label in sorted(examples.skipped - examples.seen)]
        if emptied:
            raise DataToolsError(
                f"{self.source.location}: no readable {split} image of {listed(emptied)}; repair or remove the class"
            )

    def __enter__(self) -> _Splits:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _file_name(split: str, number: int) -> str:
    return "test_batch.bin" if split == "test" else f"data_batch_{number + 1}.bin"


def _start(records: int, number: int, num_files: int) -> int:
    """The id that file `number` of so many begins with; as even as can be: sizes differ by at most one."""
    return records * number // num_files
