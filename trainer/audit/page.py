"""page.html: the most suspicious images on one self-contained page, for eyes that judge them.

It loads nothing, from no network and no other file: pictures are data in it, there is no script, and a content security
policy says so. Names come from the dataset, so from anybody: they are escaped, and isolated from the text around them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from datatools.contact_sheet import Tile
from datatools.printable import printable

LARGEST_SIDE = 256
"""Larger images are shrunk to this many pixels a side."""
SHOWN_SIDE = 132
"""How large an image is shown, in CSS pixels."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = f"""
:root {{ color-scheme: light dark; --ink: #1b1b1b; --soft: #5c5c5c; --paper: #fbfbf9; --card: #fff; --line: #dcdcd6;
  --mark: #b34a00; --bar: #d55e00; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #ececec; --soft: #a8a8a8; --paper: #161718; --card: #202224; --line: #393c3f; --mark: #ffa25c;
    --bar: #e8792b; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }}
h1 {{ font-size: 1.45rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }}
p {{ margin: .3rem 0; max-width: 46rem; overflow-wrap: anywhere; }}
.soft {{ color: var(--soft); }}
dl {{ display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 1rem 0 1.4rem; }}
dl div {{ min-width: 6rem; }}
dt {{ color: var(--soft); font-size: .85rem; }}
dd {{ margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }}
ol {{ list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax({SHOWN_SIDE + 24}px, 1fr)); }}
li {{ background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 11px; min-width: 0; }}
img {{ display: block; width: {SHOWN_SIDE}px; height: {SHOWN_SIDE}px; object-fit: contain; margin: 0 auto .5rem;
  image-rendering: pixelated; }}
.names {{ overflow-wrap: anywhere; }}
.names b {{ color: var(--mark); }}
.bar {{ height: 4px; background: var(--line); border-radius: 2px; margin: .45rem 0 .3rem; }}
.bar i {{ display: block; height: 100%; background: var(--bar); border-radius: 2px; }}
small {{ display: block; color: var(--soft); font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
"""


def render(title: str, lead: Sequence[str], figures: Sequence[tuple[str, str]], cards: Sequence[str]) -> str:
    """The page as text.

    Args:
        lead: paragraphs. figures: (term, value). All of them are escaped here. cards: what `card` gave, in order.
    """
    paragraphs = "\n".join(f'<p class="soft">{_text(text)}</p>' for text in lead)
    terms = "\n".join(f"<div><dt>{_text(term)}</dt><dd>{_text(value)}</dd></div>" for term, value in figures)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{_text(title)}</h1>
{paragraphs}
<dl>
{terms}
</dl>
<ol>
{"".join(cards)}</ol>
</body>
</html>
"""


def card(tile: Tile, facts: dict[str, Any], file: str | None) -> str:
    """The item of one image.

    Args:
        tile: the image, its id and its caption: the given label's name and the suggested one's.
        facts: suspicion, confidence, given_probability, suggested_probability in [0, 1]; loss_rank; clean_name, the
            clean label's, or None. file: its path, or None.
    """
    label, suggested = (_text(name or "(no name)") for name in tile.caption)
    lines = [
        f"#{tile.record}, suspicion {facts['suspicion']:.3f}",
        f"p {facts['given_probability']:.2f} → {facts['suggested_probability']:.2f}, loss rank {facts['loss_rank']:,}",
    ]
    details = "".join(f"<small>{line}</small>" for line in lines)
    if file is not None:
        details += f"<small><bdi>{_text(file)}</bdi></small>"
    if facts["clean_name"] is not None:
        details += f"<small>truth: <bdi>{_text(facts['clean_name'] or '(no name)')}</bdi></small>"
    return (
        f'<li><img alt="image {tile.record}" src="{_data(tile.pixels)}">'
        f'<div class="names"><bdi>{label}</bdi> → <b><bdi>{suggested}</bdi></b></div>'
        f'<div class="bar"><i style="width:{100 * facts["suspicion"]:.1f}%"></i></div>{details}</li>\n'
    )


def _text(text: str) -> str:
    """`text` for HTML, where characters that are orders, as of another direction of writing, show themselves."""
    return escape(printable(text))


def _data(pixels: np.ndarray) -> str:
    """(height, width, 1 or 3) uint8 as a PNG in a data URI."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
