"""Text from files on its way to a terminal, a page or a spreadsheet, where some characters are orders.

An escape sequence in a class name would move the cursor, rename the window or hide a line; a bidirectional override
shows a name as another one; a cell that begins with "=" is a formula.
"""

from __future__ import annotations

import re

ORDERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, direction marks and overrides, line and paragraph separators, and bytes that are no UTF-8."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheets take for a formula (OWASP, "CSV Injection")."""


def printable(text: object) -> str:
    r"""`text` in one line that shows itself and does nothing else: ESC becomes \x1b, U+202E \u202e."""
    return ORDERS.sub(lambda match: _escaped(ord(match[0])), str(text))


def printable_json(text: str) -> str:
    r"""A JSON text with the same value, whose strings show such characters as \u001b; its lines stay lines."""
    return ORDERS.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def formula_safe(cell: str) -> str:
    """A text cell of a CSV file with an apostrophe before what a spreadsheet would take for a formula.

    A cell that begins with apostrophes and goes on like a formula gets one more, so that `formula_undone` gives back
    every text exactly.
    """
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULA) else cell


def formula_undone(cell: str) -> str:
    """The text that `formula_safe` made `cell` of; one that never had an apostrophe put before it stays."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULA) else cell
