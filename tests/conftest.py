"""What every test of the project shares."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.durations import name_of, read_slow
from tests.support.factories import close_network

# The same examples on every run: a failure here is a change of the code, never luck. A busy machine is no failure.
settings.register_profile(
    "project",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what tests/slow_tests.txt records as slow, whatever file and folder it moved to with its name kept."""
    slow = read_slow()
    for item in items:
        if name_of(item.nodeid) in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def heard_interrupts() -> None:
    """A shell starts its background jobs deaf to SIGINT, and what they start inherits that; here it is to be heard."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def compiled_steps(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What JAX compiles is kept beside the tests' other files, and not in the user's folder."""
    os.environ["TRAINER_COMPILATION_CACHE"] = str(tmp_path_factory.getbasetemp() / "compiled")


@pytest.fixture(autouse=True)
def closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches further than this machine."""
    close_network(monkeypatch)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
