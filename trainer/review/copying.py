"""Plan -> a new folder with the audited files in it, whole or not at all: copied, or moved with a journal."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import TakenError, listed
from datatools.files.copying import UNSUPPORTED, copy_file
from datatools.files.output import atomic_folder
from datatools.files.write_errors import naming
from datatools.printable import formula_safe
from datatools.progress import Progress, no_progress
from trainer.errors import TrainerError
from trainer.review.checking import State, check_files, check_new, files_not_audited, state
from trainer.review.decisions import Decision
from trainer.review.items import Audit, Key
from trainer.review.plan import Placement, plan
from trainer.review.undo import APPLIED_FILE, Journal, journal_path, remove_second_name, sync_folders, write_journal

COLUMNS = ("split", "id", "path", "given", "decision", "label", "target")


@dataclass(frozen=True)
class Applied:
    """What was done, or would be.

    Attributes:
        placements: of every file. journal: the file by which a move is undone, or None. notices: a line each.
    """

    placements: tuple[Placement, ...]
    journal: Path | None
    notices: tuple[str, ...]


def apply_to_folder(
    audit: Audit,
    decisions: Mapping[Key, Decision],
    out: Path,
    *,
    folder: Path | None = None,
    move: bool = False,
    dry_run: bool = False,
    progress: Progress = no_progress,
) -> Applied:
    """Put the audited files into the new folder `out`, each in the class that was decided for it.

    A file that is to be removed is left out; with `move` it stays where it is. A file that nobody decided on keeps its
    class. Content, times and permissions stay.

    Args:
        folder: where the audited folder is now; None for the path in the audit. dry_run: only check.
        progress: called with (files checked and files copied, both in all).

    Raises:
        TrainerError: files that changed, `out` is taken or lies in the folder, …; nothing was done then.
        OSError: as the system says, and nothing is left in `out`. While a move clears the old places it says so.
    """
    folder = folder or audit.folder
    assert folder is not None  # an audit of a folder; the command tells the two apart
    folder, out = folder.absolute(), out.absolute()
    _check_places(folder, out)
    placements = plan(audit, decisions)
    if any((placement.label or "").casefold() == APPLIED_FILE for placement in placements):
        raise TrainerError(f"{folder}: a class called {APPLIED_FILE}, which is a file in the new folder; rename it")
    journal = journal_path(out) if move else None
    if journal is not None and os.path.lexists(journal):
        raise TrainerError(
            f"{journal}: of an earlier --move; take that back with `trainer apply --undo {journal}`, or choose "
            "another --to"
        )
    placed = [placement for placement in placements if placement.target is not None]
    if not placed:
        raise TrainerError(f"{out}: every file is decided to be removed, so nothing would be in it; look at decisions")
    checked, steps = len(audit.samples), len(audit.samples) + len(placed) * (not dry_run)
    states = check_files(folder, audit.samples, lambda done, _: progress(done, steps))
    if move:
        _check_one_file_system(folder, out, placed, states)
    notices = _notices(audit, folder, placements, move)
    if dry_run:
        return Applied(placements, journal, notices)
    try:
        if journal is None:
            _copy(folder, out, placements, states, lambda done: progress(checked + done, steps))
        else:
            _move(audit, folder, out, placements, states, journal)
    except TakenError:
        raise TrainerError(f"{out}: another process made it meanwhile; choose another --to") from None
    return Applied(placements, journal, notices)


def _check_places(folder: Path, out: Path) -> None:
    if not folder.is_dir():
        raise TrainerError(f"{folder}: no such folder; tell where the audited files are now with --folder")
    place, home = Path(os.path.realpath(out)), Path(os.path.realpath(folder))
    if place == home or place in home.parents:
        raise TrainerError(f"{out}: is or holds the audited folder; choose another --to")
    if home in place.parents:
        raise TrainerError(f"{out}: lies in the audited folder, {folder}; choose another --to")
    check_new(out)


def _check_one_file_system(folder: Path, out: Path, placed: Sequence[Placement], states: Mapping[str, State]) -> None:
    parent = next(place for place in out.parents if place.is_dir())
    device = parent.stat().st_dev
    if any(states[placement.source].device != device for placement in placed):
        raise TrainerError(f"{out}: on another file system than the files of {folder}; leave out --move, to copy them")
    fixed = {place for p in placed if not os.access(place := (folder / p.source).parent, os.W_OK | os.X_OK)}
    if fixed:
        raise TrainerError(f"{listed(sorted(fixed))}: nothing may be moved from there; leave out --move, to copy")


def _notices(audit: Audit, folder: Path, placements: Sequence[Placement], move: bool) -> tuple[str, ...]:
    notices = []
    if audit.not_usable is not None:
        notices.append(f"the audit calls its suggestions not usable: {audit.not_usable}")
    if renamed := [placement.target for placement in placements if placement.renamed]:
        notices.append(f"{len(renamed):,} files got a number, as another file has their name: {listed(renamed)}")
    if others := files_not_audited(folder, audit.samples):
        what = "stay where they are" if move else "are left out"
        notices.append(f"{len(others):,} files of {folder} are not in the audit and {what}: {listed(others)}")
    classes = {placement.label for placement in placements}
    if empty := [name for name in audit.class_names if name not in classes]:
        notices.append(f"no images are left of {len(empty):,} classes: {listed(empty)}")
    return tuple(notices)


def _copy(
    folder: Path,
    out: Path,
    placements: Sequence[Placement],
    states: Mapping[str, State],
    progress: Callable[[int], None],
) -> None:
    with atomic_folder(out, overwrite=False) as partial:
        for done, (placement, source, target) in enumerate(_targets(folder, partial, placements), 1):
            copy_file(source, target)
            shutil.copystat(source, target, follow_symlinks=False)
            _check_unchanged(source, states[placement.source])
            progress(done)
        _write_applied(partial / APPLIED_FILE, placements)


def _move(
    audit: Audit,
    folder: Path,
    out: Path,
    placements: Sequence[Placement],
    states: Mapping[str, State],
    journal: Path,
) -> None:
    """Journal, then links in the new folder, which takes its place whole; only then the old names go."""
    moves = tuple((p.source, p.target) for p in placements if p.target is not None)
    write_journal(journal, Journal(folder, out, audit.audit_id, moves))
    try:
        with atomic_folder(out, overwrite=False) as partial:
            for placement, source, target in _targets(folder, partial, placements):
                _check_unchanged(source, states[placement.source])
                _link(source, target)
            _write_applied(partial / APPLIED_FILE, placements)
    except BaseException:
        if not os.path.lexists(out / APPLIED_FILE):  # nothing has moved
            with suppress(OSError):
                journal.unlink()
        raise
    try:
        for path, _ in moves:
            remove_second_name(folder / path)
        sync_folders((folder / path).parent for path, _ in moves)
    except OSError as error:
        reason = f"{error.strerror}; all files are in {out}, take that back with `trainer apply --undo {journal}`"
        raise OSError(error.errno, reason, error.filename) from None


def _targets(folder: Path, partial: Path, placements: Sequence[Placement]) -> list[tuple[Placement, Path, Path]]:
    """(placement, its file, its new place) of what is placed; the folders of the new places are made."""
    placed = [(p, folder / p.source, partial / p.target) for p in placements if p.target is not None]
    for parent in dict.fromkeys(target.parent for _, _, target in placed):
        parent.mkdir(parents=True, exist_ok=True)
    return placed


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        raise TrainerError(
            f"{target.name}: this file system has no hard links ({error.strerror}), by which --move is safe; leave out "
            "--move, to copy"
        ) from None


def _check_unchanged(source: Path, before: State) -> None:
    if state(source) != before:
        raise TrainerError(f"{source}: changed while it was worked on; nothing was done: run it again")


def _write_applied(path: Path, placements: Sequence[Placement]) -> None:
    """What became of every file, a row each."""
    with naming(path), path.open("x", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for placement in placements:
            sample = placement.sample
            names = (placement.source, sample.given, placement.outcome, placement.label, placement.target)
            table.writerow((sample.split, sample.id, *(formula_safe(name or "") for name in names)))
