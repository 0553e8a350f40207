"""A metric is declared once: what it is called, how mini-batches add up, and where it is shown.

metrics.csv, the screen, TensorBoard and the report read these declarations. Those that every method has are in
`trainer.metrics`; a method declares its own in `Method.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure of an epoch.

    Attributes:
        key: its column of metrics.csv.
        title: what it is, for people.
        heading: its short name, over a chart or a column of a table; "" for the words of its key.
        unit: "share" (a fraction in [0, 1]), "count", "nats", "seconds" or "images/s".
        part: the sum over the epoch that it is made of (`engine.step.run_method` names them); "" for what is not
            made of sums.
        whole: the sum that `part` is divided by; "" for the sum itself, a count.
        only_with: a sum that has to be above 0; "" for none.
        tag: its name in TensorBoard.
        line: its format on the screen's line of an epoch, such as "loss {:.4f}"; "" where it is not shown. One that
            begins with a bracket stands beside the one before it.
        each_network: whether each network of a method has its own, in a column with the network's suffix.
        needs_clean: whether the clean labels have to be known.
        plotted: whether the report has a chart of it by epoch; a count is drawn as a share of the training samples.
        headline: whether it sums a run up: the report has its last value in results.csv, its curve also in
            learning-curves.png, and of a share the mean over runs in the tables.
    """

    key: str
    title: str
    unit: str
    part: str = ""
    whole: str = ""
    only_with: str = ""
    tag: str = ""
    line: str = ""
    each_network: bool = False
    needs_clean: bool = False
    plotted: bool = False
    headline: bool = False
    heading: str = ""

    @property
    def name(self) -> str:
        """What it is called where there is room for few words."""
        return self.heading or self.key.replace("_", " ")

    def value(self, sums: dict[str, float], suffix: str = "") -> float | int | None:
        """The figure from an epoch's sums; None where they do not tell it, or there is nothing to divide by.

        Args:
            suffix: of the network whose figure it is.

        Example:
            >>> Metric("error", "training error", "share", "errors", "samples").value({"errors": 3, "samples": 12})
            0.25
        """
        part = sums.get(self.part + suffix)
        if part is None or (self.only_with and not _sum(sums, self.only_with, suffix)):
            return None
        if not self.whole:
            return int(part)
        whole = _sum(sums, self.whole, suffix)
        return part / whole if whole else None


def _sum(sums: dict[str, float], key: str, suffix: str) -> float:
    """A network's sum, or the one that all networks share, such as the number of samples."""
    return sums.get(key + suffix, sums.get(key, 0.0))


CLEAN_SET: tuple[Metric, ...] = (
    Metric(
        "label_precision",
        "share of the clean set that is truly clean",
        "share",
        part="clean_set_right",
        whole="clean_set",
        tag="clean_set/label_precision",
        each_network=True,
        needs_clean=True,
        plotted=True,
    ),
    Metric(
        "label_recall",
        "share of the truly clean samples that is in the clean set",
        "share",
        part="clean_set_right",
        whole="truly_clean",
        only_with="clean_set",
        tag="clean_set/label_recall",
        each_network=True,
        needs_clean=True,
        plotted=True,
    ),
)
"""Of a method whose steps take some samples for clean (`Step.clean_sets`)."""
