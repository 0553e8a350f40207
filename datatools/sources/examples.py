"""The examples of a source, decoded and in order: what `convert` writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from datatools.decoding.chunks import Chunk, Kept
from datatools.decoding.workers import Decoders
from datatools.errors import DataToolsError
from datatools.sources.base import Source, SourceSplit


@dataclass(frozen=True)
class Piece:
    """Examples on their way into a file: labels (B,), pixels (B, depth, height, width), names (B or none)."""

    labels: np.ndarray
    pixels: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> Piece:
        return Piece(self.labels[part], self.pixels[part], self.names[part])


class Examples:
    """The first `records` examples of a split, or of a part of it.

    Fewer where unreadable images are left out and there are no others.

    Attributes:
        records: how many there are, as far as is known yet.
        problems: a line for each that was left out. seen, skipped: labels of those kept and of those left out.
    """

    def __init__(self, source: Source, split: str, part: SourceSplit, records: int, decoders: Decoders) -> None:
        self.source, self.split, self.part, self.decoders = source, split, part, decoders
        self.limit, self.records = records, records
        self.problems: list[str] = []
        self.seen: set[int] = set()
        self.skipped: set[int] = set()

    def __iter__(self) -> Iterator[Piece]:
        promised = self.part.records
        whole = self.limit == promised
        done = left_out = 0
        chunks = self.part.chunks()
        for chunk, decoded in self.decoders.decode(chunks if whole else self._enough(chunks)):
            piece = self._kept(chunk, decoded)
            left_out += len(chunk.labels) - len(piece)
            self.records = min(self.limit, promised - left_out)
            if whole and done + len(piece) > self.records:
                raise DataToolsError(
                    f"{self.source.location}: more {self.split} images than it promised; fetch the set again"
                )
            piece = piece[: self.records - done]
            done += len(piece)
            yield piece
            if done == self.records and not whole:
                return
        if done < self.records:
            raise DataToolsError(
                f"{self.source.location}: its {self.split} images end {self.records - done:,} early; "
                "fetch the set again"
            )

    def _kept(self, chunk: Chunk, decoded: np.ndarray | Kept) -> Piece:
        if isinstance(decoded, np.ndarray):
            return Piece(chunk.labels, decoded, chunk.names)
        self.problems += decoded.problems
        self.seen.update(chunk.labels[decoded.mask].tolist())
        self.skipped.update(chunk.labels[~decoded.mask].tolist())
        names = tuple(name for name, kept in zip(chunk.names, decoded.mask, strict=True) if kept)
        return Piece(chunk.labels[decoded.mask], decoded.pixels, names)

    def _enough(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """No more chunks than hold the first `limit` examples, unless some may be skipped."""
        yielded = 0
        for chunk in chunks:
            yield chunk
            yielded += len(chunk.labels)
            if yielded >= self.limit and not self.source.skips:
                return
