"""What is looked at before anything is written: the place, and that each file is still the one that was audited."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import listed
from datatools.files.output import FolderKind, check_folder
from datatools.processors import usable_processors
from datatools.progress import Progress
from trainer.errors import TrainerError
from trainer.review.items import Sample

MISSING, LINK, CHANGED, UNREADABLE = "missing", "a link", "changed since the audit", "not to be read"
NOTHING = FolderKind(lambda folder: False, "a folder with something in it")


@dataclass(frozen=True)
class State:
    """By what a file is known to have stayed the same for a moment: length, time of change, and where it lies."""

    size: int
    changed_ns: int
    device: int
    inode: int


def state(path: Path) -> State:
    """Raises OSError where there is no such file."""
    facts = path.lstat()
    return State(facts.st_size, facts.st_mtime_ns, facts.st_dev, facts.st_ino)


def check_new(out: Path) -> None:
    """Raise TrainerError unless nothing, or an empty folder, stands at `out`: decided files replace no others."""
    check_folder(out, False, NOTHING, option="--to", error=TrainerError)


def check_files(folder: Path, samples: Sequence[Sample], progress: Progress) -> dict[str, State]:
    """The state of each file, by its path; size and SHA-256 of all of them are looked at.

    Raises:
        TrainerError: some are missing, links, or others than the audited ones; it counts all of them.
    """
    real = Path(os.path.realpath(folder))
    paths = [(sample, sample.path or "") for sample in samples]
    folders = {(real / path).parent for _, path in paths}
    elsewhere = {place for place in folders if os.path.realpath(place) != str(place)}  # a link stands on the way

    def look(item: tuple[Sample, str]) -> State | str:
        sample, path = item
        return LINK if (real / path).parent in elsewhere else _look(real / path, sample)

    states: dict[str, State] = {}
    problems: dict[str, list[str]] = {}
    with ThreadPoolExecutor(usable_processors(), "hash") as pool:
        for done, ((_, path), result) in enumerate(zip(paths, pool.map(look, paths), strict=True), 1):
            if isinstance(result, State):
                states[path] = result
            else:
                problems.setdefault(result, []).append(path)
            progress(done, len(paths))
    if problems:
        counts = "; ".join(f"{len(names):,} {what} ({listed(names, 3)})" for what, names in problems.items())
        raise TrainerError(
            f"{folder}: of {len(paths):,} files {counts}; nothing was done: put them back, or audit the folder anew"
        )
    return states


def _look(path: Path, sample: Sample) -> State | str:
    """The state of a file that is the audited one; else what is wrong with it."""
    try:
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            return LINK
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != sample.size:
            return CHANGED
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return state(path) if digest == sample.sha256 else CHANGED
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError:
        return UNREADABLE


def files_not_audited(folder: Path, samples: Sequence[Sample]) -> list[str]:
    """The paths of files and links below a folder that an audit does not know, sorted."""
    known = {sample.path for sample in samples}
    return sorted(path for path in _paths(folder) if path not in known)


def _paths(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        below = Path(place).relative_to(folder)
        yield from ((below / name).as_posix() for name in names)
