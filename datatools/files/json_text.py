"""JSON of others, in little memory: what is in it is counted before the parser makes objects of it."""

from __future__ import annotations

import json
from typing import Any

MAX_JSON_BYTES = 16 << 20
MAX_CONTAINERS = 200_000
"""How many objects and lists may be in it: each takes 64 bytes of memory and more, in a text of two."""
MAX_DEPTH = 100
"""How deep the objects and lists may lie in each other; this package writes four levels."""


def parse_object(text: str) -> dict[str, Any]:
    """The object that an untrusted JSON text holds.

    Raises:
        ValueError: no JSON object, too large, of too many parts, nested too deeply, or not to be written back as it is.
    """

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not a number JSON knows")

    # counted before the parser makes an object of each
    if len(text.encode()) > MAX_JSON_BYTES:
        raise ValueError(f"larger than {MAX_JSON_BYTES >> 20} MiB")
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise ValueError(f"more than {MAX_CONTAINERS:,} objects and lists")
    try:
        value = json.loads(text, parse_constant=no_constant)
        # what cannot be written back as it was read: lone surrogates, numbers beyond a float
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _is_deeper(value, MAX_DEPTH):  # Pythons differ in what they can write back of what they read
        raise ValueError(f"nested too deeply, {MAX_DEPTH} levels at most are expected")
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _is_deeper(value: Any, limit: int) -> bool:
    """Whether objects and lists lie in each other more than `limit` levels deep."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for part in level
            if isinstance(part, (dict, list))
            for inner in (part.values() if isinstance(part, dict) else part)
        ]
    return any(isinstance(part, (dict, list)) for part in level)
