"""samples.h5: the columns that engine and methods declare, written and read back, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.support.relabel_runs import COUNT, finished, noisy
from tests.support.tiny import run_config
from trainer.data import load
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.methods.active_bias import ActiveBias
from trainer.methods.columns import SampleColumn
from trainer.methods.default import Default
from trainer.runs.directory import write_samples
from trainer.runs.run import load_run
from trainer.runs.samples import ENGINE_COLUMNS, IDENTITY, OPTIONAL, filled_columns, read_samples, replacing_labels

PROMISED = {
    "id": "uint32",
    "given_label": "int32",
    "refurbished_label": "int32",
    "uncertainty": "float32",
    "last_loss": "float32",
    "last_prediction": "int32",
    "mean_loss": "float32",
    "mean_probability": "float32",
    "visits": "int32",
}
"""Of every run: docs/format.md."""


@pytest.mark.parametrize("name", METHODS)
def test_a_method_fills_the_columns_that_it_declares(name: str, tf: Any) -> None:
    method = METHODS[name].from_settings(8, {})
    values = method.sample_values(method.memory(5, 3))
    assert list(values) == [column.name for column in method.columns]
    for column in method.columns:
        assert values[column.name].shape == ((5, 3) if column.each_class else (5,))
        assert values[column.name].astype(column.dtype).dtype == values[column.name].dtype
        if column.is_label or column.name == "uncertainty":
            assert np.array_equal(values[column.name], np.full(5, column.missing), equal_nan=True)


def test_no_two_columns_have_one_name() -> None:
    of_methods = [column.name for method in METHODS.values() for column in method.columns]
    names = [*(column.name for column in (*IDENTITY, *ENGINE_COLUMNS, *OPTIONAL)), *of_methods]
    assert len(set(names)) == len(names)


def test_a_run_without_a_method_s_columns_has_the_promised_ones(tmp_path: Path) -> None:
    run = load_run(finished(tmp_path / "run", noisy(tmp_path / "noisy")))
    assert {name: values.dtype.name for name, values in run.samples.items()} == PROMISED
    assert (run.samples["refurbished_label"] == -1).all()
    assert np.isnan(run.samples["uncertainty"]).all()


def test_active_bias_tells_what_it_remembers(tf: Any, tmp_path: Path) -> None:
    data = load(noisy(tmp_path / "noisy"), 0.1, 0)
    method = ActiveBias(warm_up=1, smoothing=0.5)
    memory = method.memory(data.num_samples, 3)
    memory["count"][:], memory["mean"][:] = 4, 0.25
    memory["m2"][1] = 1.0
    memory["count"][2], memory["mean"][2] = 1, 0.75
    memory["count"][3], memory["mean"][3] = 0, 0.0
    write_samples(tmp_path / "samples.h5", data, memory, method)
    samples = read_samples(tmp_path / "samples.h5", COUNT, num_classes=3)
    assert samples.keys() == {*PROMISED, "held_out", *(column.name for column in method.columns)}
    rows, held_out = data.ids, samples["held_out"]
    assert samples["label_probability_mean"][rows[:4]].tolist() == [
        0.25,
        0.25,
        0.75,
        pytest.approx(np.nan, nan_ok=True),
    ]
    variance = samples["label_probability_variance"][rows]
    assert variance[:2].tolist() == [0.0, 0.25]
    assert np.isnan(variance[2:4]).all()
    # sqrt(v + v² / (n - 1)) + 0.5 with v 0.25 and n 4, 0.5 for the others, over their mean; 1 where nothing is known
    varying, others = np.sqrt(0.25 + 0.0625 / 3) + 0.5, len(rows) - 3
    mean = (varying + 0.5 * others) / (others + 1)
    weight = samples["weight"][rows]
    assert weight[:4].tolist() == pytest.approx([0.5 / mean, varying / mean, 1.0, 1.0], rel=1e-6)
    for column in method.columns:
        assert np.isnan(samples[column.name][held_out]).all()


def test_labels_that_an_added_method_puts_in_place_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Moves(Default):
        name = "moves"
        columns = (SampleColumn("moved_label", "int32", -1, is_label=True, replaces_label=True),)

    monkeypatch.setitem(METHODS, "moves", Moves)
    data = load(noisy(tmp_path / "noisy"))
    moved = np.where(np.arange(COUNT) == 7, 2, -1).astype(np.int32)
    write_samples(tmp_path / "samples.h5", data, {"moved_label": moved}, Moves())
    samples = read_samples(tmp_path / "samples.h5", COUNT, num_classes=3)
    assert list(samples) == sorted([*PROMISED, "moved_label"])
    assert replacing_labels(samples).tolist() == moved.tolist()


def test_a_part_of_the_columns_can_be_read(tmp_path: Path) -> None:
    run = load_run(finished(tmp_path / "run", noisy(tmp_path / "noisy")))
    assert set(run.read_samples(("id", "held_out", "visits"))) == {"id", "visits"}


def test_a_column_of_an_unknown_method_is_read_as_it_is(tmp_path: Path) -> None:
    directory = finished(tmp_path / "run", noisy(tmp_path / "noisy"))
    with h5py.File(directory / "samples.h5", "a") as file:
        file["co_divide"] = np.arange(COUNT)
    assert load_run(directory).samples["co_divide"].tolist() == list(range(COUNT))


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((COUNT,), "i4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (COUNT,))
    file.create_virtual_dataset("visits", layout)


def _elsewhere(file: h5py.File) -> None:
    file.create_dataset("visits", (COUNT,), "i4", external=[("/etc/passwd", 0, 4 * COUNT)])


def _soft(file: h5py.File) -> None:
    file["visits"] = h5py.SoftLink("/last_prediction")


def _unwritten(file: h5py.File) -> None:
    file.create_dataset("visits", (COUNT,), "i4")


def _compressed(file: h5py.File) -> None:
    file.create_dataset("visits", data=np.zeros(COUNT, np.int32), compression="gzip")


def _text(file: h5py.File) -> None:
    file["visits"] = np.array([b"1"] * COUNT)


DAMAGE: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "virtual": (_virtual, "'visits' is not a plain dataset"),
    "external": (_elsewhere, "'visits' is not a plain dataset"),
    "a link": (_soft, "no dataset 'visits'"),
    "a group": (lambda file: file.create_group("visits"), "'visits' is not a plain dataset"),
    "never written": (_unwritten, "'visits' has less in the file than its shape"),
    "compressed": (_compressed, "'visits' has less in the file than its shape"),
    "text": (_text, "expected int32"),
    "one number": (lambda file: file.create_dataset("visits", data=np.int32(3)), "expected int32"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_no_plain_column_is_one_line(kind: str, tmp_path: Path) -> None:
    directory = finished(tmp_path / "run", noisy(tmp_path / "noisy"))
    change, reason = DAMAGE[kind]
    with h5py.File(directory / "samples.h5", "a") as file:
        del file["visits"]
        change(file)
    with pytest.raises(TrainerError, match=r"samples\.h5: cannot be read") as error:
        _ = load_run(directory).samples
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_more_rows_than_the_dataset_has_are_refused_unread(tmp_path: Path) -> None:
    directory = finished(tmp_path / "run", noisy(tmp_path / "noisy"))
    with h5py.File(directory / "samples.h5", "a") as file:
        file.create_dataset("further", (1 << 40,), "f8", chunks=(1 << 10,), compression="gzip")
    with pytest.raises(TrainerError, match="'further' has less in the file"):
        _ = load_run(directory).samples
    assert set(load_run(directory).read_samples(("id",))) == {"id"}


def test_the_columns_keep_their_order(tmp_path: Path) -> None:
    names = [column.name for column in (*IDENTITY, *filled_columns(run_config().make_method()))]
    assert names == list(PROMISED)
