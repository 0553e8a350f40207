"""What `relabel` cannot use is one line, and nothing is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import trainer.audit.output as output
from datatools.errors import DataToolsError
from datatools.format.dataset import open_dataset
from tests.support.factories import tree
from tests.support.relabel_runs import COUNT, refusal, renamed
from trainer.audit.output import Relabelled, read_report, relabel
from trainer.errors import TrainerError


def damaged(run: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(run / "samples.h5", "a") as file:
        change(file)


def replaced(name: str, values: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return change


def linked(file: h5py.File) -> None:
    del file["mean_loss"]
    file["mean_loss"] = h5py.ExternalLink("/etc/passwd", "x")


DAMAGE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no mean loss": (lambda file: file.__delitem__("mean_loss"), "no dataset 'mean_loss'"),
    "an external link": (linked, "no dataset 'mean_loss'"),
    "too short": (replaced("visits", np.ones(3, np.int32)), r"'visits' is int32\(3,\), expected int32\(40,\)"),
    "of another type": (replaced("id", np.arange(COUNT)), "'id' is int64"),
    "other ids": (replaced("id", np.arange(1, COUNT + 1, dtype=np.uint32)), "ids are not 0, 1, 2"),
    "a label too high": (replaced("given_label", np.full(COUNT, 3, np.int32)), "'given_label' outside 0..2"),
    "an endless loss": (replaced("mean_loss", np.full(COUNT, np.inf, np.float32)), "holds what is no loss"),
    "no probabilities": (replaced("mean_probability", np.ones((COUNT, 3), np.float32)), "no probabilities"),
    "other labels": (replaced("given_label", np.zeros(COUNT, np.int32)), "its given labels are not those of"),
    "nothing seen": (replaced("visits", np.zeros(COUNT, np.int32)), "no sample that was trained on"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_samples_file_is_one_line(tmp_path: Path, run: Path, kind: str) -> None:
    change, said = DAMAGE[kind]
    damaged(run, change)
    text = refusal(run, tmp_path / "out")
    assert re.search(said, text), text
    assert "samples.h5" in text


def test_a_samples_file_that_is_none(tmp_path: Path, run: Path) -> None:
    (run / "samples.h5").write_bytes(b"no HDF5")
    assert "start the run anew" in refusal(run, tmp_path / "out")
    (run / "samples.h5").unlink()
    assert "samples.h5: not there" in refusal(run, tmp_path / "out")


def test_what_is_no_finished_run(tmp_path: Path, run: Path) -> None:
    for name in ("nowhere", "noisy"):
        assert "config.json: not there; name a run directory" in refusal(tmp_path / name, tmp_path / "out")
    (run / "result.json").unlink()
    assert "not finished; go on with `trainer run default --resume`" in refusal(run, tmp_path / "out")


def test_a_config_that_names_no_dataset(tmp_path: Path, run: Path) -> None:
    values = json.loads((run / "config.json").read_text())
    path = values["dataset"].pop("path")
    (run / "config.json").write_text(json.dumps(values))
    assert "config.json" in refusal(run, tmp_path / "out")
    for text in ("{}", "[]", "not JSON", '{"dataset": 3}'):
        (run / "config.json").write_text(text)
        assert "config.json: cannot be read" in refusal(run, tmp_path / "out", data=Path(path))


def test_a_dataset_that_moved_or_changed(tmp_path: Path, run: Path) -> None:
    (tmp_path / "noisy").rename(tmp_path / "moved")
    assert "where it is now, tell with --data" in refusal(run, tmp_path / "out")
    assert isinstance(relabel(run, tmp_path / "out", data=tmp_path / "moved"), Relabelled)
    renamed(open_dataset(tmp_path / "moved"), ("a", "b", "c"))
    assert "or changed since" in refusal(run, tmp_path / "other", data=tmp_path / "moved")


def test_a_rate_out_of_range(tmp_path: Path, run: Path) -> None:
    for rate in (-0.1, 1.0, float("nan")):
        assert "a fraction in [0, 1) is expected" in refusal(run, tmp_path / "out", noise_rate=rate)


def test_only_what_relabel_made_is_replaced(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "out"
    relabel(run, out)
    before = tree(out)
    assert "pass --overwrite" in refusal(run, out)
    relabel(run, out, overwrite=True, noise_rate=0.1)
    assert tree(out) != before
    (out / "own notes.txt").write_text("keep me")
    assert "never overwritten" in refusal(run, out, overwrite=True)
    assert "never overwritten" in refusal(run, run, overwrite=True)
    assert "never overwritten" in refusal(run, tmp_path / "noisy", overwrite=True)
    assert "lies inside a dataset" in refusal(run, tmp_path / "noisy" / "out")
    (tmp_path / "file").write_text("")
    assert "is not a folder" in refusal(run, tmp_path / "file")


def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    real = vars(output)["write_corrected"]

    def rival(*arguments: Any) -> Any:
        out.mkdir()
        (out / "theirs").write_text("keep me")
        return real(*arguments)

    monkeypatch.setattr(output, "write_corrected", rival)
    with pytest.raises(DataToolsError, match="pass --overwrite"):
        relabel(run, out)
    assert [path.name for path in out.iterdir()] == ["theirs"]


@pytest.mark.parametrize("where", ["write_suspects", "write_corrected", "card", "draw_tiles"])
def test_an_interruption_leaves_nothing(tmp_path: Path, run: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    relabel(run, tmp_path / "standing")
    before = tree(tmp_path)

    def interrupt(*arguments: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(output, where, interrupt)
    for out in (tmp_path / "new" / "out", tmp_path / "standing"):
        with pytest.raises(KeyboardInterrupt):
            relabel(run, out, overwrite=True, noise_rate=0.1)
        assert tree(tmp_path) == before


def test_a_report_is_read_back_or_refused(tmp_path: Path, run: Path) -> None:
    made = relabel(run, tmp_path / "out")
    assert read_report(tmp_path / "out") == made.report
    (tmp_path / "out" / "relabel.json").write_text('{"format_version": 2}')
    with pytest.raises(TrainerError, match=r"relabel\.json: cannot be read \(format_version is not 1\)"):
        read_report(tmp_path / "out")
