"""From runs to what is shown of them: mean and deviation over seeds, rows of the table, panels of the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trainer.methods.metric import Metric
from trainer.metrics import headline_metrics
from trainer.report.collect import CLEAN, OWN, FinishedRun, Group, Noise, groups, method_rank
from trainer.report.paper import paper_error

SELECTED = "selected_test_error"
"""The test error of the epoch that held-out samples selected; runs without them have none."""
SHOWN = ("last_test_error", SELECTED, "mean_last10_test_error", "best_test_error")
"""The test errors in the order in which they are shown: those that are not chosen on test labels first."""


class Estimate(NamedTuple):
    """Mean and sample standard deviation (None of a single run) over `runs` runs; fractions or seconds."""

    mean: float
    deviation: float | None
    runs: int

    def percent(self) -> str:
        """As "12.3 ± 0.4", in percent."""
        deviation = "" if self.deviation is None else f" ± {100 * self.deviation:.1f}"
        return f"{100 * self.mean:.1f}{deviation}"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and deviation of at least one value."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Estimate(float(np.mean(values)), deviation, len(values))


@dataclass(frozen=True)
class Row:
    """A line of the table: a group's figures over its runs.

    Attributes:
        errors: test errors by headline, in the order of SHOWN, those that all runs have. shares: `headline_shares`
            after the last epoch by their keys, as far as any run has them. seconds: wall time of a run. paper: best
            test error in the SELFIE paper, or None where the setting is not the paper's.
    """

    group: Group
    noise: Noise
    members: tuple[FinishedRun, ...]
    errors: dict[str, Estimate]
    shares: dict[str, Estimate]
    seconds: Estimate | None
    paper: float | None

    @property
    def preset(self) -> str:
        """The preset's name, or "" where config.json has none."""
        return self.members[0].preset

    @property
    def ledger_words(self) -> str:
        """What the method was told of the noise (`FinishedRun.ledger_words`), with a semicolon where runs differ."""
        return "; ".join(dict.fromkeys(run.ledger_words for run in self.members))

    @property
    def beyond_given_labels(self) -> bool:
        """Whether a run's method was told what the given labels do not tell (`Ledger.beyond_given_labels`)."""
        return any(ledger.beyond_given_labels for run in self.members if (ledger := run.ledger) is not None)

    @property
    def label(self) -> str:
        """The method, with the settings that tell it from others of its name."""
        return f"{self.group.method} ({self.group.settings})" if self.group.settings else self.group.method


@dataclass(frozen=True)
class Panel:
    """What stands in one figure: the runs of a dataset, kind of noise, network, number of epochs and preset.

    Clean runs stand at rate 0 in the panel of every kind of noise of their dataset.

    Attributes:
        preset: its name where there are panels that differ in it alone, else "".
    """

    dataset: str
    kind: str
    network: str
    epochs: int
    rows: tuple[Row, ...]
    preset: str = ""

    @property
    def title(self) -> str:
        noise = {CLEAN: "clean labels", OWN: "its own labels"}.get(self.kind, f"{self.kind} noise")
        preset = f", preset {self.preset}" if self.preset else ""
        return f"{self.dataset}, {noise}, {self.network}, {self.epochs} epochs{preset}"

    def labels(self) -> list[str]:
        """The lines of the figure, in order."""
        ordered = sorted(self.rows, key=lambda row: (method_rank(row.group.method), row.group.settings))
        return list(dict.fromkeys(row.label for row in ordered))

    def by_noise(self) -> dict[str, list[Row]]:
        """The rows of each noise rate (or of what stands for it), in order."""
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.noise.name, []).append(row)
        return rows


def table_rows(runs: Sequence[FinishedRun]) -> list[Row]:
    """A row for each group, in order."""
    return [_row(group, members) for group, members in groups(runs).items()]


def panels(rows: Iterable[Row]) -> list[Panel]:
    """The panels of all rows, in order; clean rows alone make one where their dataset has no noisy runs."""
    by_kind: dict[tuple[str, str, int, str], dict[str, list[Row]]] = {}
    for row in rows:
        group = row.group
        kinds = by_kind.setdefault((group.dataset, group.network, group.epochs, row.preset), {})
        kinds.setdefault(row.noise.kind, []).append(row)
    alike = Counter(key[:3] for key in by_kind)
    made = []
    for (dataset, network, epochs, preset), kinds in by_kind.items():
        clean = kinds.get(CLEAN, [])
        noisy = [kind for kind in kinds if kind != CLEAN]
        for kind in noisy or [CLEAN]:
            members = [*clean, *kinds[kind]] if kind != CLEAN else clean
            named = preset if alike[dataset, network, epochs] > 1 else ""
            made.append(Panel(dataset, kind, network, epochs, tuple(members), named))
    return made


def rate_text(row: Row) -> str:
    """The noise of a row: its rate in percent, or what stands for it."""
    if row.noise.kind == OWN:
        return "its own"
    try:
        return f"{100 * float(row.noise.name):.4g} %"
    except ValueError:
        rate = "" if row.noise.rate is None else f" ({100 * row.noise.rate:.3g} %)"
        return f"{row.noise.name}{rate}"


def headline_shares() -> list[Metric]:
    """The metrics that sum up a run and are shares: what has a mean over runs."""
    return [metric for metric in headline_metrics() if metric.unit == "share"]


def heading(metric: Metric) -> str:
    """The name of a metric as it stands over a chart or a column."""
    return metric.name[:1].upper() + metric.name[1:]


def shown_errors(rows: Iterable[Row]) -> list[str]:
    """The test errors that any of the rows has, in the order in which they are shown."""
    present = {key for row in rows for key in row.errors}
    return [key for key in SHOWN if key in present]


def error_of(run: FinishedRun, headline: str) -> float | None:
    """A test error of a run; None of a run that selected no epoch."""
    return run.result.selected_test_error if headline == SELECTED else float(run.result[headline])


def final(run: FinishedRun, column: str) -> float | None:
    """The last epoch's value of a column that the run has."""
    values = run.metrics.get(column, np.array([np.nan]))
    return float(values[-1]) if np.isfinite(values[-1]) else None


def _row(group: Group, members: list[FinishedRun]) -> Row:
    shares = {}
    for metric in headline_shares():
        values = [value for run in members if (value := final(run, metric.key)) is not None]
        if values:
            shares[metric.key] = estimate(values)
    seconds = [value for run in members if (value := run.result.wall_seconds) is not None]
    papers = [paper_error(run) for run in members]
    errors = {key: [value for run in members if (value := error_of(run, key)) is not None] for key in SHOWN}
    return Row(
        group=group,
        noise=members[0].noise,
        members=tuple(members),
        errors={key: estimate(values) for key, values in errors.items() if len(values) == len(members)},
        shares=shares,
        seconds=estimate(seconds) if seconds else None,
        paper=papers[0] if None not in papers else None,
    )
