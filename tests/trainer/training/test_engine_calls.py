"""What the training loop asks an engine to do, and what it makes of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.digit_runs import Row, config_for, read_rows
from tests.support.tiny import examples, write_dataset
from trainer.config import RunConfig
from trainer.data import TrainingData, epoch_order
from trainer.engine.step import engine_memory
from trainer.methods.base import Method
from trainer.reporters.base import Quiet
from trainer.training.loop import train


class Recorder:
    """An engine that trains nothing, gives sums that are known, and writes down what it is asked to do."""

    device, on_cpu, streams = "CPU, none", True, False
    reproducible, compiles, notices = True, True, ("runs on nothing",)

    def __init__(self, config: RunConfig, method: Method, data: TrainingData) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.labels = data.train_labels
        size = data.num_samples, data.num_classes
        self._start = method.memory(*size) | engine_memory(*size)
        self._memory = self.start_memory()

    @property
    def memory(self) -> dict[str, np.ndarray]:
        return self._memory

    @memory.setter
    def memory(self, values: dict[str, np.ndarray]) -> None:
        self.calls.append(("memory", values))
        self._memory = {key: value.copy() for key, value in values.items()}

    def start_memory(self) -> dict[str, np.ndarray]:
        return {key: value.copy() for key, value in self._start.items()}

    def reset(self, run: int) -> None:
        self.calls.append(("reset", run))

    def begin_epoch(self, run: int, epoch: int, learning_rate: float) -> None:
        self.calls.append(("epoch", (run, epoch, learning_rate)))

    def prepare(self, indices: np.ndarray, schedule: dict[str, float], *others: Any) -> None:
        self.calls.append(("prepare", indices.shape))

    def train(
        self,
        indices: np.ndarray,
        schedule: dict[str, float],
        first_step: int = 0,
        learns: tuple[bool, ...] | None = None,
        stage: str = "",
    ) -> dict[str, np.ndarray]:
        self.calls.append(("train", (indices, schedule)))
        self._memory["refurbished_label"][:10] = 1
        self._memory["last_prediction"][:] = 1
        steps, size = indices.shape
        # of each mini-batch 3 samples are wrong, 4 are chosen as clean, 3 of those rightly, and 2 have new labels
        sums: dict[str, float] = {
            "errors": 3,
            "clean_errors": 2,
            "truly_clean": 5,
            "clean_set": 4,
            "clean_set_right": 3,
        }
        sums |= {"refurbishable": 1, "refurbished": 2, "refurbished_right": 1}
        return {
            key: np.full(steps, value, np.float32)
            for key, value in (sums | {"samples": size, "loss": size / 2}).items()
        }

    def evaluate(self, split: str = "test") -> list[dict[str, Any]]:
        self.calls.append(("evaluate", None))
        # 8 images: 6 of the first class, of which 1 is taken for the second; 2 of the second, of which 1 for the first
        return [{"loss": 12.0, "confusion": np.array([[5, 1, 0], [1, 1, 0], [0, 0, 0]])}]

    def state(self) -> dict[str, np.ndarray]:
        return {"network_1/kernel": np.zeros(1)}

    def load_state(self, values: dict[str, np.ndarray]) -> None:
        raise AssertionError("nothing is resumed")

    def weights(self) -> dict[str, np.ndarray]:
        return self.state()

    def parameters(self) -> int:
        return 1


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Recorder, list[Row]]:
    """Two runs of three epochs of SELFIE on 30 samples, as a recorder saw them, and metrics.csv."""
    made: list[Recorder] = []

    def make_engine(*arguments: Any) -> Recorder:
        made.append(Recorder(*arguments))
        return made[0]

    monkeypatch.setattr("trainer.training.loop.make_engine", make_engine)
    ids, clean, pixels = examples(30)
    noisy = np.where(ids < 24, (clean + 1) % 3, clean)
    dataset = write_dataset(tmp_path / "set", (ids, noisy, pixels), examples(8), labels="noisy", clean_labels=clean)
    options = {"warm_up": 1, "history_length": 1, "restarts": 1}
    config = config_for("selfie", dataset, epochs=3, batch_size=10, learning_rate=0.1, method_options=options)
    train(config, dataset, tmp_path / "run", Quiet())
    return made[0], read_rows(tmp_path / "run")


def test_a_run_starts_with_fresh_weights_and_memory_whatever_was_tried_out_before(
    recorded: tuple[Recorder, list[Row]],
) -> None:
    kinds = [kind for kind, _ in recorded[0].calls]
    first = kinds.index("reset")
    assert kinds[first : first + 3] == ["reset", "memory", "epoch"]
    assert kinds.count("reset") == 2
    # the steps that take the time come before; what they left in the memory is gone
    assert "train" in kinds[:first]
    memory = recorded[0].calls[first + 1][1]
    assert (memory["refurbished_label"] == -1).all()
    assert (memory["last_prediction"] == -1).all()


def test_what_an_epoch_needs_is_compiled_once_and_before_anything_is_trained(
    recorded: tuple[Recorder, list[Row]],
) -> None:
    calls = recorded[0].calls
    assert [value for kind, value in calls if kind == "prepare"] == [(3, 10)]
    assert calls[0][0] == "prepare"


def test_each_run_is_reset_and_each_epoch_begun_trained_and_evaluated_in_order(
    recorded: tuple[Recorder, list[Row]],
) -> None:
    calls = recorded[0].calls
    calls = calls[[kind for kind, _ in calls].index("reset") :]
    done = [(kind, value) for kind, value in calls if kind in ("reset", "epoch", "evaluate")]
    rates = (0.1, 0.1, pytest.approx(0.02))
    expected: list[tuple[str, Any]] = []
    for run in range(2):
        expected.append(("reset", run))
        for epoch in range(3):
            expected += [("epoch", (run, epoch, rates[epoch])), ("evaluate", None)]
    assert [kind for kind, _ in done] == [kind for kind, _ in expected]
    assert [value for _, value in done] == [value for _, value in expected]


def test_each_epoch_trains_on_every_sample_in_its_order(recorded: tuple[Recorder, list[Row]]) -> None:
    calls = recorded[0].calls
    calls = calls[[kind for kind, _ in calls].index("reset") :]
    seen: dict[tuple[int, int], list[int]] = {}
    place = (0, 0)
    for kind, value in calls:
        if kind == "epoch":
            place = value[:2]
        elif kind == "train":
            seen.setdefault(place, []).extend(value[0].ravel().tolist())
    for (run, epoch), order in seen.items():
        assert order == epoch_order(30, 10, 0, run, epoch).ravel().tolist()
    assert len(seen) == 6


def test_a_restart_hands_on_labels_and_the_lower_noise_rate(recorded: tuple[Recorder, list[Row]]) -> None:
    calls = recorded[0].calls
    restart = max(number for number, (kind, _) in enumerate(calls) if kind == "reset")
    assert calls[restart + 1][0] == "memory"
    memory = calls[restart + 1][1]
    assert memory["refurbished_label"].tolist() == [1] * 10 + [-1] * 20
    assert not memory["seen"].any()
    # 24 of 30 labels are wrong: 2 of 10 are kept; once 10 are refurbished, 2/3 may be wrong at most: 4 of 10
    start = [kind for kind, _ in calls].index("reset")
    counts = [
        {value[1]["keep_count"] for kind, value in part if kind == "train"}
        for part in (calls[start:restart], calls[restart:])
    ]
    assert counts == [{2}, {4}]


def test_metrics_are_the_engine_s_sums_as_rates(recorded: tuple[Recorder, list[Row]]) -> None:
    expected = {
        "train_loss": 0.5,
        "train_error": 0.3,
        "test_loss": 1.5,
        "test_error": 0.25,
        "test_balanced_error": (1 / 6 + 1 / 2) / 2,
        "clean_train_error": 0.2,
        "label_precision": 0.75,
        "label_recall": 0.6,
        "refurbishable": 3,
        "refurbished": 6,
        "refurbishment_accuracy": 0.5,
    }
    for row in recorded[1]:
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected)
