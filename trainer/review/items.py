"""What a person reviews: the samples of an audit, and what is thought of those that are suspected."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datatools.format.metadata import SPLITS
from datatools.names import is_plain_path
from trainer.errors import TrainerError

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DIGEST = re.compile(r"[0-9a-f]{64}")
MAX_ID = (1 << 32) - 1

Key = tuple[str, int]
"""Split and id of a sample."""


@dataclass(frozen=True)
class Sample:
    """One sample as it was audited.

    Attributes:
        split: "train" or "test". id: its place in the split's order of the source.
        path: below the audited folder, with "/"; None in a dataset without files, as are the two that follow.
        size: bytes of the file. sha256: of the file, 64 hexadecimal digits.
        given: name of the class it has.
    """

    split: str
    id: int
    path: str | None
    size: int | None
    sha256: str | None
    given: str

    @property
    def key(self) -> Key:
        return self.split, self.id


@dataclass(frozen=True)
class ReviewItem(Sample):
    """A sample that is shown to a person.

    Attributes:
        suggested: name of the class that it should rather have; None where no class is suggested.
        confidence: of the suggestion, in [0, 1], or None. suspicion: a rank in [0, 1], larger is more suspicious.
        reasons: short texts that stand for themselves, such as "looks like 'cat'".
    """

    suggested: str | None
    confidence: float | None
    suspicion: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """All samples of an audit, and what it was of: a folder of files or a dataset without files.

    Attributes:
        class_names: of all classes. samples: every sample of the source, suspected or not.
        folder: absolute path of the folder with the files, or None. dataset: absolute path of the dataset directory
            where `folder` is None, and dataset_sha256: of its dataset.json.
        not_usable: None, or why the suggestions are not to be trusted, in one line.
    """

    class_names: tuple[str, ...]
    samples: tuple[Sample, ...]
    folder: Path | None = None
    dataset: Path | None = None
    dataset_sha256: str | None = None
    not_usable: str | None = None

    @cached_property
    def audit_id(self) -> str:
        """64 hexadecimal digits that depend on classes, samples and files alone.

        Where the folder is, and what an audit thinks of the files, is not in it: what a person decided holds for the
        same files after another audit of them.
        """
        digest = hashlib.sha256(json.dumps([self.class_names, self.dataset_sha256]).encode())
        for sample in sorted(self.samples, key=lambda sample: sample.key):
            cells = [sample.split, sample.id, sample.path, sample.size, sample.sha256, sample.given]
            digest.update(json.dumps(cells).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def by_key(self) -> dict[Key, Sample]:
        """The samples by split and id."""
        return {sample.key: sample for sample in self.samples}


@dataclass(frozen=True)
class Review:
    """What a page shows: the audit that it belongs to, and the suspected samples, most suspicious first."""

    audit: Audit
    items: tuple[ReviewItem, ...]


def check_audit(audit: Audit, where: object) -> None:
    """Raise TrainerError unless the samples of an audit belong together.

    Args:
        where: the file or folder that the audit is read from or written to, for the error.
    """
    if (audit.folder is None) == (audit.dataset is None or audit.dataset_sha256 is None):
        raise TrainerError(f"{where}: an audit is of a folder or of a dataset with its SHA-256; make it anew")
    if twice := [name for name, count in Counter(audit.class_names).items() if count > 1]:
        raise TrainerError(f"{where}: two classes are called {twice[0]!r:.60}; decisions name classes: rename one")
    if odd := [name for name in audit.class_names if not name or CONTROL.search(name)]:
        raise TrainerError(f"{where}: class {odd[0]!r:.60} is empty or has control characters; rename it")
    if len(audit.by_key) != len(audit.samples):
        raise TrainerError(f"{where}: a split has an id twice; make the audit anew")
    paths = [sample.path for sample in audit.samples if sample.path is not None]
    if len(set(paths)) != len(paths):
        raise TrainerError(f"{where}: a path is there twice; make the audit anew")
    names = set(audit.class_names)
    for sample in audit.samples:
        if problem := _problem(sample, names, audit.folder is not None):
            raise TrainerError(f"{where}: {sample.split} {sample.id}: {problem}; make the audit anew")


def _problem(sample: Sample, names: set[str], with_files: bool) -> str | None:
    """What is wrong with a sample, or None."""
    if sample.split not in SPLITS or not 0 <= sample.id <= MAX_ID:
        return f"a split of {' or '.join(SPLITS)} and an id of 0 to {MAX_ID} are expected"
    if sample.given not in names:
        return f"class {sample.given!r:.60} is none of the {len(names)} classes"
    if not with_files:
        if (sample.path, sample.size, sample.sha256) != (None, None, None):
            return "a file, in an audit of a dataset without files"
        return None
    if sample.path is None or not is_plain_path(sample.path):
        return f"path {sample.path!r:.80} does not lead to a file below the folder"
    if sample.size is None or sample.size < 0 or not DIGEST.fullmatch(sample.sha256 or ""):
        return "size and SHA-256 of the file are expected"
    return None
