"""Noise as the authors' public code draws it: `datatools corrupt --as NAME`.

What is taken from each code is its convention and order, in words of our own; every module names the file it is from.
Adding one: a module with a `Convention`, and a line in CONVENTIONS.
"""

from __future__ import annotations

from dataclasses import replace

from datatools.errors import DataToolsError
from datatools.noise.base import Drawn, NoiseType
from datatools.noise.published import co_teaching, dividemix, elr, sop
from datatools.noise.published.base import Convention

CONVENTIONS: dict[str, Convention] = {
    "co-teaching": co_teaching.CONVENTION,
    "co-teaching-numpy-1.17": co_teaching.NUMPY_1_17,
    "elr": elr.CONVENTION,
    "sop": sop.CONVENTION,
    "dividemix": dividemix.CONVENTION,
}


def published_type(name: str, noise: str) -> NoiseType:
    """How the code `name` draws the noise type `noise`.

    Raises:
        DataToolsError: no such code, or it has no such noise.
    """
    if name not in CONVENTIONS:
        raise DataToolsError(f"--as {name}: not known; known are {', '.join(CONVENTIONS)}")
    convention = CONVENTIONS[name]
    if noise not in convention.types:
        raise DataToolsError(
            f"--as {name}: {convention.method}'s code has no {noise} noise; its types are {', '.join(convention.types)}"
        )
    return convention.types[noise]


def as_published(drawn: Drawn, name: str, noise: str) -> Drawn:
    """What the code `name` drew, with what dataset.json and the user are told of it."""
    convention = CONVENTIONS[name]
    facts = {"name": name, "type": noise, "paper": convention.paper, "code": convention.code}
    if convention.differs:
        facts["differs"] = convention.differs
    notices = (*drawn.notices, *([f"--as {name}: {convention.differs}"] if convention.differs else []))
    return replace(drawn, facts={**drawn.facts, "as": facts}, notices=notices)
