"""Elements of the page. Text goes in as text: the serialiser escapes it, so that no name can become markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote
from xml.etree.ElementTree import Element, tostring

from trainer.report.collect import printable

Attributes = dict[str, str | float]
Content = Element | str | None
"""A child of an element; None is left out."""
_BREAKS = re.compile(r"(?<=[/-])(?=[^\s/-])|(?<=[\w)])(?:\.[A-Za-z][A-Za-z0-9]{0,5})+(?![\w.])")
"""Places after a slash or a hyphen, and the endings of file names."""


def tag(name: str, attributes: Mapping[str, str | float] | str | None = None, *content: Content) -> Element:
    """An element.

    Args:
        attributes: by name; a string alone is its class.
    """
    values = {"class": attributes} if isinstance(attributes, str) else (attributes or {})
    element = Element(name, {key: _text(value) for key, value in values.items()})
    add(element, content)
    return element


def add(element: Element, content: Iterable[Content]) -> None:
    """Append content to an element."""
    for child in content:
        if isinstance(child, Element):
            element.append(child)
        elif child is not None:
            text = printable(child)
            if len(element):
                element[-1].tail = (element[-1].tail or "") + text
            else:
                element.text = (element.text or "") + text


def breakable(text: str) -> Iterator[Content]:
    """A text with file names, that may be broken after a slash or a hyphen, and before an ending.

    An ending, as ".csv" or ".tar.gz", is itself never broken.
    """
    start = 0
    for place in _BREAKS.finditer(text):
        yield text[start : place.start()]
        yield tag("wbr")
        if place[0]:
            yield tag("span", "ending", place[0])
        start = place.end()
    yield text[start:]


def shorten(text: str, limit: int) -> str:
    """`text`, or its beginning and an ellipsis."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def html(element: Element) -> str:
    """The element as HTML text."""
    return tostring(element, encoding="unicode", method="html")


def relative_link(path: str) -> str:
    """A relative path as the target of a link; never one with a scheme of its own, as javascript: is."""
    return quote(path if path.startswith(("/", ".")) else f"./{path}", errors="surrogateescape")


def number(value: float) -> str:
    """A coordinate: at most one decimal."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def _text(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else number(value)
