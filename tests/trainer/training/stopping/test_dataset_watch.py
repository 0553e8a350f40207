"""A dataset that changes under a run ends it, before anything of it is saved."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from datatools.format import records
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.records import ImageShape
from tests.support.interrupted import Signaller, Silent, StopAt, config_for, refusal
from tests.support.tiny import examples, write_dataset
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.training.checkpoint import read_checkpoint
from trainer.training.loop import train
from trainer.training.stopping import DatasetWatch, RunStoppedError


def change_images(path: Path) -> None:
    data = bytearray((path / "data_batch_2.bin").read_bytes())
    data[-1] ^= 1
    (path / "data_batch_2.bin").write_bytes(data)


def change_test_images(path: Path) -> None:
    data = bytearray((path / "test_batch.bin").read_bytes())
    data[-1] ^= 1
    (path / "test_batch.bin").write_bytes(data)


def change_description(path: Path) -> None:
    (path / "dataset.json").write_text((path / "dataset.json").read_text() + " ")


def change_manifest(path: Path) -> None:
    with h5py.File(path / "manifest.h5", "r+") as file:
        file["clean_label"][0] = 1 - int(file["clean_label"][0] == 1)


def remove(name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        (path / name).unlink()

    return change


CHANGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "images": (change_images, "data_batch_2.bin", "changed"),
    "test images": (change_test_images, "test_batch.bin", "changed"),
    "dataset.json": (change_description, "dataset.json", "changed"),
    "manifest": (change_manifest, "manifest.h5", "changed"),
    "a file gone": (remove("data_batch_1.bin"), "data_batch_1.bin", "gone"),
    "dataset.json gone": (remove("dataset.json"), "dataset.json", "gone"),
    "manifest gone": (remove("manifest.h5"), "manifest.h5", "gone"),
}


class Changer(Signaller):
    """Somebody changes the dataset after a step, and may want the run to stop."""

    def __init__(self, place: StopAt, change: Callable[[], Any], signals: bool = False) -> None:
        super().__init__(place, times=int(signals))
        self.change = change

    def steps(self, done: int, total: int) -> None:
        assert self.started_with is not None
        if StopAt(self.started_with + len(self.rows), done) == self.place:
            self.change()
        super().steps(done, total)


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("signals", [False, True], ids=["at the epoch's end", "at a signal"])
def test_a_dataset_that_changes_under_a_run_is_noticed_before_anything_is_saved(
    case: str, signals: bool, dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    change, name, what = CHANGES[case]
    keep = Path(shutil.copytree(dataset.path, tmp_path / "keep"))
    directory = tmp_path / "run"
    with pytest.raises(TrainerError) as said:
        train(config, dataset, directory, Changer(StopAt(1, 2), lambda: change(dataset.path), signals))
    assert not isinstance(said.value, RunStoppedError)
    message = str(said.value)
    assert f"{dataset.path / name}: {what} while the run was under way" in message
    assert "--resume" in message
    assert "\n" not in message
    assert read_checkpoint(directory / "checkpoint.h5").progress.place == (0, 1, 0)
    shutil.rmtree(dataset.path)
    shutil.copytree(keep, dataset.path)
    train(config, dataset, directory, Silent(), resume=True)
    assert (directory / "result.json").is_file()


def test_a_file_cut_short_under_a_streaming_run_is_named_at_once(tmp_path: Path) -> None:
    large = ImageShape(3, 128, 128)
    dataset = write_dataset(tmp_path / "set", examples(30, shape=large), examples(9, shape=large), train_files=2)
    config = config_for("default", dataset, batch_size=10, device_memory=1)
    path = dataset.path / "data_batch_2.bin"
    place = StopAt(1, 1)
    with pytest.raises(TrainerError, match=r"was cut short while the run was under way.* go on with --resume") as said:
        train(config, dataset, tmp_path / "run", Changer(place, lambda: os.truncate(path, 1000)))
    assert str(said.value).startswith(f"{path}: ")
    assert read_checkpoint(tmp_path / "run" / "checkpoint.h5").progress.place == (0, 1, 0)


def test_a_dataset_that_is_merely_touched_is_no_matter(dataset: Dataset, config: RunConfig, tmp_path: Path) -> None:
    def touch() -> None:
        for path in dataset.path.iterdir():
            os.utime(path)
            copy = path.with_suffix(".copy")
            shutil.copy(path, copy)
            copy.replace(path)

    train(config, dataset, tmp_path / "run", Changer(StopAt(1, 2), touch))
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.parametrize("case", ["images", "test images", "a file gone"])
def test_a_dataset_that_is_not_what_it_says_is_refused_at_the_start(
    case: str, dataset: Dataset, config: RunConfig, tmp_path: Path
) -> None:
    change, name, _ = CHANGES[case]
    change(dataset.path)
    message = refusal(config, dataset, tmp_path / "runs" / "run")
    assert str(dataset.path / name) in message
    assert not (tmp_path / "runs").exists()


def test_what_changes_while_it_is_looked_at_is_noticed(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    original = records.file_sha256

    def slow(path: Path) -> str:
        sha256 = original(path)
        if path.name == "data_batch_2.bin" and not changed:
            changed.append(path)
            change_images(dataset.path)
        return sha256

    changed: list[Path] = []
    monkeypatch.setattr("trainer.training.stopping.file_sha256", slow)
    watch = DatasetWatch(dataset)
    with pytest.raises(TrainerError, match=r"data_batch_2.bin: changed"):
        watch.check()


def test_a_watch_reads_a_file_again_only_if_it_was_touched(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = DatasetWatch(open_dataset(dataset.path))
    read: list[Path] = []
    original = records.file_sha256

    def counted(path: Path) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr("trainer.training.stopping.file_sha256", counted)
    watch.check()
    assert read == []
    os.utime(dataset.path / "test_batch.bin", (1, 1))
    watch.check()
    watch.check()
    assert read == [dataset.path / "test_batch.bin"]
