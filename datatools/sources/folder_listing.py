"""What lies in a folder of the user's, or in a zip archive of one, at any depth: files, folders, and what is neither.

Nothing is left out in silence: what the system put there (Thumbs.db, .DS_Store, …) and hidden files are counted; links
that lead round in a circle, folders that cannot be read and names that are no text are bad files with a reason.
"""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from datatools.decoding.chunks import BadFile
from datatools.errors import DataToolsError
from datatools.files.trees import ZipTree
from datatools.printable import printable

SYSTEM = re.compile(
    r"\..*|thumbs\.db|ehthumbs(_vista)?\.db|desktop\.ini|icon\r|__macosx|@eadir|\$recycle\.bin"
    r"|system volume information|lost\+found",
    re.IGNORECASE | re.DOTALL,
)
"""Names of what systems, and not people, put into folders; and hidden ones (.DS_Store, ._*, .ipynb_checkpoints)."""


@dataclass
class Listing:
    """What was found below a folder. Paths are relative to it, with "/".

    Attributes:
        files: the plain files. folders: the folders. Both but for those of SYSTEM, in no particular order.
        bad: what is neither, or cannot be looked into.
        system: how many files and folders of each name of SYSTEM were passed over; nothing below them is counted.
    """

    files: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    bad: list[BadFile] = field(default_factory=list)
    system: Counter[str] = field(default_factory=Counter)

    def subfolders(self, prefix: str) -> list[str]:
        """Names of the folders directly below `prefix` ("" or "…/"), sorted."""
        start = len(prefix)
        return sorted(path[start:] for path in self.folders if path.startswith(prefix) and "/" not in path[start:])

    def files_in(self, prefix: str) -> list[str]:
        """Paths of the files directly below `prefix`, sorted."""
        return sorted(path for path in self.files if path.startswith(prefix) and "/" not in path[len(prefix) :])

    def below(self, prefix: str) -> Listing:
        """What is below `prefix`, with paths from there; what was passed over stays counted."""
        cut = len(prefix)
        return Listing(
            [path[cut:] for path in self.files if path.startswith(prefix)],
            {path[cut:] for path in self.folders if path.startswith(prefix)},
            [bad._replace(path=bad.path[cut:]) if bad.path.startswith(prefix) else bad for bad in self.bad],
            self.system,
        )


def list_folder(folder: Path) -> Listing:
    """What lies below `folder`. Links to files and folders are followed, and no folder is read twice.

    Raises:
        DataToolsError: the folder itself cannot be read.
    """
    listing = Listing()
    read_already: dict[tuple[int, int], str] = {}
    pending, linked = [""], deque[str]()
    while pending or linked:  # links last, so that a folder is known by its own path
        prefix = pending.pop() if pending else linked.popleft()
        try:
            status = os.stat(folder / prefix)  # noqa: PTH116 - beside scandir
            identity = (status.st_dev, status.st_ino)
            if (first := read_already.setdefault(identity, prefix)) != prefix:
                reason = f"a link to a folder that is read already ({printable(first.rstrip('/') or folder)})"
                listing.bad.append(BadFile(printable(prefix[:-1]), reason))
                continue
            with os.scandir(folder / prefix) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise DataToolsError(f"{folder}: cannot be read ({error.strerror}); look at its permissions") from None
            listing.bad.append(BadFile(printable(prefix[:-1]), f"a folder that cannot be read ({error.strerror})"))
            continue
        if prefix:
            listing.folders.add(prefix[:-1])
        for entry in entries:
            _look_at(entry, prefix, listing, pending, linked)
    return listing


def _look_at(entry: os.DirEntry[str], prefix: str, listing: Listing, pending: list[str], linked: deque[str]) -> None:
    """Put an entry of a folder where it belongs."""
    path = prefix + entry.name
    if SYSTEM.fullmatch(entry.name):
        listing.system[printable(entry.name)] += 1
        return
    try:
        path.encode()
        if entry.is_dir():
            (linked.append if entry.is_symlink() else pending.append)(f"{path}/")
        elif entry.is_file():
            listing.files.append(path)
        else:
            what = "a link that leads nowhere" if entry.is_symlink() else "not a plain file"
            listing.bad.append(BadFile(printable(path), what))
    except UnicodeEncodeError:
        listing.bad.append(BadFile(printable(path), "a name that is no UTF-8 text (rename it)"))
    except OSError as error:
        listing.bad.append(BadFile(printable(path), f"cannot be looked at ({error.strerror})"))


def list_archive(tree: ZipTree) -> Listing:
    """What lies in a zip archive."""
    listing = Listing()
    reason = "a link, or a path that leads out of the archive"
    listing.bad = [BadFile(printable(name), reason) for name in tree.unseen() if not _system_part(name)]
    system: set[str] = set()
    for path in tree.names():
        if part := _system_part(path):
            system.add(part)
            continue
        listing.files.append(path)
        _add_folders(path.rpartition("/")[0], listing)
    for path in tree.folders():
        if part := _system_part(path):
            system.add(part)
        else:
            _add_folders(path, listing)
    listing.system.update(printable(part.rpartition("/")[2]) for part in system)
    return listing


def _add_folders(path: str, listing: Listing) -> None:
    while path and path not in listing.folders:
        listing.folders.add(path)
        path = path.rpartition("/")[0]


def _system_part(path: str) -> str:
    """The path up to its first part that is one of SYSTEM; "" where none is."""
    parts = path.split("/")
    for number, part in enumerate(parts):
        if SYSTEM.fullmatch(part) and part not in (".", ".."):
            return "/".join(parts[: number + 1])
    return ""
