"""What each method costs: which claims hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_method_costs_tells_whether_each_claim_holds(bench: Callable[[str], Any]) -> None:
    script = bench("method_costs")
    ratios = {name: [1.0, 1.02, 9.0] for name in script.AT_MOST}
    ratios |= {"gce": [1.05, 1.2, 1.3], "jocor": [2.0, 2.1, 2.5]}
    found = script.claims({**ratios, "fit": [0.9, 0.8, 0.96]})
    assert found["over_default"]["selfie"] == {"ratio": 1.02, "at_most": 1.1, "holds": True, "range": [1.0, 9.0]}
    assert not found["over_default"]["gce"]["holds"]
    assert found["over_default"]["jocor"] == {"ratio": 2.1, "at_most": 2.2, "holds": True, "range": [2.0, 2.5]}
    assert found["default_throughput_over_fit"] == {
        "ratio": 0.9,
        "at_least": 0.95,
        "holds": False,
        "range": [0.8, 0.96],
    }
    assert "default_throughput_over_fit" not in script.claims(ratios)


def test_method_costs_has_an_epoch_of_default_beside_each(bench: Callable[[str], Any]) -> None:
    trained: list[str] = []

    def epoch(name: str, seconds: float) -> Callable[[], float]:
        def train() -> float:
            trained.append(name)
            return seconds

        return train

    ratios = bench("method_costs").in_pairs({"default": epoch("d", 2.0), "a": epoch("a", 3.0), "b": epoch("b", 4.0)}, 2)
    assert ratios == {"a": [1.5] * 2, "b": [2.0] * 2}
    assert "".join(trained) == "adbd" + "dadb" + "adbd"
