"""Which class each image of a folder belongs to (docs/decisions/0026-messy-folders.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from datatools.decoding.chunks import BadFile
from datatools.decoding.formats import SUFFIXES, missing_decoder
from datatools.errors import DataToolsError, listed
from datatools.printable import printable
from datatools.sources.folder_listing import Listing

SHOWN_SUFFIXES = "png, jpg, tif, gif, bmp, webp, heic, avif"


@dataclass
class ClassFiles:
    """The images of a folder.

    Attributes:
        class_names: the classes, sorted.
        splits: (path below the folder, label) of the images of "train" and "test", in order.
        empty: class folders without an image, below the folder.
        bad: what cannot be used. notices: what was passed over, a line each.
    """

    class_names: tuple[str, ...]
    splits: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: {"train": [], "test": []})
    empty: list[str] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def check_no_class_is_empty(self, location: Path, skip_bad: bool) -> None:
        """Raise DataToolsError where a class has no image, but for bad files that are to be reported first."""
        holders = set() if skip_bad else {"/".join(bad.path.split("/")[:depth]) for bad in self.bad for depth in (1, 2)}
        empty = [name for name in self.empty if name not in holders]
        if empty:
            raise DataToolsError(
                f"{location / empty[0]}: no images in this class folder"
                + (f", nor in {listed(empty[1:])}" if len(empty) > 1 else "")
                + f" ({SHOWN_SUFFIXES}); put images into it, or move it out of {location}"
            )


def outermost(listing: Listing) -> str:
    """The path, "" or "…/", of the folder that a zip archive was made of.

    A zipped folder is the only one in its archive. So a single folder with folders in it is no class, nor is one in it
    that has no images of its own.
    """
    prefix = ""
    while True:
        top = listing.subfolders(prefix)
        if len(top) != 1 or top[0] in ("train", "test"):
            return prefix
        inner = f"{prefix}{top[0]}/"
        if not listing.subfolders(inner) or (prefix and any(map(_is_image, listing.files_in(inner)))):
            return prefix
        prefix = inner


def find_classes(listing: Listing, location: Path, formats: tuple[str, ...]) -> ClassFiles:
    """The images of a listing, by split and class.

    Args:
        location: where it is, for messages. formats: Pillow's names of what can be decoded.

    Raises:
        DataToolsError: there are no class folders, or the test split has classes of its own.
    """
    top = listing.subfolders("")
    is_split = "train" in top and bool(listing.subfolders("train/"))
    if not top:
        inside = f"; what is there cannot be used: {listed([f'{bad.path}: {bad.reason}' for bad in listing.bad], 3)}"
        raise DataToolsError(
            f"{location}: no class folders in it; images belong in <class>/*.png or train/<class>/*.png"
            + (inside if listing.bad else "")
        )
    classes = listing.subfolders("train/") if is_split else top
    prefixes = {"train/": "train", "test/": "test"} if is_split else {"": "train"}
    found = ClassFiles(tuple(classes))
    if is_split:
        if left := [name for name in top if name not in ("train", "test")]:
            found.notices.append(f"{location}: {listed(left)} left out, only train/ and test/ are read")
        _check_test_classes(listing, location, classes)
        found.bad = [bad for bad in listing.bad if bad.path.partition("/")[0] not in left]
    else:
        found.bad = list(listing.bad)
    _sort_files(listing, prefixes, formats, found)
    if listing.system:
        counts = sorted(listing.system.items(), key=lambda item: (-item[1], item[0]))
        names = listed([f"{name} {count:,}" if count > 1 else name for name, count in counts])
        found.notices.append(
            f"{location}: hidden and system files and folders, passed over: {listing.system.total():,} ({names})"
        )
    return found


def _check_test_classes(listing: Listing, location: Path, classes: list[str]) -> None:
    if "test" not in listing.folders:
        return
    test_classes = listing.subfolders("test/")
    if unknown := sorted(set(test_classes) - set(classes)):
        raise DataToolsError(
            f"{location / 'test'}: classes without training images ({listed(unknown)}); add them to train/, rename "
            "them, or move them away"
        )
    if not test_classes:
        raise DataToolsError(f"{location / 'test'}: no class folders in it; fill it, or move it away to split train/")


def _sort_files(listing: Listing, prefixes: dict[str, str], formats: tuple[str, ...], found: ClassFiles) -> None:
    """Put each file of a listing where it belongs in `found`."""
    labels = {name: label for label, name in enumerate(found.class_names)}
    filled: set[str] = set()
    deeper, beside = 0, []
    for path in sorted(listing.files):
        prefix = next((prefix for prefix in prefixes if path.startswith(prefix)), None)
        if prefix is None:
            if "/" not in path:
                beside.append(path)
            continue  # below a folder of which the user is told
        name, _, rest = path[len(prefix) :].partition("/")
        if not rest:
            beside.append(path)
            continue
        kind = SUFFIXES.get(PurePosixPath(path).suffix.lower())
        reason = missing_decoder(kind, formats) if kind else f"not an image file ({SHOWN_SUFFIXES})"
        if reason:
            found.bad.append(BadFile(printable(path), reason))
            continue
        filled.add(prefix + name)
        deeper += "/" in rest
        found.splits[prefixes[prefix]].append((path, labels[name]))
    for images in found.splits.values():
        images.sort(key=lambda image: (image[1], image[0]))
    found.bad += [BadFile(printable(path), "in no class folder") for path in beside if _is_image(path)]
    folders = [prefix + name for prefix in prefixes for name in listing.subfolders(prefix)]
    found.empty = [folder for folder in folders if folder not in filled]
    if others := [printable(path) for path in beside if not _is_image(path)]:
        found.notices.append(f"files beside the class folders, passed over: {len(others):,} ({listed(others)})")
    if deeper:
        found.notices.append(f"images in folders below a class folder, which belong to that class: {deeper:,}")


def _is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in SUFFIXES
