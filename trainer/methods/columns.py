"""What a run says of each training sample when it is over: a column of samples.h5 is declared once.

samples.h5, the report and `relabel` read these declarations. The engine's own columns are in `trainer.runs.samples`; a
method declares its own in `Method.columns`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SampleColumn:
    """A column of samples.h5.

    Attributes:
        name: its data set there. dtype: of its values, as NumPy calls it. missing: stands where nothing is known.
        each_class: whether a sample has a value for each class, (N, K), or one, (N,).
        is_label: whether it holds classes, -1 where there is none.
        replaces_label: whether that class takes the place of the given label.
        in_every_run: whether the runs of all methods have the column, as the file's format promises of some.
    """

    name: str
    dtype: str
    missing: float = -1
    each_class: bool = False
    is_label: bool = False
    replaces_label: bool = False
    in_every_run: bool = False
