"""The splits of a source -> batch files, and what is remembered of the files behind the records."""

from __future__ import annotations

import csv
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from datatools.decoding.chunks import BadFile
from datatools.decoding.workers import Decoders
from datatools.errors import DataToolsError, listed
from datatools.files.write_errors import naming
from datatools.format.metadata import FILES_CSV, SPLITS, BatchFile
from datatools.format.records import RecordWriter
from datatools.format.source_files import COLUMNS
from datatools.processors import usable_processors
from datatools.progress import Progress
from datatools.sources.base import Source
from datatools.sources.examples import Examples, Piece


class SplitWriter:
    """Writes the splits of one source into one folder, and reports progress over all of them; a context manager.

    Attributes:
        bad: files that could not be used. remarks: what was done to how many images, keys of `pixels.REMARKS`.
        notices: what the user should know, a line each.

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
        self.bad: list[BadFile] = list(source.bad)
        self.remarks: Counter[str] = Counter()
        self._unread = 0
        self.notices: list[str] = []
        self._emptied: list[str] = []
        self._open = ExitStack()
        self._files: Any = None
        if source.keeps_names:
            path = folder / FILES_CSV
            self._open.enter_context(naming(path))
            file = self._open.enter_context(path.open("x", encoding="utf-8", newline=""))
            self._files = csv.writer(file, lineterminator="\n")
            self._files.writerow(COLUMNS)

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
                    self.progress(self.done, self.total - self._unread - len(examples.bad))
                if writers:
                    writers[-1].wait()  # gives back its memory: there are never more than two at work
                writers.append(writer)
            files = tuple(BatchFile(writer.path.name, writer.records, writer.sha256) for writer in writers)
        next(pieces, None)  # lets the source look at what follows its last image: checksums, bytes too many
        self.bad += examples.bad
        self._unread += len(examples.bad)
        self.remarks += examples.remarks
        emptied = [self.source.class_names[label] for label in sorted(examples.skipped - examples.seen)]
        if emptied:
            # a draw may hit bad files alone: that is nobody's fault, and the class is still learned
            is_drawn = split == "test" and self.source.split_by is not None and examples.seen
            said = f"no readable {split} image of {listed(emptied)}"
            (self.notices if is_drawn else self._emptied).append(said)
        return files

    def _write(self, writer: RecordWriter, split: str, start: int, piece: Piece) -> None:
        writer.write(np.arange(start, start + len(piece)), piece.labels, piece.pixels)
        self.done += len(piece)
        if self._files is None:
            return
        files = zip(piece.names, piece.facts, strict=True)
        rows = [(start + number, split, name, facts.size, facts.sha256) for number, (name, facts) in enumerate(files)]
        with naming(self.folder / FILES_CSV):
            self._files.writerows(rows)

    def check_classes(self) -> None:
        """Every class was found with images; leaving out unreadable ones must not empty it unseen."""
        if self._emptied:
            raise DataToolsError(
                f"{self.source.location}: {'; '.join(self._emptied)}: repair them, or move the class away"
            )

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _file_name(split: str, number: int) -> str:
    return "test_batch.bin" if split == "test" else f"data_batch_{number + 1}.bin"


def _start(records: int, number: int, num_files: int) -> int:
    """The id that file `number` of so many begins with; as even as can be: sizes differ by at most one."""
    return records * number // num_files
