"""Whole runs on a few digits: what a run directory holds, that it agrees with itself, and that runs repeat."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datatools import convert, corrupt, read_manifest
from datatools.errors import DataToolsError
from datatools.format.dataset import Dataset, open_dataset
from tests.support.tiny import examples, run_config, write_dataset
from trainer.config import RunConfig, resolve
from trainer.data import TrainingData, epoch_order
from trainer.engine.step import engine_memory
from trainer.methods.base import Method
from trainer.metrics import EpochRow
from trainer.reporters.base import Quiet, RunPlan
from trainer.training.loop import train

SAMPLES, CLASSES = 200, 10
EPOCHS, RUNS, WARM_UP = 6, 2, 2
SELFIE = {"warm_up": WARM_UP, "history_length": 2, "restarts": RUNS - 1}
TIMING = {"seconds", "images_per_second"}
FILES = {"config.json", "metrics.csv", "samples.h5", "weights.h5", "checkpoint.h5", "result.json"}
COMMON = ["run", "epoch", "learning_rate"]
COMMON += ["train_loss", "train_error", "test_loss", "test_error", "test_balanced_error", "clean_train_error"]
OF_SELFIE = ["label_precision", "label_recall", "refurbishable", "refurbished", "refurbishment_accuracy"]

Row = dict[str, str]


class Witness(Quiet):
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.plans: list[RunPlan] = []
        self.progress: list[tuple[int, int]] = []
        self.rows: list[EpochRow] = []
        self.seconds_left: list[float] = []

    def start(self, plan: RunPlan) -> None:
        self.plans.append(plan)

    def steps(self, done: int, total: int) -> None:
        self.progress.append((done, total))

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        self.rows.append(row)
        self.seconds_left.append(seconds_left)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """200 digits, four in ten of their labels wrong."""
    root = tmp_path_factory.mktemp("data")
    clean = convert("digits", root=root, limit=SAMPLES).dataset
    return corrupt(clean, rate=0.4, noise="pair").dataset


def config_for(method: str, dataset: Dataset, **settings: Any) -> RunConfig:
    return resolve(
        method,
        dataset,
        **{
            "preset": "quick",
            "network": "small-cnn",
            "epochs": EPOCHS,
            "batch_size": 25,
            "learning_rate": 0.05,
            "method_options": SELFIE if method == "selfie" else {},
            **settings,
        },
    )


class Run:
    """A finished run: its directory, what `train` returned, and what was reported."""

    def __init__(self, method: str, dataset: Dataset, directory: Path) -> None:
        self.config, self.dataset, self.directory = config_for(method, dataset), dataset, directory
        self.witness = Witness()
        self.returned = train(self.config, dataset, directory, self.witness)

    @property
    def rows(self) -> list[Row]:
        return read_rows(self.directory)

    def column(self, name: str) -> list[float]:
        return [float(row[name]) for row in self.rows]

    def json(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.directory / name).read_text(encoding="utf-8")))

    @property
    def samples(self) -> dict[str, np.ndarray]:
        with h5py.File(self.directory / "samples.h5", "r") as file:
            return {name: values[()] for name, values in file.items()}


def read_rows(directory: Path) -> list[Row]:
    with (directory / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


Runs = Callable[..., Run]


@pytest.fixture(scope="module")
def run_of(tf: Any, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The run of a method; `again` asks for a second one of the same settings."""
    made: dict[tuple[str, bool], Run] = {}

    def get(method: str, again: bool = False) -> Run:
        if (method, again) not in made:
            made[method, again] = Run(method, dataset, tmp_path_factory.mktemp("runs") / "deep" / method)
        return made[method, again]

    return get


@pytest.fixture(params=["default", "selfie"])
def run(request: pytest.FixtureRequest, run_of: Runs) -> Run:
    return run_of(request.param)


@pytest.fixture
def selfie(run_of: Runs) -> Run:
    return run_of("selfie")


def in_warm_up(row: Row) -> bool:
    return int(row["epoch"]) <= WARM_UP


# The run directory


def test_a_finished_run_holds_its_files_and_nothing_half_written(run: Run) -> None:
    assert {path.name for path in run.directory.iterdir()} == FILES


def test_config_json_holds_every_setting_and_what_the_run_stands_on(run: Run) -> None:
    written = run.json("config.json")
    assert RunConfig.from_json(written) == run.config
    own = {key: written.pop(key) for key in ("dataset", "device", "versions")}
    assert own["dataset"]["sha256"] == run.dataset.sha256
    assert own["dataset"]["name"] == run.dataset.metadata.name == "digits-first200-pair-0.4-seed0"
    assert own["device"].startswith("CPU")
    assert all(own["versions"][name] for name in ("python", "keras", "tensorflow", "numpy"))


def test_metrics_csv_has_the_columns_that_the_method_and_the_dataset_fill(run: Run) -> None:
    own = OF_SELFIE if run.config.method == "selfie" else []
    assert list(run.rows[0]) == [*COMMON, *own, "seconds", "images_per_second"]


def test_metrics_csv_has_a_row_an_epoch_of_every_run_counted_from_1(run: Run) -> None:
    runs = RUNS if run.config.method == "selfie" else 1
    expected = [(number, epoch) for number in range(1, runs + 1) for epoch in range(1, EPOCHS + 1)]
    assert [(int(row["run"]), int(row["epoch"])) for row in run.rows] == expected


def test_metrics_are_fractions_of_the_samples(run: Run) -> None:
    for name in ("train_error", "clean_train_error", "test_error"):
        counts = np.array(run.column(name)) * SAMPLES
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-6)
        assert ((counts >= 0) & (counts <= SAMPLES)).all()
    assert all(loss > 0 for name in ("train_loss", "test_loss") for loss in run.column(name))
    seconds, speed = np.array(run.column("seconds")), np.array(run.column("images_per_second"))
    np.testing.assert_allclose(seconds * speed, SAMPLES, rtol=1e-9)


def test_the_learning_rate_drops_at_half_and_at_three_quarters_in_every_run(run: Run) -> None:
    once = [0.05, 0.05, 0.05, 0.01, 0.01, 0.002]
    np.testing.assert_allclose(run.column("learning_rate"), once * (len(run.rows) // EPOCHS))


def test_result_json_agrees_with_metrics_csv(run: Run) -> None:
    result = run.json("result.json")
    assert result == run.returned
    assert result["method"] == run.config.method
    by_run = np.array(run.column("test_error")).reshape(-1, EPOCHS)
    for summary, errors in zip([*result["runs"], result], [*by_run, by_run[-1]], strict=True):
        assert summary["best_test_error"] == errors.min()
        assert summary["last_test_error"] == errors[-1]
        assert summary["mean_last10_test_error"] == pytest.approx(errors.mean())
    assert result["best_test_error_all_runs"] == by_run.min()
    assert result["wall_seconds"] > sum(run.column("seconds"))


def test_samples_h5_has_a_row_a_sample_in_id_order(run: Run) -> None:
    samples = run.samples
    kinds = {name: (values.dtype, values.shape) for name, values in samples.items()}
    integers, floats = (np.dtype(np.int32), (SAMPLES,)), (np.dtype(np.float32), (SAMPLES,))
    assert kinds == {
        "id": (np.dtype(np.uint32), (SAMPLES,)),
        "given_label": integers,
        "refurbished_label": integers,
        "uncertainty": floats,
        "last_loss": floats,
        "last_prediction": integers,
        "mean_loss": floats,
        "mean_probability": (np.dtype(np.float32), (SAMPLES, CLASSES)),
        "visits": integers,
    }
    manifest = read_manifest(run.dataset.manifest_path, SAMPLES, CLASSES)
    np.testing.assert_array_equal(samples["id"], np.arange(SAMPLES))
    np.testing.assert_array_equal(samples["given_label"], manifest.noisy_labels)


def test_samples_h5_agrees_with_the_last_row_of_metrics_csv(run: Run) -> None:
    samples, last = run.samples, run.rows[-1]
    clean = read_manifest(run.dataset.manifest_path, SAMPLES, CLASSES).clean_labels
    predicted = samples["last_prediction"]
    assert float(last["train_error"]) == pytest.approx(np.mean(predicted != samples["given_label"]))
    assert float(last["clean_train_error"]) == pytest.approx(np.mean(predicted != clean))
    assert ((predicted >= 0) & (predicted < CLASSES)).all()
    assert (samples["last_loss"] >= 0).all()


def test_default_writes_no_refurbished_label_and_no_uncertainty(run_of: Runs) -> None:
    samples = run_of("default").samples
    assert (samples["refurbished_label"] == -1).all()
    assert np.isnan(samples["uncertainty"]).all()


def test_a_dataset_without_known_clean_labels_has_no_column_that_needs_them(tf: Any, tmp_path: Path) -> None:
    unknown = write_dataset(tmp_path / "set", examples(30), examples(9), labels="unknown")
    options = {"warm_up": 1, "restarts": 0}
    config = config_for("selfie", unknown, noise_rate=0.2, epochs=2, batch_size=10, method_options=options)
    train(config, unknown, tmp_path / "run", Quiet())
    expected = [*COMMON[:-1], "refurbishable", "refurbished", "seconds", "images_per_second"]
    assert list(read_rows(tmp_path / "run")[0]) == expected


# SELFIE's schedule


def test_nothing_is_refurbishable_in_a_warm_up_and_some_is_after_it(selfie: Run) -> None:
    for row in selfie.rows:
        assert (int(row["refurbishable"]) == 0) == in_warm_up(row), row


def test_what_was_refurbished_before_a_restart_is_used_from_the_next_warm_up_on(selfie: Run) -> None:
    first, second = selfie.rows[:EPOCHS], selfie.rows[EPOCHS:]
    assert [int(row["refurbished"]) for row in first[:WARM_UP]] == [0] * WARM_UP
    carried = int(first[-1]["refurbished"])
    assert carried > 0
    assert [int(row["refurbished"]) for row in second[:WARM_UP]] == [carried] * WARM_UP
    after = [int(row["refurbished"]) for row in (*first[WARM_UP:], *second)]
    assert after == sorted(after), "once refurbished, always refurbished"


def test_the_clean_set_is_chosen_after_the_warm_up_only(selfie: Run) -> None:
    for row in selfie.rows:
        for name in ("label_precision", "label_recall"):
            assert (row[name] == "") == in_warm_up(row)
            assert row[name] == "" or 0 < float(row[name]) <= 1


def test_precision_and_recall_are_of_clean_sets_of_the_size_the_noise_rate_leaves(selfie: Run) -> None:
    # 200 samples in 8 mini-batches of 25; 79 wrong labels, so 0.605 of them: ceil(15.1) = 16
    assert selfie.config.noise_rate == pytest.approx(0.395)
    chosen, truly_clean = 8 * 16, SAMPLES * (1 - selfie.config.noise_rate)
    for row in selfie.rows[WARM_UP:EPOCHS]:
        right = float(row["label_precision"]) * chosen
        assert right == pytest.approx(float(row["label_recall"]) * truly_clean)
        assert right == pytest.approx(round(right))


def test_a_restart_lowers_the_noise_rate_and_so_enlarges_the_clean_set(selfie: Run) -> None:
    never = 1 - int(selfie.rows[EPOCHS - 1]["refurbished"]) / SAMPLES
    assert never < selfie.config.noise_rate, "otherwise there is nothing to see"
    chosen = 8 * np.ceil(np.round((1 - never) * 25, 9))
    for row in selfie.rows[EPOCHS + WARM_UP :]:
        right = float(row["label_precision"]) * chosen
        assert right == pytest.approx(round(right), abs=1e-6)
        assert right == pytest.approx(float(row["label_recall"]) * SAMPLES * (1 - selfie.config.noise_rate))


def test_samples_h5_holds_what_selfie_refurbished(selfie: Run) -> None:
    samples, last = selfie.samples, selfie.rows[-1]
    clean = read_manifest(selfie.dataset.manifest_path, SAMPLES, CLASSES).clean_labels
    refurbished = samples["refurbished_label"]
    has = refurbished >= 0
    assert ((refurbished >= -1) & (refurbished < CLASSES)).all()
    assert has.sum() == int(last["refurbished"])
    assert np.mean(refurbished[has] == clean[has]) == pytest.approx(float(last["refurbishment_accuracy"]))
    assert np.sum(samples["uncertainty"] <= 0.05) == int(last["refurbishable"])
    assert ((samples["uncertainty"] >= 0) & (samples["uncertainty"] <= 1)).all(), "every history is full by then"


def test_a_second_run_starts_from_weights_of_its_own(selfie: Run) -> None:
    assert selfie.rows[0]["train_loss"] != selfie.rows[EPOCHS]["train_loss"]


# Repeats


@pytest.mark.parametrize("method", ["default", "selfie"])
def test_the_same_run_again_gives_the_same_numbers(method: str, run_of: Runs) -> None:
    first, again = run_of(method), run_of(method, again=True)
    for one, other in zip(first.rows, again.rows, strict=True):
        assert {k: v for k, v in one.items() if k not in TIMING} == {k: v for k, v in other.items() if k not in TIMING}
    np.testing.assert_equal(first.samples, again.samples)


def test_another_seed_gives_other_numbers(run_of: Runs, tmp_path: Path) -> None:
    first = run_of("default")
    train(replace(first.config, seed=1, epochs=1), first.dataset, tmp_path / "run", Quiet())
    assert read_rows(tmp_path / "run")[0]["train_loss"] != first.rows[0]["train_loss"]


# What is reported


def test_the_start_tells_what_is_to_be_done(run: Run) -> None:
    (plan,) = run.witness.plans
    runs = RUNS if run.config.method == "selfie" else 1
    assert (plan.runs, plan.steps_per_epoch, plan.steps) == (runs, 8, runs * EPOCHS * 8)
    assert plan.seconds is not None
    assert plan.seconds > 0


def test_progress_reaches_the_number_of_steps_in_every_epoch(run: Run) -> None:
    done = [done for done, _ in run.witness.progress]
    assert {total for _, total in run.witness.progress} == {8}
    assert done.count(8) == len(run.rows)
    assert all(later > before or before == 8 for before, later in pairwise(done))


def test_every_row_is_reported_as_it_is_written(run: Run) -> None:
    assert [(row.run, row.epoch, row.value("test_error")) for row in run.witness.rows] == [
        (int(row["run"]), int(row["epoch"]), float(row["test_error"])) for row in run.rows
    ]
    assert run.witness.seconds_left[-1] == 0
    assert all(left > 0 for left in run.witness.seconds_left[:-1])


# What the engine is asked to do


class Recorder:
    """An engine that trains nothing, gives sums that are known, and writes down what it is asked to do."""

    device, on_cpu, streams = "CPU, none", True, False
    reproducible, compiles, notices = True, True, ("runs on nothing",)

    def __init__(self, config: RunConfig, method: Method, data: TrainingData) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.labels = data.train_labels
        self._memory = method.memory(data.num_samples, data.num_classes) | engine_memory(
            data.num_samples, data.num_classes
        )

    @property
    def memory(self) -> dict[str, np.ndarray]:
        return self._memory

    @memory.setter
    def memory(self, values: dict[str, np.ndarray]) -> None:
        self.calls.append(("memory", values))
        self._memory = {key: value.copy() for key, value in values.items()}

    def reset(self, run: int) -> None:
        self.calls.append(("reset", run))

    def begin_epoch(self, run: int, epoch: int, learning_rate: float) -> None:
        self.calls.append(("epoch", (run, epoch, learning_rate)))

    def prepare(self, indices: np.ndarray, schedule: dict[str, float]) -> None:
        self.calls.append(("prepare", indices.shape))

    def train(self, indices: np.ndarray, schedule: dict[str, float]) -> dict[str, np.ndarray]:
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


# What is refused, and what is left behind


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def refusal(config: RunConfig, dataset: Dataset, directory: Path, overwrite: bool = False) -> str:
    with pytest.raises(DataToolsError) as error:
        train(config, dataset, directory, Quiet(), overwrite=overwrite)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_that_stands_there_is_not_replaced_unasked(run_of: Runs) -> None:
    run = run_of("default")
    before = content(run.directory)
    message = refusal(run.config, run.dataset, run.directory)
    assert str(run.directory) in message
    assert "--overwrite" in message
    assert "(finished)" in message
    assert content(run.directory) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_that_is_no_run_is_never_overwritten(run_of: Runs, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "metrics.csv").write_text("of something else")
    before = content(tmp_path)
    message = refusal(run_of("default").config, run_of("default").dataset, tmp_path, overwrite)
    assert str(tmp_path) in message
    assert "--run-dir" in message
    assert content(tmp_path) == before


@pytest.fixture
def broken(dataset: Dataset, tmp_path: Path) -> Dataset:
    """A noisy dataset that has lost its manifest."""
    for path in dataset.path.iterdir():
        if path != dataset.manifest_path:
            (tmp_path / "set").mkdir(exist_ok=True)
            (tmp_path / "set" / path.name).write_bytes(path.read_bytes())
    return open_dataset(tmp_path / "set")


def test_a_dataset_that_cannot_be_read_leaves_no_run_directory(tf: Any, broken: Dataset, tmp_path: Path) -> None:
    message = refusal(config_for("default", broken), broken, tmp_path / "runs" / "run")
    assert "manifest.h5" in message
    assert not (tmp_path / "runs").exists()


def test_a_dataset_that_cannot_be_read_does_not_cost_the_run_to_be_overwritten(
    tf: Any, run_of: Runs, broken: Dataset, tmp_path: Path
) -> None:
    before = content(run_of("default").directory)
    earlier = tmp_path / "run"
    earlier.mkdir()
    for name, data in before.items():
        (earlier / name).write_bytes(data)
    assert "manifest.h5" in refusal(config_for("default", broken), broken, earlier, overwrite=True)
    assert content(earlier) == before


class Interrupter(Quiet):
    """Somebody presses Ctrl-C after the second epoch."""

    def epoch(self, row: EpochRow, seconds_left: float) -> None:
        if row.epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_run_keeps_its_rows_and_is_not_taken_for_finished(run_of: Runs, tmp_path: Path) -> None:
    whole = run_of("default")
    directory = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(whole.config, whole.dataset, directory, Interrupter())
    rows = read_rows(directory)
    assert [row["test_loss"] for row in rows] == [row["test_loss"] for row in whole.rows[:2]]
    assert {path.name for path in directory.iterdir()} == {"config.json", "metrics.csv", "checkpoint.h5"}
    assert "(unfinished)" in refusal(whole.config, whole.dataset, directory)
    short = replace(whole.config, epochs=1)
    train(short, whole.dataset, directory, Quiet(), overwrite=True)
    assert {path.name for path in directory.iterdir()} == FILES
    assert len(read_rows(directory)) == 1


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(tf: Any, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "set", examples(30), examples(9))
    config = run_config(learning_rate=1e30, drop_epochs=(), noise_rate=0.0)
    message = refusal(config, dataset, tmp_path / "run")
    assert "loss" in message
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_training_split_smaller_than_a_mini_batch_is_one_step_an_epoch(tf: Any, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "set", examples(5), examples(3))
    witness = Witness()
    train(run_config(epochs=1, batch_size=64), dataset, tmp_path / "run", witness)
    assert (witness.plans[0].steps, witness.progress) == (1, [(1, 1)])
