"""`trainer apply`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datatools.commands.options import no_fsync_option, print_notices
from datatools.commands.printing import echo

if TYPE_CHECKING:
    from trainer.review.items import Audit
    from trainer.review.plan import Placement

SHOWN_CLASSES, NAME_WIDTH = 40, 40


@click.command(epilog="Example: trainer apply decisions.csv --to my_photos_clean")
@click.argument("decisions", metavar="[DECISIONS]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--to",
    "out",
    type=click.Path(path_type=Path),
    help="Folder to make; with --undo, where the folder that --move made is now.  [default with --undo: as the file "
    "says]",
)
@click.option(
    "--audit",
    "audit_folder",
    type=click.Path(path_type=Path),
    default=Path("audit"),
    show_default=True,
    help="Folder that the audit made.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where the audited folder, or dataset, is now.  [default: where it was when it was audited]",
)
@click.option(
    "--new-classes",
    is_flag=True,
    help="Let decisions name classes that the folder has not; without it they are taken for slips.",
)
@click.option(
    "--move",
    is_flag=True,
    help="Move the files instead of copying them. Removed ones stay where they are. DIR.undo.jsonl beside the new "
    "folder is what --undo takes it back by.",
)
@click.option(
    "--undo",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take back what --move did, by the file that it left.  [default: apply decisions]",
)
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be done; write nothing.")
@no_fsync_option
def apply(
    decisions: Path | None, out: Path | None, undo: Path | None, audit_folder: Path, folder: Path | None, **given: Any
) -> None:
    """Copy the audited files into a new folder, each in the class that was decided for it.

    DECISIONS is the decisions.csv of a review page, or an audit's suggestions.csv. The files stay as they are, byte for
    byte, and keep their place below their class. One that is to be removed is left out; one that nobody decided on
    keeps its class. All files are compared with their SHA-256 of the audit first. Of a dataset without files, a copy
    with other labels is made.
    """
    if undo is not None:
        if decisions is not None or given["move"] or given["new_classes"]:
            raise click.UsageError("--undo FILE goes with --folder, --to and --dry-run alone")
        _undo(undo, folder, out, given["dry_run"])
        return
    if decisions is None or out is None:
        raise click.UsageError("DECISIONS and --to DIR are expected, or --undo FILE")
    from trainer.review.index import read_audit_index

    audit = read_audit_index(audit_folder)
    (_to_dataset if audit.folder is None else _to_folder)(audit, decisions, out, folder, **given)


def _to_folder(
    audit: Audit, path: Path, out: Path, folder: Path | None, *, new_classes: bool, move: bool, dry_run: bool
) -> None:
    from datatools.progress import progress_bar
    from trainer.review.copying import apply_to_folder
    from trainer.review.decisions import read_decisions

    decisions = read_decisions(path, audit, new_classes)
    with progress_bar(f"apply to {folder or audit.folder}", "files checked and copied") as progress:
        made = apply_to_folder(audit, decisions, out, folder=folder, move=move, dry_run=dry_run, progress=progress)
    print_notices(made.notices)
    for line in _table(made.placements):
        echo(line)
    counts = Counter(placement.outcome for placement in made.placements)
    placed = sum(placement.target is not None for placement in made.placements)
    if dry_run:
        echo(f"{out}: would have {placed:,} files; nothing was written (--dry-run)")
        return
    stay = f"; {counts['remove']:,} removed ones stay in {folder or audit.folder}" if counts["remove"] else ""
    echo(f"{out}: {placed:,} files {f'moved{stay}' if move else 'copied'}; what became of each is in its applied.csv")
    if made.journal is not None:
        echo(f"to take it back: trainer apply --undo {made.journal}")


def _table(placements: Sequence[Placement]) -> list[str]:
    """What was done per class that the files had: kept, changed, removed, undecided."""
    from trainer.review.plan import OUTCOMES

    counts: dict[str, Counter[str]] = {}
    for placement in placements:
        counts.setdefault(placement.sample.given, Counter())[placement.outcome] += 1
    total = sum(counts.values(), Counter())
    busiest = sorted(counts, key=lambda name: (-counts[name].total() + counts[name]["undecided"], name))
    shown = {name: counts[name] for name in busiest[:SHOWN_CLASSES]}
    rows = list(shown.items()) + [("all classes", total)] * (len(counts) != 1)
    named = [(name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…", row) for name, row in rows]
    width = max(len(name) for name, _ in named)
    lines = [f"{'class':<{width}} " + " ".join(f"{outcome:>9}" for outcome in OUTCOMES)]
    for name, row in named:
        lines.append(f"{name:<{width}} " + " ".join(f"{row[outcome]:>9,}" for outcome in OUTCOMES))
    if len(counts) > SHOWN_CLASSES:
        lines.insert(-1, f"… and {len(counts) - SHOWN_CLASSES:,} more classes")
    return lines


def _to_dataset(
    audit: Audit, path: Path, out: Path, folder: Path | None, *, new_classes: bool, move: bool, dry_run: bool
) -> None:
    from datatools.progress import progress_bar
    from trainer.errors import TrainerError
    from trainer.review.decisions import read_decisions
    from trainer.review.relabelled import apply_to_dataset

    if move or new_classes:
        raise TrainerError("--move, --new-classes: the audit is of a dataset without files; leave them out")
    decisions = read_decisions(path, audit)
    with progress_bar(f"copy {folder or audit.dataset}", "images") as progress:
        counts = apply_to_dataset(audit, decisions, out, data=folder, dry_run=dry_run, progress=progress)
    if audit.not_usable is not None:
        print_notices((f"the audit calls its suggestions not usable: {audit.not_usable}",))
    echo(
        f"{counts.decided:,} training labels decided on, {counts.changed:,} of them changed; {counts.not_reviewed:,} "
        "not reviewed"
    )
    echo(f"{out}: would be made; nothing was written (--dry-run)" if dry_run else f"{out}: dataset, changes.csv")


def _undo(path: Path, folder: Path | None, made: Path | None, dry_run: bool) -> None:
    from datatools.progress import progress_bar
    from trainer.review.undo import undo

    with progress_bar(f"undo {path}", "files") as progress:
        done = undo(path, folder, made, progress, dry_run)
    if dry_run:
        echo(f"{done.folder}: {done.files:,} files would go back there; nothing was done (--dry-run)")
        return
    if done.left:
        from datatools.errors import listed

        print_notices((f"left where they are, as --move did not put them there: {listed(done.left)}",))
    echo(f"{done.folder}: {done.files:,} files are back")
