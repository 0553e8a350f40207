"""Chaos tests run with CHAOS_SEED set or `-m chaos`, and count what they attempted."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SEED = "CHAOS_SEED"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `chaos`, unless it is asked for."""
    if SEED in os.environ or "chaos" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("chaos")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("chaos")]


class Attempts:
    """Counts attempts, and goes on after one that fails, so that a run tells of all."""

    def __init__(self) -> None:
        self.count = 0
        self.failures: list[str] = []

    @contextmanager
    def attempt(self, title: str) -> Iterator[None]:
        """One of them."""
        self.count += 1
        try:
            yield
        except (AssertionError, OSError) as error:
            self.failures.append(f"{title}: {error}")

    def check(self) -> None:
        """At the end of a test: none has failed, and there was one."""
        assert not self.failures, f"{len(self.failures)} of {self.count} failed\n" + "\n".join(self.failures[:20])
        assert self.count


@pytest.fixture
def attempts(record_property: pytest.RecordProperty) -> Iterator[Attempts]:  # type: ignore[name-defined]
    counted = Attempts()
    yield counted
    record_property("attempts", counted.count)
    record_property("failures", len(counted.failures))


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> random.Random:
    """Random moments, a function of the seed and the test's name."""
    return random.Random(f"{os.environ.get(SEED, '0')} {request.node.name}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many attempts there were, and how many failed."""
    sums = {"attempts": 0, "failures": 0}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for name, value in report.user_properties:
                    if name in sums:
                        sums[name] += int(value)
    if sums["attempts"]:
        seed = os.environ.get(SEED, "0")
        terminalreporter.write_line(f"chaos: {sums['attempts']:,} attempts, {sums['failures']:,} failures, seed {seed}")
