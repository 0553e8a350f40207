"""Official archives and where they are fetched from; `datatools.download` fetches them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from datatools.errors import DataToolsError


@dataclass(frozen=True)
class Archive:
    """An official file.

    Attributes:
        name: the name it is kept under. url: its address.
        md5: as it is published.
        size: its bytes, or None where that is not known.
        sha256: computed from a file with the published MD5, or None where there was none.
    """

    name: str
    url: str
    md5: str
    size: int | None = None
    sha256: str | None = None


def is_url(text: str) -> bool:
    """Whether `text` is the address of something to download: http or https."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def url_name(url: str) -> str:
    """The base name of an address.

    Raises:
        DataToolsError: it has none that would do as a file name.
    """
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError as error:
        raise DataToolsError(f"{url}: not an address ({error}); give --source the address of the archive") from None
    if not name or name.startswith(".") or len(name) > 200 or not name.isprintable():
        raise DataToolsError(f"{url}: does not end in a file name; give --source the address of the archive itself")
    return name
