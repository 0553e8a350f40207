"""Finished runs side by side: a page, its data and its figures, and a table on the screen.

Runs that differ in nothing but seeds (of the noise, of the training) form a group; a group is a line of the table.
"""

from __future__ import annotations

from trainer.report.collect import FinishedRun, Group, collect, groups
from trainer.report.data_files import write_csv
from trainer.report.table import table
from trainer.report.writing import write_report
from trainer.runs.result import HEADLINES

__all__ = [
    "HEADLINES",
    "FinishedRun",
    "Group",
    "collect",
    "groups",
    "table",
    "write_csv",
    "write_report",
]
