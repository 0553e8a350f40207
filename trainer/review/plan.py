"""Decisions -> where each file of the audited folder goes, before anything is touched.

A file keeps its path below its class: `train/dog/tour/1.jpg`, decided to be a cat, becomes `train/cat/tour/1.jpg`.
Files that keep their class keep their path. Where another file has the path of one that changes, also if the two differ
in case alone, it gets a number (`1-2.jpg`), in order of split and id: the same decisions give the same names.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from datatools.names import MAX_NAME_BYTES
from trainer.errors import TrainerError
from trainer.review.decisions import CHANGE, KEEP, REMOVE, Decision
from trainer.review.items import Audit, Key, Sample

UNDECIDED = "undecided"
OUTCOMES = (KEEP, CHANGE, REMOVE, UNDECIDED)


@dataclass(frozen=True)
class Placement:
    """What becomes of a file.

    Attributes:
        outcome: one of OUTCOMES. label: name of the class it has then, None where it is left out.
        target: its path in the new folder, with "/"; None where it is left out.
        renamed: whether another file has the path that it would have had.
    """

    sample: Sample
    outcome: str
    label: str | None
    target: str | None
    renamed: bool = False

    @property
    def source(self) -> str:
        """Its path below the audited folder."""
        assert self.sample.path is not None  # an audit of a folder, as `check_audit` holds it to
        return self.sample.path


def plan(audit: Audit, decisions: Mapping[Key, Decision]) -> tuple[Placement, ...]:
    """Where each file goes, in the audit's order.

    Raises:
        TrainerError: a file does not lie in the folder of its class.
    """
    prefixes = _prefixes(audit)
    placements: dict[Key, Placement] = {}
    moving: list[tuple[Sample, str]] = []
    taken = _Taken()
    for sample in audit.samples:
        made = decisions.get(sample.key)
        outcome = UNDECIDED if made is None else made.decision
        if made is not None and made.decision == CHANGE and made.label is not None:
            moving.append((sample, made.label))
            continue
        label = None if outcome == REMOVE else sample.given
        placements[sample.key] = Placement(sample, outcome, label, None if label is None else sample.path)
        if label is not None:
            taken.add(tuple((sample.path or "").split("/")))
    for sample, label in sorted(moving, key=lambda item: item[0].key):
        prefix = prefixes[sample.key]
        below = (sample.path or "").removeprefix(f"{prefix}{sample.given}/")
        wanted = tuple(f"{prefix}{label}/{below}".split("/"))
        parts = taken.free(wanted)
        taken.add(parts)
        placements[sample.key] = Placement(sample, CHANGE, label, "/".join(parts), parts != wanted)
    return tuple(placements[sample.key] for sample in audit.samples)


def _prefixes(audit: Audit) -> dict[Key, str]:
    """What stands before the class in each path: "train/" and "test/" where the folder has them, else nothing."""
    with_splits = {sample.key: f"{sample.split}/" for sample in audit.samples}
    for prefixes in (with_splits, dict.fromkeys(with_splits, "")):
        outside = [s for s in audit.samples if not (s.path or "").startswith(f"{prefixes[s.key]}{s.given}/")]
        if not outside:
            return prefixes
    raise TrainerError(f"{outside[0].path}: does not lie in the folder of its class, {outside[0].given!r:.60}")


@dataclass
class _Taken:
    """The paths that are taken in the new folder, as a file system sees them that ignores case."""

    files: set[tuple[str, ...]] = field(default_factory=set)
    folders: set[tuple[str, ...]] = field(default_factory=set)

    def add(self, parts: tuple[str, ...]) -> None:
        folded = _folded(parts)
        self.files.add(folded)
        self.folders.update(folded[:depth] for depth in range(1, len(folded)))

    def free(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """`parts` with a number in those that another file stands in the way of."""
        for depth in range(1, len(parts) + 1):
            number, name = 1, parts[depth - 1]
            while self._in_the_way(parts[:depth], depth == len(parts)):
                number += 1
                parts = (*parts[: depth - 1], _numbered(name, number), *parts[depth:])
        return parts

    def _in_the_way(self, parts: tuple[str, ...], is_file: bool) -> bool:
        folded = _folded(parts)
        return folded in self.files or (is_file and folded in self.folders)


def _folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFD", part).casefold() for part in parts)


def _numbered(name: str, number: int) -> str:
    """`name` with a number before its ending, cut where it would be longer than file systems allow."""
    path = PurePosixPath(name)
    ending = f"-{number}{path.suffix}"
    stem = path.stem.encode()[: MAX_NAME_BYTES - len(ending.encode())].decode(errors="ignore")
    return f"{stem}{ending}"
