"""Names that stand in files and become part of a path: one part of it, and nothing that leads elsewhere."""

from __future__ import annotations

import re

from datatools.errors import DataToolsError

MAX_NAME_BYTES = 255
"""What the common file systems allow."""
NOT_IN_A_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")


def is_plain_name(name: str) -> bool:
    """Whether `name` is one part of a path: no separator or control character, neither "." nor "..", 1 to 255 bytes."""
    if name in ("", ".", "..") or NOT_IN_A_NAME.search(name):
        return False
    return len(name) * 4 <= MAX_NAME_BYTES or len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES


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
