"""The examples of a source, decoded and in order: what `convert` writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from datatools.decoding.chunks import BadFile, Chunk, FileFacts, Kept
from datatools.decoding.workers import Decoders
from datatools.errors import DataToolsError
from datatools.sources.base import Source, SourceSplit


@dataclass(frozen=True)
class Piece:
    """Examples on their way into a file.

    Attributes:
        labels: (B,). pixels: (B, depth, height, width). names, facts: of the file of each, B or none.
    """

    labels: np.ndarray
    pixels: np.ndarray
    names: tuple[str, ...] = ()
    facts: tuple[FileFacts, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> Piece:
        return Piece(self.labels[part], self.pixels[part], self.names[part], self.facts[part])


class Examples:
    """The first `records` examples of a split, or of a part of it.

    Fewer where unreadable images are left out and there are no others.

    Attributes:
        records: how many there are, as far as is known yet.
        bad: those that were left out; where a limit is met, up to there.
        seen, skipped: labels of those kept and of those left out.
        remarks: what was done to how many images, keys of `decoding.pixels.REMARKS`.
    """

    def __init__(self, source: Source, split: str, part: SourceSplit, records: int, decoders: Decoders) -> None:
        self.source, self.split, self.part, self.decoders = source, split, part, decoders
        self.limit, self.records = records, records
        self.bad: list[BadFile] = []
        self.remarks: Counter[str] = Counter()
        self.seen: set[int] = set()
        self.skipped: set[int] = set()

    def __iter__(self) -> Iterator[Piece]:
        promised = self.part.records
        whole = self.limit == promised
        done = 0
        chunks = self.part.chunks()
        for chunk, decoded in self.decoders.decode(chunks if whole else self._enough(chunks)):
            piece = self._kept(chunk, decoded, None if whole else self.limit - done)
            self.records = min(self.limit, promised - len(self.bad))
            if whole and done + len(piece) > self.records:
                raise DataToolsError(
                    f"{self.source.location}: more {self.split} images than it promised; fetch the set again"
                )
            piece = piece[: self.records - done]
            for facts in piece.facts:
                self.remarks.update(facts.remarks)
            done += len(piece)
            yield piece
            if done == self.records and not whole:
                return
        if done < self.records:
            raise DataToolsError(
                f"{self.source.location}: its {self.split} images end {self.records - done:,} early; "
                "fetch the set again"
            )

    def _kept(self, chunk: Chunk, decoded: np.ndarray | Kept, wanted: int | None) -> Piece:
        """The examples of a chunk that could be read, and a note of the others, which end where `wanted` are read."""
        if isinstance(decoded, np.ndarray):
            return Piece(chunk.labels, decoded, chunk.names)
        places = np.flatnonzero(decoded.mask)
        end = len(chunk.labels) if wanted is None or len(places) < wanted else int(places[wanted - 1]) + 1
        mask = decoded.mask[:end]
        kept = int(mask.sum())
        self.bad += decoded.bad[: end - kept]
        labels = chunk.labels[:end]
        self.seen.update(labels[mask].tolist())
        self.skipped.update(labels[~mask].tolist())
        names = tuple(name for name, is_kept in zip(chunk.names, mask, strict=False) if is_kept)
        return Piece(labels[mask], decoded.pixels[:kept], names, decoded.facts[:kept])

    def _enough(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """No more chunks than hold the first `limit` examples, unless some may be skipped."""
        yielded = 0
        for chunk in chunks:
            yield chunk
            yielded += len(chunk.labels)
            if yielded >= self.limit and not self.source.skips:
                return
