"""Where an image set lies: where the user says, under the raw folder, or on the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datatools.errors import DataToolsError, listed
from datatools.files.addresses import Archive, is_url, url_name
from datatools.progress import Progress
from datatools.sources.base import Request


class Located(NamedTuple):
    """Where a source lies, and what the user should know about how it came there."""

    path: Path
    notices: tuple[str, ...] = ()


def locate(request: Request, names: Sequence[str], title: str, official: Sequence[Archive], hint: str = "") -> Located:
    """Find an image set: where the user says, under `request.raw`, or on the network.

    Args:
        names: what is looked for under `raw`, the best first.
        official: its official archives; the first one is downloaded where nothing is there. Their checksums hold for
            mirrors too. Empty where there is no public address: `hint` says then how to get the set.

    Raises:
        DataToolsError: it is not there and cannot be downloaded; the message says where to put it.
    """
    location = request.location
    if location is not None and is_url(str(location)):
        return _mirrored(str(location), request, official)
    if location is not None:
        return Located(Path(location))
    for name in names:
        if (request.raw / name).exists():
            return Located(request.raw / name)
    if not official:
        raise DataToolsError(f"{request.raw}: no {title} there (looked for {listed(names, 6)}); {hint}")
    archive = official[0]
    target = request.raw / archive.name
    fetch(archive.url, target, archive, request.progress)
    return Located(target, (f"{target}: downloaded from {archive.url}, its MD5 is the published one",))


def fetch(url: str, target: Path, official: Archive | None, progress: Progress) -> None:
    """As `files.download.download`, which is loaded here: http and ssl take as long as the decoder of images."""
    from datatools.files.download import download

    download(url, target, official, progress)


def _mirrored(url: str, request: Request, official: Sequence[Archive]) -> Located:
    name = url_name(url)
    target = request.raw / name
    if target.exists():
        return Located(target, (f"{target}: there already, not downloaded again",))
    by_name = {archive.name: archive for archive in official}
    fetch(url, target, by_name.get(name), request.progress)
    if name in by_name:
        return Located(target, (f"{target}: downloaded from {url}, its MD5 is the official archive's",))
    expected = f" ({listed(list(by_name), 6)})" if by_name else ""
    return Located(
        target, (f"{target}: downloaded unchecked: {name} is not the name of an official archive{expected}",)
    )
