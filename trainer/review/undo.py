"""Takes back what `trainer apply --move` did, by the journal that it wrote before the first file moved.

A moved file is first linked to its new place, then unlinked from its old one. So at each moment it is at one of the two
or at both, whatever was killed, and taking it back is the same from the other side: it can be killed and begun again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import listed
from datatools.files.json_text import parse_object
from datatools.files.output import atomic_file
from datatools.files.syncing import fsync_wanted, sync
from datatools.files.write_errors import naming
from datatools.names import is_plain_path
from datatools.progress import Progress
from trainer.errors import TrainerError

FORMAT_VERSION = 1
ENDING = ".undo.jsonl"
MAX_BYTES = 1 << 30
APPLIED_FILE = "applied.csv"
"""Lies in the folder that `trainer apply` made; the one file there that was nowhere before."""


@dataclass(frozen=True)
class Journal:
    """What is moved where.

    Attributes:
        folder, made: absolute paths of the folder that files are taken from, and of the one they are put into.
        audit_id: of the audit whose decisions were applied. moves: (path in `folder`, path in `made`), with "/".
    """

    folder: Path
    made: Path
    audit_id: str
    moves: tuple[tuple[str, str], ...]


def journal_path(made: Path) -> Path:
    """Where the journal of a folder is: beside it."""
    return made.with_name(made.name + ENDING)


def write_journal(path: Path, journal: Journal) -> None:
    """Write it, on the disk when this returns.

    Raises:
        TakenError: something stands there.
    """
    head = {
        "format_version": FORMAT_VERSION,
        "folder": str(journal.folder),
        "to": str(journal.made),
        "audit": journal.audit_id,
        "moves": len(journal.moves),
    }
    lines = (json.dumps(value) for value in (head, *journal.moves))
    with atomic_file(path, overwrite=False) as partial, naming(partial), partial.open("w", encoding="ascii") as file:
        file.writelines(f"{line}\n" for line in lines)


def read_journal(path: Path) -> Journal:
    """Read it.

    Raises:
        TrainerError: no such file, or not a whole journal.
    """
    if not path.is_file():
        raise TrainerError(f"{path}: no such file; name the {ENDING} file beside the folder that --move made")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 30} GiB")
        with path.open(encoding="ascii") as file:
            head = parse_object(file.readline())
            moves = tuple(_move(line) for line in file)
        if head.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"'format_version' is not {FORMAT_VERSION}, the one that this version reads")
        folder, made, audit_id = (head.get(key) for key in ("folder", "to", "audit"))
        if not isinstance(folder, str) or not isinstance(made, str) or not isinstance(audit_id, str):
            raise ValueError("'folder', 'to' and 'audit' should be texts")
        if not Path(folder).is_absolute() or not Path(made).is_absolute():
            raise ValueError("'folder' and 'to' should be absolute paths")
        if head.get("moves") != len(moves) or any(len({m[side] for m in moves}) != len(moves) for side in (0, 1)):
            raise ValueError("it is cut short, or a path is there twice")
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{path}: not a journal of --move: {error}; nothing was done") from None
    return Journal(Path(folder), Path(made), audit_id, moves)


def _move(line: str) -> tuple[str, str]:
    value = json.loads(line)
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("two paths a line are expected")
    if not all(isinstance(part, str) and is_plain_path(part) for part in value):
        raise ValueError(f"{line.strip()!r:.80} has a path that leads elsewhere")
    return value[0], value[1]


@dataclass(frozen=True)
class Undone:
    """What `undo` did: how many files it took back, and what it left in the folder because others put it there."""

    folder: Path
    files: int
    left: tuple[str, ...]


def undo(path: Path, folder: Path | None, made: Path | None, progress: Progress, dry_run: bool = False) -> Undone:
    """Take back the moves of the journal at `path`, then remove the folder that they made and the journal.

    Args:
        folder, made: where the two folders are now; None for the paths in the journal. dry_run: only check.

    Raises:
        TrainerError: a file is at neither place, or another file is in its old one. Nothing was done then.
        OSError: as the system says; the same command goes on from there.
    """
    journal = read_journal(path)
    folder, made = (folder or journal.folder).absolute(), (made or journal.made).absolute()
    pairs = [(folder / old, made / new) for old, new in journal.moves]
    _check(path, folder, made, pairs)
    back = [(old, new) for old, new in pairs if os.path.lexists(new)]
    missing_before = sum(not os.path.lexists(old) for old, _ in back)
    if dry_run:
        return Undone(folder, missing_before, ())
    for done, (old, new) in enumerate(back, 1):
        if not os.path.lexists(old):
            old.parent.mkdir(parents=True, exist_ok=True)
            os.link(new, old, follow_symlinks=False)
        progress(done, len(back))
    sync_folders(old.parent for old, _ in back)
    for _, new in back:
        remove_second_name(new)
    left = _remove_made(made, {new.parent for _, new in pairs})
    path.unlink()
    return Undone(folder, missing_before, left)


def _check(path: Path, folder: Path, made: Path, pairs: list[tuple[Path, Path]]) -> None:
    one, other = Path(os.path.realpath(folder)), Path(os.path.realpath(made))
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise TrainerError(f"{path}: {folder} and {made} are one folder, or one holds the other; nothing was done")
    lost, taken, links = [], [], []
    for old, new in pairs:
        places = [place for place in (old, new) if os.path.lexists(place)]
        if not places:
            lost.append(old.relative_to(folder).as_posix())
        elif len(places) == 2 and not os.path.samestat(old.lstat(), new.lstat()):
            taken.append(old.relative_to(folder).as_posix())
        if any(os.path.realpath(place.parent) != str(_real(place, folder, made)) for place in (old, new)):
            links.append(old.relative_to(folder).as_posix())
    for names, what in (
        (lost, f"are neither in {folder} nor in {made}: tell where the folders are now with --folder and --to"),
        (taken, f"have another file in their old place in {folder}: move those away first"),
        (links, "lie behind a link: put a folder in its place first"),
    ):
        if names:
            raise TrainerError(f"{path}: {len(names):,} files ({listed(names, 3)}) {what}; nothing was done")


def _real(place: Path, folder: Path, made: Path) -> Path:
    """Where the folder of a file is if no link stands between it and the folder it belongs to."""
    home = folder if place.is_relative_to(folder) else made
    return Path(os.path.realpath(home)) / place.relative_to(home).parent


def _remove_made(made: Path, folders: set[Path]) -> tuple[str, ...]:
    """Remove the folders that are empty by now; what is still in `made` afterwards."""
    (made / APPLIED_FILE).unlink(missing_ok=True)
    places = {made, *folders, *(parent for place in folders for parent in place.parents if parent.is_relative_to(made))}
    for place in sorted(places, key=lambda place: len(place.parts), reverse=True):
        with suppress(OSError):  # not there any more, or something of others in it
            place.rmdir()
    return tuple(sorted(entry.name for entry in made.iterdir())) if made.is_dir() else ()


def remove_second_name(path: Path) -> None:
    """Unlink a name of a file that has another one.

    Raises:
        TrainerError: it has no other, which somebody removed meanwhile.
    """
    if path.lstat().st_nlink < 2:
        raise TrainerError(f"{path}: the only name of this file by now, so it stays; another process is at work here")
    with naming(path):
        path.unlink()


def sync_folders(folders: Iterable[Path]) -> None:
    """Wait until the names in some folders are on the disk."""
    if fsync_wanted():
        for folder in sorted(set(folders)):
            sync(folder)
