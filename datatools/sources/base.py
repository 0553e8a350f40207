"""What a source hands to `convert`: the facts of the image set and its examples, in order, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datatools.decoding.chunks import BadFile, Chunk
from datatools.format.records import ImageShape
from datatools.progress import Progress, no_progress


@dataclass(frozen=True)
class SourceSplit:
    """One split of a source.

    Attributes:
        records: how many examples it has (`Kept` may make them fewer).
        chunks: a call that iterates over them.
        parts: the same examples in runs, in order, that can be read at the same time; none where they cannot. Not used
            where the source decodes, skips or keeps names.
    """

    records: int
    chunks: Callable[[], Iterator[Chunk]]
    parts: tuple[SourceSplit, ...] = ()


@dataclass(frozen=True)
class Source:
    """An image set that was found and looked over, ready to be read.

    Attributes:
        splits: "train" and "test".
        location: where it was found, as dataset.json records it.
        archive: the file that it is read from, or None where it is a folder or a package.
        notices: what the user should know about it, a line each.
        decodes: whether its chunks are worth decoding in several processes.
        skips: whether its chunks decode to `Kept`, which collects what cannot be read.
        bad: files that were seen to be of no use before any was decoded.
        keeps_names: whether its chunks name their files, which are then kept in files.csv.
        split_by: what drew its test split from its images (fraction, seed), or None where it came with one.
        fit: how images that are not square are made so, or None where the source knows no such choice.
    """

    image_shape: ImageShape
    class_names: tuple[str, ...]
    splits: dict[str, SourceSplit]
    location: str
    archive: Path | None = None
    notices: tuple[str, ...] = ()
    decodes: bool = False
    skips: bool = False
    bad: tuple[BadFile, ...] = ()
    keeps_names: bool = False
    split_by: dict[str, float | int] | None = None
    fit: str | None = None


@dataclass(frozen=True)
class Request:
    """What the user asked of a source.

    Attributes:
        location: an archive or a folder, the address (http, https) of an archive, or None to look under `raw`, and to
            download the official archive to it where it is not there.
        raw: the folder where archives lie that were put there by hand or downloaded.
        label_set: which of several label sets, or None for the source's own default.
        size: resample images to size x size pixels, or None to keep theirs.
        test_fraction: share of each class that becomes the test split, or None for the source's own default.
        seed: which images those are, or None for 0.
        skip_bad: leave out files that cannot be used instead of converting nothing.
        fit: how images that are not square become so, one of `decoding.pixels.FITS`, or None for "crop".
        progress: called with bytes done and in all while an archive is downloaded.
    """

    location: Path | str | None
    raw: Path
    label_set: str | None = None
    size: int | None = None
    test_fraction: float | None = None
    seed: int | None = None
    skip_bad: bool = False
    progress: Progress = no_progress
    fit: str | None = None
