"""Damages bytes and JSON, as chance and forgers do: each mutation is a function of a random generator."""

from __future__ import annotations

import json
import random
import re
import struct
from typing import Any

NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
"""Lengths and offsets on which programs break."""
DIGITS = (b"0", b"-1", b"9" * 4, b"9" * 19, b"9" * 30, b"1e999", b"nan", b"\xd9\xa3")
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, "", ".", "..", "../../escaped", "/tmp/escaped",
    "a/b", "a\\b", "a\0b", "\x1b[2J", "\u202etxt", "\ud800", "=1+1", "x" * 300, "0" * 64, [], {}, [[]], [None],
    {"": None},
)  # fmt: skip


def mutated(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    """`data` after one to four mutations; `donor` gives bytes of another file of the kind."""
    if data.startswith(b"{") and rng.random() < 0.6:
        return mutated_json(data, rng)
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice(MUTATIONS)(data, donor, rng)
    return data


def _place(data: bytes, rng: random.Random) -> int:
    """Somewhere in the data; more often where headers and directories are."""
    end = len(data)
    return rng.choice(
        (rng.randrange(end + 1), rng.randrange(min(end, 600) + 1), end - rng.randrange(min(end, 300) + 1))
    )


def _flip(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    place = min(_place(data, rng), len(data) - 1)
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def _set_bytes(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    place = _place(data, rng)
    new = rng.choice((b"\0", b"\xff", b"/", b"\n", rng.randbytes(rng.randrange(1, 9))))
    return data[:place] + new + data[place + len(new) :]


def _set_number(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    size, place = rng.choice((1, 2, 4, 8)), _place(data, rng)
    new = struct.pack(rng.choice("<>") + "Q", rng.choice(NUMBERS))
    new = new[:size] if rng.random() < 0.5 else new[-size:]
    return data[:place] + new + data[place + size :]


def _change_digits(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    numbers = list(re.finditer(rb"-?\d+", data[:100_000]))
    if not numbers:
        return _set_number(data, donor, rng)
    match = rng.choice(numbers)
    return data[: match.start()] + rng.choice(DIGITS) + data[match.end() :]


def _truncate(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    return data[: _place(data, rng)]


def _insert(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    place = _place(data, rng)
    return data[:place] + rng.choice((rng.randbytes(rng.randrange(1, 64)), bytes(rng.randrange(1, 600)))) + data[place:]


def _remove(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + rng.randrange(1, 64) :]


def _repeat(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    start = _place(data, rng)
    part = data[start : start + rng.randrange(1, 600)]
    return data[:start] + part * rng.choice((2, 3, 50)) + data[start + len(part) :]


def _splice(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    return data[: _place(data, rng)] + donor[_place(donor, rng) :]


def _move(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    start, length = _place(data, rng), rng.randrange(1, 64)
    part, rest = data[start : start + length], data[:start] + data[start + length :]
    place = _place(rest, rng)
    return rest[:place] + part + rest[place:]


MUTATIONS = (
    _flip, _flip, _set_bytes, _set_number, _set_number, _change_digits, _truncate, _insert, _remove, _repeat, _splice,
    _move,
)  # fmt: skip


def mutated_json(data: bytes, rng: random.Random) -> bytes:
    """A JSON text with one to three values changed, left out, or in another place."""
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.6:
            holder[key] = rng.choice(VALUES)
        elif kind < 0.75:
            del holder[key]
        elif kind < 0.9:
            other_holder, other_key = rng.choice(places)
            holder[key] = json.loads(json.dumps(other_holder[other_key]))
        elif isinstance(holder, list):
            holder *= rng.choice((0, 2, 40))
        else:
            holder[str(rng.choice(VALUES))] = holder[key]
    return json.dumps(value).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(object or list, key or number) of everything in `value`."""
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return []
    return [(value, key) for key, _ in items] + [place for _, inner in items for place in _places(inner)]
