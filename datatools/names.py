"""Names that stand in files and become part of a path: one part of it, and nothing that leads elsewhere."""

from __future__ import annotations

import re

from datatools.errors import DataToolsError

MAX_NAME_BYTES = 255
"""What the common file systems allow."""
PART = rf"(?!\.\.?(?:/|\Z))[^/\\\x00-\x1f\x7f-\x9f]{{1,{MAX_NAME_BYTES}}}"
"""One part of a path: no separator, no control character, neither "." nor ".."."""
NAME = re.compile(PART)
PATH = re.compile(rf"{PART}(?:/{PART})*")


def is_plain_name(name: str) -> bool:
    """Whether `name` is one part of a path: no separator or control character, neither "." nor "..", 1 to 255 bytes."""
    if not NAME.fullmatch(name):
        return False
    return name.isascii() or len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES


def is_plain_path(path: str) -> bool:
    """Whether `path` is made of such parts, with "/" between them: it stays below the folder that it is joined to."""
    return PATH.fullmatch(path) is not None


def plain_name(name: object, what: str, error: type[Exception] = DataToolsError) -> str:
    """`name`, after a look at whether it may become part of a path.

    Args:
        what: the place of the name, for the error.
        error: what is raised, such as a package's own error.

    Raises:
        error: no text, or not what `is_plain_name` accepts.
    """
    if not isinstance(name, str) or not is_plain_name(name):
        raise error(
            f"{what} should be a plain name (1 to {MAX_NAME_BYTES} bytes, no / or \\, no control character, not . or "
            f"..), is {name!r:.60}"
        )
    return name
