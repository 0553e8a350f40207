"""A folder of photos and its audit, as `trainer audit` leaves them, to be reviewed and applied."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.support.own_images import put
from trainer.review.decisions import CHANGE, KEEP, REMOVE, Decision
from trainer.review.index import write_audit_index
from trainer.review.items import Audit, Review, ReviewItem, Sample

PHOTOS = (
    "cat/1.jpg",
    "cat/2.jpg",
    "cat/3.png",
    "cat/tour/1.jpg",
    "dog/1.jpg",
    "dog/2.jpg",
    "dog/tour/1.jpg",
    "owl/1.png",
    "owl/2.png",
)
YEAR_2001 = 1_000_000_000


def photos(folder: Path, paths: Sequence[str] = PHOTOS, side: int = 8) -> Path:
    """A folder of images, no two of which are alike, as old as photos are."""
    random = np.random.default_rng(3)
    for number, path in enumerate(paths):
        put(folder / path, random.integers(0, 256, (3, side, side), np.uint8))
        os.utime(folder / path, (YEAR_2001 + number, YEAR_2001 + number))
    return folder


def audited(folder: Path, class_of: int = 0, not_usable: str | None = None) -> Audit:
    """The audit of all files below a folder; the class is the part of the path at `class_of`."""
    samples: list[Sample] = []
    ids = {"train": 0, "test": 0}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        below = path.relative_to(folder)
        split = "test" if class_of and below.parts[0] == "test" else "train"
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        samples.append(Sample(split, ids[split], below.as_posix(), len(data), digest, below.parts[class_of]))
        ids[split] += 1
    names = tuple(sorted({sample.given for sample in samples}))
    return Audit(names, tuple(samples), folder=folder.absolute(), not_usable=not_usable)


def write_audit(folder: Path, audit: Audit) -> Path:
    folder.mkdir(parents=True)
    write_audit_index(folder, audit)
    return folder


def decided(audit: Audit, outcomes: Mapping[str, str]) -> list[Decision]:
    """Decisions by path: "keep", "remove", or the name of a class to change to."""
    by_path = {sample.path: sample for sample in audit.samples}
    decisions = []
    for path, outcome in outcomes.items():
        sample = by_path[path]
        if outcome in (KEEP, REMOVE):
            decisions.append(Decision(sample, outcome, sample.given if outcome == KEEP else None))
        else:
            decisions.append(Decision(sample, CHANGE, outcome))
    return decisions


def review_of(audit: Audit, suggestions: Mapping[str, tuple[str | None, float | None]]) -> Review:
    """A review of some files, by their path: the suggested class, and how sure that is."""
    by_path = {sample.path: sample for sample in audit.samples}
    items = []
    for number, (path, (suggested, confidence)) in enumerate(suggestions.items()):
        reasons = ("belongs to no class",) if suggested is None else (f"looks like '{suggested}'",)
        items.append(ReviewItem(**vars(by_path[path]), **_thought(suggested, confidence, number, reasons)))
    return Review(audit, tuple(items))


def _thought(suggested: str | None, confidence: float | None, number: int, reasons: tuple[str, ...]) -> dict:
    return {
        "suggested": suggested,
        "confidence": confidence,
        "suspicion": 1 / (1 + number),
        "reasons": reasons,
    }


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
