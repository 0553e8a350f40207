"""TensorBoard event files, read back with TensorBoard's own loader: one curve, also through kills and resumes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.util.tensor_util import make_ndarray

from tests.support.reported import RESULT, run_plan
from tests.support.tiny import run_config
from trainer.errors import TrainerError
from trainer.methods import METHODS
from trainer.metrics import EpochRow
from trainer.reporters.tensorboard import EventFiles, tag, written_steps

ROOT = Path(__file__).parents[3]
EPOCHS, RUNS = 4, 3
SELFIE = METHODS["selfie"]
Curve = list[tuple[int, float]]


def row(step: int, shift: float = 0.0) -> EpochRow:
    """The row of an epoch, counted from 1 through restarts; its test error tells the epoch, and who wrote it."""
    run, epoch = divmod(step - 1, EPOCHS)
    metrics = {
        "train_loss": 1 / step,
        "test_error": step / 64 + shift,
        "label_precision": None if step < 3 else 0.5,
        "refurbished": 10 * step,
    }
    return EpochRow(run + 1, epoch + 1, 0.1, metrics, seconds=2.0, images_per_second=1000.0)


def rows(count: int) -> tuple[EpochRow, ...]:
    return tuple(row(step) for step in range(1, count + 1))


def opened(directory: Path, done: int = 0) -> EventFiles:
    """Event files of a run that starts, or of one that is resumed after `done` epochs."""
    files = EventFiles(directory)
    files.start(run_plan(run_config("selfie"), rows=rows(done), runs=RUNS))
    return files


def session(directory: Path, done: int, last: int, shift: float = 0.0) -> None:
    """A process that trains from after epoch `done` to epoch `last`, and is killed."""
    files = opened(directory, done)
    for step in range(done + 1, last + 1):
        files.epoch(row(step, shift), 0.0)


def paths(directory: Path) -> list[Path]:
    return sorted((directory / "tensorboard").iterdir())


def shown(directory: Path) -> dict[str, Curve]:
    """The curves as TensorBoard reads them: its server, and its library for other programs, which purge unlike."""
    path = str(directory / "tensorboard")
    library = event_accumulator.EventAccumulator(path, size_guidance={"scalars": 0})
    server = plugin_event_accumulator.EventAccumulator(path, size_guidance={"tensors": 0})
    library.Reload()
    server.Reload()
    curves = {
        name: [(event.step, event.value) for event in library.Scalars(name)] for name in library.Tags()["scalars"]
    }
    assert curves == {
        name: [(event.step, make_ndarray(event.tensor_proto).item()) for event in server.Tensors(name)]
        for name in server.Tags()["tensors"]
    }
    return curves


def errors(last: int, shift: float = 0.0, since: int = 1) -> Curve:
    return [(step, step / 64 + shift) for step in range(since, last + 1)]


def written(directory: Path) -> Iterator[Any]:
    """All events, whether TensorBoard shows or drops them."""
    for path in paths(directory):
        yield from LegacyEventFileLoader(str(path)).Load()


def test_each_number_of_a_row_is_a_point_at_its_epoch_through_restarts(tmp_path: Path) -> None:
    files = opened(tmp_path)
    for step in range(1, EPOCHS * RUNS + 1):
        files.epoch(row(step), 0.0)
    files.finish(tmp_path, RESULT)
    curves = shown(tmp_path)
    steps = range(1, 13)
    assert curves["test/error"] == errors(12)
    assert dict(curves["train/loss"]) == pytest.approx({step: 1 / step for step in steps})
    assert curves["refurbishment/refurbished"] == [(step, 10.0 * step) for step in steps]
    assert curves["clean_set/label_precision"] == [(step, 0.5) for step in steps if step > 2]
    assert dict(curves["training/learning_rate"]) == pytest.approx(dict.fromkeys(steps, 0.1))
    assert curves.keys() == {tag(column, SELFIE) for column in row(1).to_json()} - {
        tag("run", SELFIE),
        tag("epoch", SELFIE),
    }


def test_an_epoch_is_there_as_soon_as_it_is_told(tmp_path: Path) -> None:
    files = opened(tmp_path)
    for step in (1, 2, 3):
        files.epoch(row(step), 0.0)
        assert shown(tmp_path)["test/error"] == errors(step)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("train_loss", "train/loss"),
        ("test_error", "test/error"),
        ("test_error_2", "test/error_2"),
        ("test_balanced_error", "test/balanced_error"),
        ("validation_loss", "validation/loss"),
        ("clean_train_error", "train/clean_error"),
        ("clean_train_error_2", "train/clean_error_2"),
        ("label_precision", "clean_set/label_precision"),
        ("label_precision_2", "clean_set/label_precision_2"),
        ("refurbishment_accuracy", "refurbishment/accuracy"),
        ("images_per_second", "speed/images_per_second"),
        ("mean_weight", "method/mean_weight"),
        ("test", "method/test"),
    ],
)
def test_columns_have_tags_in_groups(column: str, name: str) -> None:
    assert tag(column, SELFIE) == name


# Killed and resumed


@pytest.mark.parametrize(("killed", "checkpoint"), [(7, 5), (7, 7), (4, 4), (5, 1), (8, 7)])
def test_a_resumed_run_shows_one_curve(killed: int, checkpoint: int, tmp_path: Path) -> None:
    session(tmp_path, 0, killed)
    session(tmp_path, checkpoint, 10, shift=0.25)
    assert shown(tmp_path)["test/error"] == errors(checkpoint) + errors(10, 0.25, checkpoint + 1)
    steps = [event.step for event in written(tmp_path) if event.HasField("summary")]
    assert steps == [*range(1, killed + 1), *range(checkpoint + 1, 11)], "what was there is not written again"


def test_resumed_and_not_yet_an_epoch_further_nothing_outdated_is_shown(tmp_path: Path) -> None:
    session(tmp_path, 0, 7)
    session(tmp_path, 5, 5)
    assert shown(tmp_path)["test/error"] == errors(5)


def test_killed_again_and_again_it_is_still_one_curve(tmp_path: Path) -> None:
    session(tmp_path, 0, 7)
    session(tmp_path, 5, 6, shift=0.25)
    session(tmp_path, 5, 5)
    session(tmp_path, 5, 9, shift=0.5)
    session(tmp_path, 8, 12, shift=0.75)
    assert shown(tmp_path)["test/error"] == errors(5) + errors(8, 0.5, 6) + errors(12, 0.75, 9)
    names = [path.name for path in paths(tmp_path)]
    seconds = [int(name.split(".")[3]) for name in names]
    assert all(later > earlier for earlier, later in pairwise(seconds)), "TensorBoard reads them by the alphabet"


@pytest.mark.parametrize("lost", [1, 5, 13, 60])
def test_an_event_that_was_half_written_is_written_again(lost: int, tmp_path: Path) -> None:
    session(tmp_path, 0, 5)
    (path,) = paths(tmp_path)
    path.write_bytes(path.read_bytes()[:-lost])
    assert shown(tmp_path)["test/error"] == errors(4)
    session(tmp_path, 5, 7)
    assert shown(tmp_path)["test/error"] == errors(7)


def test_a_damaged_event_and_all_after_it_are_written_again(tmp_path: Path) -> None:
    session(tmp_path, 0, 5)
    (path,) = paths(tmp_path)
    sizes = [len(event.SerializeToString()) + 16 for event in written(tmp_path)]
    content = bytearray(path.read_bytes())
    assert len(content) == sum(sizes)
    content[sum(sizes[:4]) + 20] ^= 1  # inside the third epoch: before it are version, START and two epochs
    path.write_bytes(content)
    assert written_steps([path]) == {1, 2}
    session(tmp_path, 5, 6)
    assert shown(tmp_path)["test/error"] == errors(6)


def test_a_run_that_started_without_event_files_has_all_its_epochs(tmp_path: Path) -> None:
    session(tmp_path, 5, 7)
    assert shown(tmp_path)["test/error"] == errors(7)


def test_a_resumed_run_that_is_over_already_is_left_as_it_is(tmp_path: Path) -> None:
    session(tmp_path, 0, 12)
    session(tmp_path, 12, 12)
    assert shown(tmp_path)["test/error"] == errors(12)


def test_an_empty_event_file_is_no_obstacle(tmp_path: Path) -> None:
    session(tmp_path, 0, 3)
    (tmp_path / "tensorboard" / "events.out.tfevents.9000000000.elsewhere").touch()
    session(tmp_path, 3, 5)
    assert shown(tmp_path)["test/error"] == errors(5)


def test_a_fresh_run_takes_the_place_of_what_stood_there(tmp_path: Path) -> None:
    session(tmp_path, 0, 7)
    other = tmp_path / "tensorboard" / "notes.txt"
    other.write_text("mine")
    session(tmp_path, 0, 2, shift=0.5)
    assert shown(tmp_path)["test/error"] == errors(2, 0.5)
    assert len(paths(tmp_path)) == 2
    assert other.read_text() == "mine", "what is no event file is left alone"


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    files = EventFiles(tmp_path)
    files.start(run_plan(run_config("selfie"), runs=RUNS))
    files._writer.close()
    files._writer = files._record_writer(Path("/dev/full").open("wb"))  # noqa: SIM115
    with pytest.raises(TrainerError, match=r"No space left on device.* go on with --resume") as said:
        files.epoch(rows(1)[0], 0.0)
    assert str(said.value).startswith(f"{paths(tmp_path)[0]}: cannot be written")


# The package


def test_nothing_is_written_before_the_run_starts(tmp_path: Path) -> None:
    files = EventFiles(tmp_path / "run")
    files.note("nothing to resume")
    files.steps(1, 2)
    files.finish(tmp_path / "run", RESULT)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(TrainerError, match=r"pip install 'selfie-noisy-labels\[tensorboard\]'") as caught:
        EventFiles(tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_framework_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.support.reported import epoch_row, run_plan\n"
        "from trainer.reporters.tensorboard import EventFiles\n"
        "for done in (0, 1):\n"
        "    files = EventFiles(Path(sys.argv[1]))\n"
        "    files.start(run_plan(rows=(epoch_row(1, run=1),) * done))\n"
        "    files.epoch(epoch_row(done + 1, run=1), 0.0)\n"
        "print(*(name for name in ('tensorflow', 'jax', 'keras') if name in sys.modules), end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert shown(tmp_path)["test/error"] == [(1, 0.25), (2, 0.25)]
